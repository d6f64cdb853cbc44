"""The tables and examples of the documentation equal the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from documentation import ROOT, checked, page, quoted

from atlas.agents.answers import INSTRUCTIONS
from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.ledger import Action
from atlas.models import TRANSITIONS, Ruling, Status
from atlas.operate.error_shape import HTTP_STATUS
from atlas.outbox.addresses import Addresses
from atlas.outbox.channels.apprise_urls import service_of
from atlas.people.records.profiles import Profile
from atlas.settings import Settings
from atlas.upstreams.config import Transport, read_upstreams
from docs import generate

SETTINGS = {name.upper() for name in Settings.model_fields}


# What is made from the code


@pytest.mark.parametrize("path", generate.GENERATED, ids=lambda path: path.name)
def test_a_page_that_is_made_from_the_code_is_what_the_code_says(path: Path) -> None:
    """Else `python docs/generate.py` writes it."""
    assert path.read_text() == generate.page_text(path)


def test_every_setting_is_described() -> None:
    """In the class, where the page gets it from."""
    assert all(field.description for field in Settings.model_fields.values())


# The example file


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a setting stands twice in .env.example"
    return {name: value for name, _, value in pairs}


def test_the_example_file_lists_the_settings_and_no_others() -> None:
    """A person who copies .env.example sees all that can be set."""
    assert example().keys() == SETTINGS


def test_the_values_of_the_example_file_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying .env.example unchanged changes nothing, and it spells out the defaults that can be spelled."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings(_env_file=None)
    assert Settings(_env_file=ROOT / ".env.example") == defaults
    shipped_with_the_code = {"ATLAS_POLICY"}
    spelled = {name for name, value in example().items() if value}
    assert spelled == {name for name in SETTINGS if getattr(defaults, name.lower())} - shipped_with_the_code


# States, actions, errors


def test_the_states_are_listed_with_their_transitions() -> None:
    """The table of states is TRANSITIONS."""
    rows = page("docs/reference/states-and-ledger.md").table("state")
    assert {quoted(state)[0]: set(quoted(following)) for state, _, following in rows} == {
        status.value: {following.value for following in TRANSITIONS.get(status, ())} for status in Status
    }
    final = {quoted(state)[0] for state, _, following in rows if following == "final"}
    assert final == {status.value for status in Status if status.is_final}


def test_the_actions_of_the_ledger_are_listed_in_the_order_of_the_code() -> None:
    """Each one once."""
    rows = page("docs/reference/states-and-ledger.md").table("action")
    assert sorted(quoted(action)[0] for action, _ in rows) == sorted(action.value for action in Action)


def test_the_readme_has_one_row_for_each_stage() -> None:
    """In the order of the path, and the page behind it one heading for each."""
    stages = ["admit", "assess", "decide", "execute", "report"]
    rows = page("README.md").table("stage")
    assert [(stage, quoted(module)) for stage, module, _ in rows] == [
        (stage, [f"atlas/{stage}.py"]) for stage in stages
    ]
    headings = re.findall(r"^## (\w+): `", page("docs/explanation/life-of-a-call.md").text, re.MULTILINE)
    assert [heading.lower() for heading in headings] == stages
    acts_of_people = {"people", "plan", "policy", "notice", "stop"}  # about no call
    assert {action.value.partition(".")[0] for action in Action} - acts_of_people == set(stages)


def test_each_error_of_the_webhook_and_the_desk_has_its_status() -> None:
    """The statuses in the first two tables are those of HTTP_STATUS."""
    by_name = {error.__name__: status for error, status in HTTP_STATUS.items()}
    webhook, desk, *_ = page("docs/reference/errors.md").tables("status")
    rows = webhook + desk
    told = {quoted(name)[0]: int(status) for status, name, _ in rows}
    known = {name: status for name, status in told.items() if name in by_name}
    assert known == {name: by_name[name] for name in known}
    assert told.keys() == known.keys()
    assert by_name.keys() - known.keys() == {"TransitionRefused"}  # what no request can bring about


# Examples


def test_the_prompt_for_agents_is_what_they_are_told() -> None:
    """Word for word."""
    assert checked("prompt") == INSTRUCTIONS


def test_the_example_of_servers_is_read(tmp_path: Path) -> None:
    """A program and a URL, of which the second has another prefix and fewer tools."""
    path = tmp_path / "mcp.json"
    path.write_text(checked("upstreams"))
    files, crm = read_upstreams(path, {"HOME": "/home/of-mine", "CRM_TOKEN": "secret"})
    assert (files.way, files.args[-1], files.name_of("read_file")) == (
        Transport.STDIO,
        "/home/of-mine/shared",
        "files_read_file",
    )
    assert (crm.way, crm.headers["Authorization"], crm.seconds) == (Transport.HTTP, "Bearer secret", 60)
    assert crm.name_of("contact_find") == "customers_contact_find"
    assert crm.tools.allows("contact_find") and not crm.tools.allows("contact_delete")
    assert not crm.tools.allows("invoice_find")


def test_the_example_of_client_credentials_is_read(tmp_path: Path) -> None:
    """With its secret from a variable."""
    path = tmp_path / "mcp.json"
    path.write_text(checked("credentials"))
    [billing] = read_upstreams(path, {"BILLING_SECRET": "secret"})
    assert billing.auth is not None and billing.auth.client_secret is not None
    assert (billing.auth.type, billing.auth.scopes) == ("client_credentials", "invoices.read")
    assert billing.auth.client_secret.get_secret_value() == "secret"


def test_the_example_of_text_messages_reaches_a_telephone() -> None:
    """The setting is taken, and Apprise finds the number of the profile in the URL; it comes at once."""
    name, _, value = checked("sms").strip().partition("=")
    addresses = Addresses(Settings(_env_file=None, **{name.lower(): value.strip('"')}))
    [way] = addresses.of_person(Profile(name="anna", channels=("sms:+491701234567",)))
    service = service_of(way.url)
    assert service is not None and service.targets == ["491701234567"]
    assert not way.is_mail


async def ruling(path: Path, tool: str, **arguments: Any) -> Ruling:
    question = Question(tool=ToolFacts(name=tool), arguments=arguments, principal="agent")
    return await Policy(path, threshold=70).rule(question)


@pytest.mark.parametrize("name", ["policy", "policy-in-short"])
async def test_the_examples_of_a_policy_score_as_they_say(tmp_path: Path, name: str) -> None:
    """A short extension is approved by its score, and what no rule names waits for a person."""
    path = tmp_path / "policy.toml"
    path.write_text(checked(name))
    assert (await ruling(path, "request_extension", days=7)).score == 20
    assert (await ruling(path, "request_extension", days=8)).score >= 70
    modify = await ruling(path, "modify_record")
    assert (modify.score, modify.floor) == (95, 70)
    assert (await ruling(path, "delete_record")).is_denied
    assert (await ruling(path, "a_tool_that_says_nothing")).floor == 70


async def test_the_longer_example_gives_a_person_three_days(tmp_path: Path) -> None:
    """And a second rule for all requests takes what the first one does not."""
    path = tmp_path / "policy.toml"
    path.write_text(checked("policy"))
    assert (await ruling(path, "modify_record")).review_seconds == 3 * 24 * 3600
    long = await ruling(path, "request_extension", days=8)
    assert (long.score, long.floor) == (80, 0)
