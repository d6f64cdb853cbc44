"""Each key of a policy that refuses, or asks once more, is driven by each way in.

At the desk too, in a browser and by a form that is made by hand. Keys about times and plans refuse nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from desk_browser import person, show_key
from desk_office import terminal
from gateway_process import GatewayProcess, status_of
from kept import entries_in
from people import ANNA, BRUNO, named_gateway, waiting
from playwright.async_api import Browser, Page

from atlas.assessors.policy.keys import OF_REVIEW
from atlas.cases.terminal.remote import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Trial:
    """A rule, what a person says who may not pass it, and what the gateway answers."""

    key: str
    rule: str  # in a policy
    sentence: str
    said: dict[str, Any] = field(default_factory=dict)
    is_second: bool = False  # whether the person has approved it, and taken that back
    by_terminal: tuple[str, ...] = ()
    action: str = "decide.refused"
    in_ledger: str = ""  # the rule that the entry names
    is_known_before: bool = False  # whether the terminal knows it without asking to approve


EDIT = {"beneficiary_id": "BEN-123", "changes": {"rule": "may_edit", "way": "webhook", "n": 9}}
TRIALS = (
    Trial("separate", 'separate = true\nundo = "1h"', "wants another person now", is_second=True),
    Trial("requires_training", 'requires_training = "benefits"', "takes a training", in_ledger="training"),
    Trial("step_up", "step_up = true", "passkey", is_known_before=True),
    Trial(
        "may_edit",
        'may_edit = ["beneficiary_id"]',
        "lets people change beneficiary_id",
        said={"arguments": EDIT},
        by_terminal=("--set", "changes.n=9"),
    ),
    Trial("reason_from", "reason_from = 50", "reason in your own words"),
    Trial("hide_score", "hide_score = true", "first choice is on record", action="decide.asked_again"),
    Trial("min_seconds", "min_seconds = 3600", "opened this call", action="decide.asked_again"),
    Trial(
        "escalate",
        'reviewers = ["bruno"]\nescalate = {after = "2h", to = "anna"}',
        "lets bruno approve",
        in_ledger="reviewers",
    ),
)
# These refuse no approval: when a call begins or ends, who is told, and what need not come to a person.
OF_TIMES_AND_PLANS = {"undo", "answer_time", "working_hours", "plans"}


def policy() -> str:
    """A rule for each of them, and the calls of both ways under it."""
    rules = (
        f'[[rule]]\ntool = "modify_welfare_record"\nname = "{one.key}"\nscore = 80\n'
        f"when = 'args.changes.rule == \"{one.key}\"'\n{one.rule}\n"
        for one in TRIALS
    )
    return 'unknown_tools = "person"\n' + "\n".join(rules)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway with a rule for each key."""
    directory = tmp_path_factory.mktemp("rules")
    (directory / "policy.toml").write_text(policy())
    process = named_gateway(directory, ATLAS_POLICY=str(directory / "policy.toml"))
    await process.start()
    yield process
    await process.kill()


async def test_no_key_of_the_policy_is_left_out() -> None:
    """A new key needs a trial here, or is one of those that refuse no approval."""
    assert {one.key for one in TRIALS} | OF_TIMES_AND_PLANS == set(OF_REVIEW)


async def waits(gateway: GatewayProcess, trial: Trial, way: str) -> str:
    """A call under the rule, which anna has approved and taken back where the trial needs that."""
    (case_id,) = await waiting(gateway, rule=trial.key, way=way)
    if trial.is_second:
        assert (await gateway.decide(case_id, key=ANNA)).status_code == 200
        assert (await gateway.decide(case_id, "TAKEN_BACK", key=ANNA)).status_code == 200
    return case_id


def refused(gateway: GatewayProcess, case_id: str, trial: Trial) -> list[tuple[str, str]]:
    """Who was refused, or asked once more, by which rule."""
    entries = [one for one in entries_in(gateway.data) if one["case_id"] == case_id]
    assert not [one for one in entries if one["action"] == "execute.started"]
    return [(one["actor"], one["detail"]["rule"]) for one in entries if one["action"] == trial.action]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.key)
async def test_a_rule_holds_by_the_webhook_and_any_person_can_reject(
    gateway: GatewayProcess, trial: Trial
) -> None:
    """It says which rule, also to one who claims another round, and a rejection counts all the same."""
    case_id = await waits(gateway, trial, "webhook")
    case = await asyncio.to_thread(Gateway(gateway.url, key=ANNA).case, case_id)
    seen = {"round": case["round"], "seen_sha256": case["seen_sha256"]}
    answer = await gateway.decide(case_id, key=ANNA, **seen, **trial.said)
    assert answer.status_code in (403, 409, 428), answer.text
    assert trial.sentence in answer.json()["detail"]
    assert refused(gateway, case_id, trial) == [("anna", trial.in_ledger or trial.key)]
    past = await gateway.decide(case_id, key=ANNA, **seen | {"round": case["round"] + 1})
    assert past.status_code == 409
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    assert (await gateway.decide(case_id, "REJECTED", key=ANNA)).status_code == 200


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.key)
async def test_a_rule_holds_in_the_terminal(gateway: GatewayProcess, trial: Trial) -> None:
    """The command prints the sentence, ends with 1, and the call waits as before."""
    case_id = await waits(gateway, trial, "terminal")
    case = await asyncio.to_thread(Gateway(gateway.url, key=ANNA).case, case_id)
    words = ["approve", case_id, "--as", "anna", "--seen", case["seen_sha256"], *trial.by_terminal]
    status, said = await terminal(gateway, *words, keys=f"anna:{ANNA},bruno:{BRUNO}")
    assert (status, trial.sentence in said) == (1, True), said
    wanted = [] if trial.is_known_before else [("anna", trial.in_ledger or trial.key)]
    assert refused(gateway, case_id, trial) == wanted
    assert status_of(gateway, case_id) == "PENDING_REVIEW"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(gateway: GatewayProcess, chromium: Browser) -> Page:
    """Anna's browser, signed in."""
    page = await (await person(chromium)).new_page()
    await show_key(page, gateway.url, ANNA)
    return page


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.key)
async def test_a_rule_holds_at_the_desk_and_for_a_form_that_is_made_by_hand(
    gateway: GatewayProcess, desk: Page, trial: Trial
) -> None:
    """The page says why before there is a button, or after it was pressed; a forged form gets no further."""
    case_id = await waits(gateway, trial, "desk")
    address = f"{gateway.url}/desk/cases/{case_id}"
    await desk.goto(address)
    button = desk.get_by_role("button", name="Approve", exact=True)
    if trial.key == "may_edit":
        fields = desk.locator("[name^='edit:']")
        names = [await field.get_attribute("name") for field in await fields.all()]
        assert names == ["edit:beneficiary_id"]
    elif trial.sentence not in await desk.locator("main").inner_text():
        await button.click()
        await desk.get_by_text(trial.sentence).first.wait_for()
    form = {"verdict": "APPROVED", "round": "2" if trial.is_second else "1"}
    form["form_token"] = await desk.locator("input[name=form_token]").first.get_attribute("value") or ""
    if trial.key == "may_edit":
        form |= {"verdict": "CHANGED", "edit:changes.n": "9"}
    forged = await desk.request.post(f"{address}/decision", form=form, headers={"Origin": gateway.url})
    assert forged.status in (403, 409, 428), await forged.text()
    assert ("anna", trial.in_ledger or trial.key) in refused(gateway, case_id, trial)
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
