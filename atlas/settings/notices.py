"""The settings of notices: by which ways people are told, and where a link in a notice leads."""

import base64
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from atlas.settings.ways import listed

SECRET_PREFIX = "whsec_"  # noqa: S105  (of the form of a secret, as Standard Webhooks writes it)
SHORTEST_SECRET, LONGEST_SECRET = 24, 64  # bytes, as Standard Webhooks asks for
NAMED_CHANNEL = re.compile(r"([a-z][a-z0-9_-]{0,19})=([a-z0-9+.-]+://\S+)")
OWN_CHANNELS = ("webhook", "slack-app", "push")
PUSH_SERVICE = re.compile(r"(https?://)?(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?")
PUSH_SERVICES = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
ADDRESS = "{address}"  # in the URL of a named channel


def webhook_secret(value: Any) -> Any:
    """Take `whsec_` and 24 to 64 bytes as base64; refuse another form."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        length = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:  # binascii.Error is one too
        length = 0
    if not text.startswith(SECRET_PREFIX) or not SHORTEST_SECRET <= length <= LONGEST_SECRET:
        raise ValueError(
            "It is whsec_ and 24 to 64 random bytes as base64: "
            "python -c 'import base64, os; print(\"whsec_\" + base64.b64encode(os.urandom(32)).decode())'"
        )
    return text


def _is_url(word: str) -> bool:
    try:
        return "://" in word and bool(urlsplit(word).scheme)
    except ValueError:  # of half of an IPv6 address
        return False


def urls(value: Any) -> Any:
    """Take URLs with blanks between; refuse a word that is none, without showing it."""
    if isinstance(value, str) and not all(map(_is_url, value.split())):
        raise ValueError("It is URLs of Apprise with blanks between, as mailto://… ntfys://….")
    return value


def named_channels(value: Any) -> Any:
    """Take `name=URL` with blanks between, each URL with `{address}`; refuse others, without showing them."""
    if not isinstance(value, str):
        return value
    found = [NAMED_CHANNEL.fullmatch(word) for word in value.split()]
    if not all(match and ADDRESS in match[2] for match in found):
        raise ValueError(
            "It is name=URL with blanks between, with {address} in each URL of Apprise, "
            "as mail=mailtos://user:password@example.com?to={address}."
        )
    if len({match[1] for match in found if match}) != len(found):
        raise ValueError("Two channels have one name.")
    if taken := [match[1] for match in found if match and match[1] in OWN_CHANNELS]:
        raise ValueError(f"The name {taken[0]} is taken by a channel of the gateway itself.")
    return value


def push_services(value: Any) -> Any:
    """Read hosts with commas between; refuse a pattern that stands for all of them."""
    if not isinstance(value, str):
        return value
    hosts: tuple[str, ...] = listed(value)
    if not all(PUSH_SERVICE.fullmatch(host) for host in hosts):
        raise ValueError("It is hosts with commas between, as fcm.googleapis.com,*.push.apple.com.")
    return hosts


WebhookSecret = Annotated[SecretStr | None, BeforeValidator(webhook_secret)]
PushServices = Annotated[tuple[str, ...], NoDecode, BeforeValidator(push_services)]
Urls = Annotated[SecretStr | None, BeforeValidator(urls)]
NamedChannels = Annotated[SecretStr | None, BeforeValidator(named_channels)]


class WaysOut(BaseSettings):
    """What an operator can set of how people are told."""

    atlas_notify_url: HttpUrl | None = Field(
        default=None,
        description="A URL that gets a POST for each notice: a call waits for a person, it was decided, its "
        "outcome is unknown, and so on. See [notices](../how-to/notices.md).",
    )
    atlas_notify_secret: WebhookSecret = Field(
        default=None,
        description="`whsec_…`: signs what goes to `ATLAS_NOTIFY_URL`, in the form of Standard Webhooks. "
        "Without it nothing is signed.",
    )
    atlas_notify_urls: Urls = Field(
        default=None,
        description="URLs of Apprise with blanks between, for mail, chats and push services: "
        "`mailtos://user:password@example.com?to=desk@example.com`. Each gets the notices for all reviewers.",
    )
    atlas_notify_channels: NamedChannels = Field(
        default=None,
        description="Channels that the profile of a person can name with an address, as "
        "`mail=mailtos://user:password@example.com?to={address}`, with blanks between.",
    )
    atlas_public_url: HttpUrl | None = Field(
        default=None,
        description="The URL under which people reach the gateway, with its path: links in notices and of "
        "`python -m atlas.people` begin with it. Without it they begin with the URL that start-up prints.",
    )

    atlas_push_services: PushServices = Field(
        default=PUSH_SERVICES,
        description="The push services of browsers in which people may have themselves called: hosts with "
        "commas between, where `*.` stands for any part. The gateway posts to no other.",
    )

    @property
    def notify_urls(self) -> tuple[str, ...]:
        """The URLs of Apprise that are told of what concerns all reviewers."""
        return tuple(self.atlas_notify_urls.get_secret_value().split()) if self.atlas_notify_urls else ()

    @property
    def notify_channels(self) -> dict[str, str]:
        """The URL of each channel that a profile can name."""
        words = self.atlas_notify_channels.get_secret_value().split() if self.atlas_notify_channels else []
        return {word.partition("=")[0]: word.partition("=")[2] for word in words}
