"""Slack as the desk: a message with buttons, what they decide, and what the message says afterwards."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, GatewayProcess
from people import ANNA, client, named_gateway, waiting
from slack import (
    CHANNEL,
    NEXT_SECRET,
    TOKEN,
    Slack,
    buttons_of,
    pressed,
    settings_of,
    signed_by_slack,
    slack,
    text_of,
)
from systems import post
from words import whole_words

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """
[[rule]]
name = "all"
tool = "*"
score = 83

[[rule]]
name = "with a passkey"
tool = "*"
when = '"passkey" in args.changes'
step_up = true
score = 83

[[rule]]
name = "with a reason"
tool = "*"
when = '"typed" in args.changes'
reason_from = 80
score = 83

[[rule]]
name = "score hidden"
tool = "*"
when = '"hidden" in args.changes'
hide_score = true
score = 83

[[rule]]
name = "undo"
tool = "*"
when = '"undo" in args.changes'
undo = "600s"
score = 83

[[rule]]
name = "two"
tool = "*"
when = '"two" in args.changes'
approvals = 2
score = 83
"""


class Office:
    """A gateway and its workspace."""

    def __init__(self, gateway: GatewayProcess, workspace: Slack) -> None:
        self.gateway, self.slack = gateway, workspace

    async def waits(self, **changes: Any) -> tuple[str, dict[str, Any]]:
        """A new call that waits, and its message."""
        (case_id,) = await waiting(self.gateway, unlike_others=str(time.time_ns()), secret="4711", **changes)
        return case_id, await self.slack.shown(case_id, "waits for your decision", live=True)

    async def press(self, raw: bytes, headers: dict[str, str]) -> int:
        """What the gateway answers Slack."""
        return (await post(self.gateway, raw, headers, path="/webhook/slack")).status_code

    async def case(self, case_id: str) -> dict[str, Any]:
        """A case as a program reads it."""
        async with client(self.gateway) as http:
            case: dict[str, Any] = (await http.get(f"/cases/{case_id}")).json()
        return case

    async def assert_undecided(self, case_id: str) -> None:
        """Nothing was decided, and the message still asks."""
        case = await self.case(case_id)
        assert (case["status"], case["decision"], tuple(case["ruling"]["given"])) == (
            "PENDING_REVIEW",
            None,
            (),
        )
        assert buttons_of(await self.slack.shown(case_id, live=True)).keys() >= {"Approve", "Reject"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One gateway and one workspace for all tests."""
    directory: Path = tmp_path_factory.mktemp("slack")
    (directory / "policy.toml").write_text(POLICY)
    async with AsyncExitStack() as stack:
        workspace = await stack.enter_async_context(slack())
        policy = str(directory / "policy.toml")
        gateway = named_gateway(directory, **settings_of(workspace), ATLAS_POLICY=policy)
        await gateway.start()
        stack.push_async_callback(gateway.kill)
        yield Office(gateway, workspace)


async def test_a_message_names_the_call_without_its_arguments(office: Office) -> None:
    """Reference, tool, agent, score, time left, and a link to the desk; what an agent named is no markup."""
    case_id, message = await office.waits()
    said = text_of(message)
    for part in (case_id, "Tool: modify_welfare_record", "Agent: agent", "Risk score: 83", "Time left: "):
        assert part in said
    assert message["channel"] == CHANNEL and "4711" not in whole_words(message)
    assert buttons_of(message)["Open at the desk"]["url"] == f"{office.gateway.url}/desk/cases/{case_id}"
    assert all(block["text"]["type"] == "plain_text" for block in message["blocks"] if "text" in block)


async def test_the_score_is_not_in_a_message_where_a_rule_hides_it(office: Office) -> None:
    """A press is the first choice, which is told with the score to this person alone."""
    case_id, message = await office.waits(hidden=1)
    assert "83" not in whole_words(text_of(message))
    before = len(office.slack.ephemeral)
    assert await office.press(*pressed(buttons_of(message)["Approve"])) == 200
    told = await office.slack.told(before + 1)
    assert "Your first choice is on record. The score is 83 of 100" in told["text"]
    await office.assert_undecided(case_id)


@pytest.mark.parametrize(("label", "done"), [("Approve", "approved"), ("Reject", "rejected")])
async def test_a_button_decides_for_the_mapped_person_and_the_message_loses_its_buttons(
    office: Office, label: str, done: str
) -> None:
    """The case says that it came through Slack."""
    case_id, message = await office.waits()
    assert await office.press(*pressed(buttons_of(message)[label])) == 200
    decision = (await office.case(case_id))["decision"]
    assert (decision["decision"], decision["reviewer"], decision["way"]) == (done.upper(), "anna", "slack")
    await office.slack.shown(case_id, f"It was {done} by anna, through slack.", live=False)
    assert len(office.slack.of_case(case_id)) == 1


