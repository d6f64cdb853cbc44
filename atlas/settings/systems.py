"""The settings of systems that are the desk of some people: how they sign, and who their people are here."""

import re
from collections.abc import Collection
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from atlas.models import as_seen, plain_text
from atlas.proxies import is_this_machine
from atlas.settings.notices import webhook_secret
from atlas.settings.ways import listed

SLACK = "slack"  # the system of this name signs in Slack's own form where ATLAS_SLACK_SIGNING_SECRET is set
NAMED_SECRET = re.compile(r"([a-z][a-z0-9_-]{0,19})=(\S+)")
NAMED_PERSON = re.compile(r"([a-z][a-z0-9_-]{0,19}):(\S(?:.*\S)?)=([^=]+)")
LONGEST_ID = 200  # of a person, as the system names them
LEAST_SECRET = 16
BOT_TOKEN = re.compile(r"[A-Za-z0-9._-]{8,400}")
CHANNEL = re.compile(r"[A-Za-z0-9]{1,40}")


def secrets_of_systems(value: Any) -> Any:
    """Take `slack=whsec_…,servicenow=whsec_…`; refuse another form, without showing it."""
    if not isinstance(value, str):
        return value
    found = [NAMED_SECRET.fullmatch(entry) for entry in listed(value)]
    if not all(found):
        raise ValueError("It is name=whsec_… with commas between, as slack=whsec_…,servicenow=whsec_….")
    texts = [webhook_secret(match[2]) for match in found if match]
    if len(set(texts)) != len(texts):
        raise ValueError("Two entries have one secret: the gateway could not tell the systems apart.")
    return value


def people_of_systems(value: Any) -> Any:
    """Read `slack:U024BE7LH=anna,servicenow:jdoe=ben`: a system, its id of a person, and the name here."""
    if not isinstance(value, str):
        return value
    found = [NAMED_PERSON.fullmatch(entry) for entry in listed(value)]
    people = tuple((match[1], match[2], match[3].strip()) for match in found if match)
    is_plain = all(plain_text(name) == name and 0 < len(name) <= 200 for _, _, name in people)
    if len(people) != len(found) or not is_plain or any(len(theirs) > LONGEST_ID for _, theirs, _ in people):
        raise ValueError(
            "It is system:id=name with commas between, as slack:U024BE7LH=anna,servicenow:jdoe=ben."
        )
    if len({(system, theirs) for system, theirs, _ in people}) != len(people):
        raise ValueError("One id of a system stands for two people.")
    return people


def signing_secrets(value: Any) -> Any:
    """Take one or two secrets of Slack with a comma between; refuse another form, without showing it."""
    if isinstance(value, str) and any(
        len(one) < LEAST_SECRET or not one.isalnum() or not one.isascii() for one in listed(value)
    ):
        raise ValueError("It is the signing secret of the Slack app, or two with a comma between.")
    return value