async def test_a_message_is_rewritten_whatever_way_the_case_was_decided(office: Office) -> None:
    """By a program here; to approve by a button that Slack still shows does nothing."""
    case_id, message = await office.waits()
    await office.gateway.decide(case_id, "REJECTED", key=ANNA)
    await office.slack.shown(case_id, "It was rejected by anna.", live=False)
    before = len(office.slack.ephemeral)
    assert await office.press(*pressed(buttons_of(message)["Approve"], "U0BEN")) == 200
    assert "rejected by anna" in (await office.slack.told(before + 1))["text"]
    assert (await office.case(case_id))["decision"]["decision"] == "REJECTED"


async def test_a_message_is_rewritten_again_until_slack_takes_it(office: Office) -> None:
    """Also where Slack fails at first."""
    case_id, _ = await office.waits()
    office.slack.fails += ["internal_error", "ratelimited"]
    await office.gateway.decide(case_id, "REJECTED", key=ANNA)
    await office.slack.shown(case_id, "It was rejected by anna.", live=False)
    assert office.slack.fails == []


async def test_the_same_press_again_is_one_decision(office: Office) -> None:
    """A copy of the very bytes."""
    case_id, message = await office.waits()
    once = pressed(buttons_of(message)["Reject"])
    assert [await office.press(*once) for _ in range(2)] == [200, 200]
    entries = [one for one in (await office.case(case_id))["timeline"] if one["action"] == "decide.rejected"]
    assert len(entries) == 1


async def test_both_secrets_sign_while_one_takes_the_others_place(office: Office) -> None:
    """The fixture signs with the first one elsewhere."""
    case_id, message = await office.waits()
    assert await office.press(*pressed(buttons_of(message)["Reject"], secret=NEXT_SECRET)) == 200
    assert (await office.case(case_id))["decision"]["reviewer"] == "anna"


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"passkey": 1}, "passkey"), ({"typed": 1}, "reason")],
    ids=["step_up", "reason_from"],
)
async def test_what_a_rule_asks_more_of_an_approval_is_done_at_the_desk(
    office: Office, changes: dict[str, Any], words: str
) -> None:
    """The person alone reads the sentence, with the link; a rejection by a press counts."""
    case_id, message = await office.waits(**changes)
    before = len(office.slack.ephemeral)
    assert await office.press(*pressed(buttons_of(message)["Approve"])) == 200
    told = await office.slack.told(before + 1)
    assert (told["user"], told["channel"]) == ("U024BE7LH", CHANNEL)
    assert words in told["text"] and f"{office.gateway.url}/desk/cases/{case_id}" in told["text"]
    await office.assert_undecided(case_id)
    assert await office.press(*pressed(buttons_of(message)["Reject"])) == 200
    await office.slack.shown(case_id, "It was rejected by anna, through slack.", live=False)


async def test_the_first_of_two_approvals_is_told_to_its_person(office: Office) -> None:
    """The second one decides."""
    case_id, message = await office.waits(two=1)
    before = len(office.slack.ephemeral)
    await office.press(*pressed(buttons_of(message)["Approve"]))
    assert "It is 1 of 2" in (await office.slack.told(before + 1))["text"]
    await office.press(*pressed(buttons_of(message)["Approve"], "U0BEN"))
    await office.slack.shown(case_id, "It was approved by bruno, through slack.", live=False)
    approvals = (await office.case(case_id))["ruling"]["given"]
    assert [(one["reviewer"], one["way"]) for one in approvals] == [("anna", "slack"), ("bruno", "slack")]


async def test_a_person_whom_the_settings_do_not_map_decides_nothing(office: Office) -> None:
    """They read which line an operator writes."""
    case_id, message = await office.waits()
    before = len(office.slack.ephemeral)
    assert await office.press(*pressed(buttons_of(message)["Reject"], "U0STRANGER")) == 200
    assert "slack:U0STRANGER=NAME" in (await office.slack.told(before + 1))["text"]
    await office.assert_undecided(case_id)


async def test_an_approval_is_for_what_the_message_showed(office: Office) -> None:
    """A digest or a round of something else approves nothing."""
    case_id, message = await office.waits()
    button = buttons_of(message)["Approve"]
    reference, round_number, seen = button["value"].split()
    for number, value in enumerate((f"{reference} {round_number} {'0' * 64}", f"{reference} 2 {seen}"), 1):
        before = len(office.slack.ephemeral)
        assert await office.press(*pressed(button | {"value": value})) == 200, number
        assert case_id in (await office.slack.told(before + 1))["text"]
    await office.assert_undecided(case_id)


async def test_on_a_message_of_an_earlier_round_a_rejection_counts_and_an_approval_does_not(
    office: Office,
) -> None:
    """The call was approved, and that was taken back; both messages end with the truth."""
    case_id, message = await office.waits(undo=1)
    made = buttons_of(message)
    await office.gateway.decide(case_id, key=ANNA)
    await office.gateway.decide(case_id, "TAKEN_BACK", key=ANNA)
    await office.slack.shown(case_id, "was judged again, and waits for your decision", live=True)
    before = len(office.slack.ephemeral)
    assert await office.press(*pressed(made["Approve"], "U0BEN")) == 200
    assert case_id in (await office.slack.told(before + 1))["text"]
    await office.assert_undecided(case_id)
    assert await office.press(*pressed(made["Reject"], "U0BEN")) == 200
    await office.slack.told_of(case_id, "It was rejected by bruno, through slack.", count=2)
    assert len(office.slack.of_case(case_id)) == 2