def matching(pattern: "re.Pattern[str]", what: str) -> Any:
    """A validator that takes what a pattern matches, and shows nothing of what it refuses."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value.strip()):
            raise ValueError(f"It is {what}.")
        return value.strip() if isinstance(value, str) else value

    return BeforeValidator(check)


Secrets = Annotated[SecretStr | None, BeforeValidator(secrets_of_systems)]
PeopleThere = Annotated[tuple[tuple[str, str, str], ...], NoDecode, BeforeValidator(people_of_systems)]
SigningSecrets = Annotated[SecretStr | None, BeforeValidator(signing_secrets)]
BotToken = Annotated[SecretStr | None, matching(BOT_TOKEN, "the bot token of the Slack app, as xoxb-…")]
SlackChannel = Annotated[str | None, matching(CHANNEL, "the id of a channel, as C024BE91L")]


class Elsewhere(BaseSettings):
    """What an operator can set of systems in which people decide."""

    atlas_webhook_secrets: Secrets = Field(
        default=None,
        description="Systems that may post decisions of their people, each with its secret: "
        "`slack=whsec_…,servicenow=whsec_…`. A name can stand twice while its secret is changed. See "
        "[decide from elsewhere](../how-to/decide-from-elsewhere.md).",
    )
    atlas_webhook_people: PeopleThere = Field(
        default=(),
        description="Who the people of those systems are here: `slack:U024BE7LH=anna,servicenow:jdoe=ben`. "
        "A person whom it does not name decides nothing.",
    )
    atlas_slack_signing_secret: SigningSecrets = Field(
        default=None,
        description="The signing secret of a Slack app, whose buttons then decide; two with a comma between "
        "while it is changed.",
    )
    atlas_slack_bot_token: BotToken = Field(
        default=None,
        description="The bot token of that app (`xoxb-…`), by which the gateway writes its messages.",
    )
    atlas_slack_channel: SlackChannel = Field(
        default=None, description="The id of the Slack channel that is told of calls, as `C024BE91L`."
    )
    atlas_slack_url: HttpUrl = Field(
        default=HttpUrl("https://slack.com/api/"),
        description="The Web API of Slack. Default `https://slack.com/api/`.",
    )

    @cached_property
    def webhook_secrets(self) -> tuple[tuple[str, str], ...]:
        """The systems that sign as Standard Webhooks does, each with a secret."""
        text = self.atlas_webhook_secrets.get_secret_value() if self.atlas_webhook_secrets else ""
        found = (NAMED_SECRET.fullmatch(entry) for entry in listed(text))
        return tuple((match[1], match[2]) for match in found if match)

    @property
    def slack_signing_secrets(self) -> tuple[str, ...]:
        """The secrets with which Slack may sign now."""
        secret = self.atlas_slack_signing_secret
        return listed(secret.get_secret_value()) if secret else ()

    @cached_property
    def webhook_people(self) -> dict[tuple[str, str], str]:
        """The name here, by system and by its own id of the person."""
        return {(system, theirs): name for system, theirs, name in self.atlas_webhook_people}

    def check_systems(self, reviewers: Collection[str], *, is_open: bool) -> None:
        """Raise ValueError where a system is half set, or could not be told from an agent."""
        systems = {name for name, _ in self.webhook_secrets}
        if self.slack_signing_secrets:
            systems.add(SLACK)
        if systems and is_open:
            raise ValueError(
                "ATLAS_WEBHOOK_SECRETS or ATLAS_SLACK_SIGNING_SECRET is set without ATLAS_AGENT_KEY and "
                "ATLAS_REVIEWER_KEY: in open mode every program decides; set both keys"
            )
        for system, _, _ in self.atlas_webhook_people:
            if system not in systems:
                raise ValueError(
                    f"ATLAS_WEBHOOK_PEOPLE names {system}, which has no secret in ATLAS_WEBHOOK_SECRETS"
                )
        named = {*reviewers, *self.webhook_people.values()}
        if len({as_seen(name) for name in named}) != len(named):
            raise ValueError(
                "ATLAS_WEBHOOK_PEOPLE holds a name that looks like another one, there or in "
                "ATLAS_REVIEWER_KEY: the record could not show who decided"
            )
        self._check_slack()

    def _check_slack(self) -> None:
        if (self.atlas_slack_bot_token is None) != (self.atlas_slack_channel is None):
            raise ValueError("ATLAS_SLACK_BOT_TOKEN and ATLAS_SLACK_CHANNEL belong together")
        if self.slack_signing_secrets and self.atlas_slack_bot_token is None:
            raise ValueError(
                "ATLAS_SLACK_SIGNING_SECRET needs ATLAS_SLACK_BOT_TOKEN: without it no one in Slack could be "
                "told why a button did nothing"
            )
        url = self.atlas_slack_url
        if url.scheme != "https" and not is_this_machine(url.host or ""):
            raise ValueError("ATLAS_SLACK_URL begins with https://: the bot token goes there")