async def test_a_copy_that_the_gateway_does_not_know_loses_its_buttons_when_one_is_pressed(
    office: Office,
) -> None:
    """Slack had taken a first attempt, whose answer was lost, and posted the second one too."""
    case_id, message = await office.waits()
    office.slack.messages["1600000000.000100"] = dict(message)
    place = {"container": {"type": "message", "message_ts": "1600000000.000100", "channel_id": CHANNEL}}
    await office.gateway.decide(case_id, "REJECTED", key=ANNA)
    await office.slack.told_of(case_id, "It was rejected by anna.", count=1)
    assert await office.press(*pressed(buttons_of(message)["Approve"], "U0BEN", **place)) == 200
    await office.slack.told_of(case_id, "It was rejected by anna.", count=2)
    assert all(not buttons_of(one) for one in office.slack.of_case(case_id))


async def test_a_press_that_slack_did_not_sign_now_is_refused(office: Office) -> None:
    """Old, ahead, changed, with another secret, with the bot's token, with headers twice or missing."""
    case_id, message = await office.waits()
    button = buttons_of(message)["Approve"]
    raw, headers = pressed(button)
    refused = [
        pressed(button, age=301),
        pressed(button, age=-600),
        pressed(button, secret="b" * 32),
        pressed(button, secret=TOKEN),
        (raw + b"&", headers),
        (raw.replace(b"U024BE7LH", b"U0BEN"), headers),
        (raw, headers | {"X-Slack-Signature": headers["X-Slack-Signature"].replace("v0=", "v1=")}),
        (raw, headers | {"X-Slack-Signature": "v0="}),
        (raw, {name: text for name, text in headers.items() if name != "X-Slack-Signature"}),
        (raw, {name: text for name, text in headers.items() if name != "X-Slack-Request-Timestamp"}),
        (raw, [*headers.items(), ("X-Slack-Signature", headers["X-Slack-Signature"])]),
        (raw, headers | {"Authorization": f"Bearer {ANNA}"}),
    ]
    for one in refused:
        assert await office.press(*one) == 401, one
    assert await office.press(raw, headers | {"Authorization": f"Bearer {AGENT_KEY}"}) == 403
    assert await office.press(*pressed(button, type="view_submission")) == 422
    await office.assert_undecided(case_id)


async def test_a_form_that_holds_no_button_of_ours_is_refused(office: Office) -> None:
    """Two payloads, no JSON, two actions, another value: each is signed, and none decides."""
    case_id, message = await office.waits()
    good = {"type": "block_actions", "user": {"id": "U024BE7LH"}, "channel": {"id": CHANNEL}}
    action = {"action_id": "atlas.approve", "value": buttons_of(message)["Approve"]["value"]}
    forms: list[Any] = [
        [("payload", json.dumps(good | {"actions": [action]}))] * 2,
        {"payload": "{"},
        {"payload": json.dumps([])},
        {"other": "x"},
        {"payload": json.dumps(good | {"actions": [action, action]})},
        {"payload": json.dumps(good | {"actions": [action | {"value": case_id}]})},
        {"payload": json.dumps(good | {"actions": [action], "user": {"id": ["U024BE7LH"]}})},
    ]
    for form in forms:
        assert await office.press(*signed_by_slack(urlencode(form).encode())) == 422, form
    await office.assert_undecided(case_id)


async def test_to_open_the_link_decides_nothing(office: Office) -> None:
    """Slack tells of it as of any button."""
    case_id, message = await office.waits()
    assert await office.press(*pressed(buttons_of(message)["Open at the desk"])) == 200
    await office.assert_undecided(case_id)


async def test_the_form_of_slack_is_no_decision_at_the_other_address(office: Office) -> None:
    """Its headers are no key there."""
    case_id, message = await office.waits()
    raw, headers = pressed(buttons_of(message)["Approve"])
    assert (await post(office.gateway, raw, headers)).status_code == 401
    await office.assert_undecided(case_id)


async def test_two_people_press_in_the_same_instant_and_one_decision_counts(office: Office) -> None:
    """Twenty times; the other one is told, and the message says who it was."""
    for _ in range(20):
        case_id, message = await office.waits()
        made = buttons_of(message)
        presses = [pressed(made["Approve"]), pressed(made["Reject"], "U0BEN")]
        assert await asyncio.gather(*(office.press(*one) for one in presses)) == [200, 200]
        decision = (await office.case(case_id))["decision"]
        done = f"It was {decision['decision'].lower()} by {decision['reviewer']}, through slack."
        await office.slack.shown(case_id, done, live=False)
