"""An approval is taken back before the call begins: at the desk, by the webhook, in the terminal."""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from desk_browser import faults_of, person
from desk_office import AGENTS, KEYS, extension, modification, office, sign_in, terminal
from gateway_process import GatewayProcess, eventually, outcome, status_of, text_of
from kept import entries_in
from playwright.async_api import Browser, Page, expect

from atlas import ledger
from atlas.instants import read_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")
RULES = """
unknown_tools = "person"

[[rule]]
tool = "request_extension"
score = 75
undo = "1h"

[[rule]]
tool = "modify_welfare_record"
score = 95
undo = "2s"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway where an extension can be taken back for an hour, and a change for two seconds."""
    directory = tmp_path_factory.mktemp("undo")
    gateway = office(directory, rules=RULES)
    await gateway.start()
    yield gateway
    await gateway.kill()


def entries(gateway: GatewayProcess, case_id: str) -> list[tuple[str, str]]:
    """What the ledger has of a case: deed and person; all of it verifies."""
    found = list(entries_in(gateway.data))
    assert ledger.verify(found) == len(found)
    return [(entry["action"], entry["actor"]) for entry in found if entry["case_id"] == case_id]


def begun(gateway: GatewayProcess, case_id: str) -> int:
    return [action for action, _ in entries(gateway, case_id)].count("execute.started")


async def is_executed(gateway: GatewayProcess, case_id: str) -> bool:
    return status_of(gateway, case_id) == "EXECUTED"


async def told(gateway: GatewayProcess, case_id: str, agent: str = "billing-bot", *, wait: int = 0) -> str:
    """What the agent reads of its call."""
    async with gateway.agent(AGENTS[agent]) as client:
        return text_of(await outcome(client, case_id, wait_seconds=wait))


async def approve_at_desk(page: Page, gateway: GatewayProcess, case_id: str) -> None:
    await page.goto(f"{gateway.url}/desk/cases/{case_id}")
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_text("Your approval is recorded.").wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_person_takes_an_approval_back_at_the_desk(
    at: GatewayProcess, chromium: Browser, scripts: bool
) -> None:
    """With scripts the page counts down; without them it says until when, and the button works."""
    case_id = await extension(at, 10 + scripts)
    context = await person(chromium, scripts=scripts)
    page = await context.new_page()
    await sign_in(page, at)
    await approve_at_desk(page, at, case_id)
    assert "unless the approval is taken back" in await told(at, case_id)
    left = page.locator("time[data-countdown]")
    await expect(left).to_have_text(re.compile(r"5\d min"), use_inner_text=True)
    if scripts:
        assert await faults_of(page) == []
    await page.get_by_role("button", name="Take the approval back").click()
    await page.get_by_text(
        "The approval is taken back." if scripts else "It waits for a person."
    ).first.wait_for()
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await context.close()
    assert (await told(at, case_id)).startswith("PENDING REVIEW")
    assert status_of(at, case_id) == "PENDING_REVIEW"
    assert ("decide.taken_back", "anna") in entries(at, case_id)
    assert begun(at, case_id) == 0


async def test_another_reviewer_sees_no_button_and_stops_the_call_by_rejecting_it(
    at: GatewayProcess, chromium: Browser
) -> None:
    """A form that is made by hand is refused with a sentence."""
    case_id = await extension(at, 20)
    await at.decide(case_id, key=KEYS["anna"])
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, "ben", path=f"/desk/cases/{case_id}")
    await expect(page.get_by_role("button", name="Take the approval back")).to_have_count(0)
    token = await page.locator("input[name=form_token]").first.get_attribute("value")
    forged = await page.request.post(
        f"{at.url}/desk/cases/{case_id}/take-back",
        form={"form_token": token or ""},
        headers={"Origin": at.url},
    )
    assert forged.status == 403
    assert "Only who approved case" in await forged.text()
    stranger = await page.request.post(
        f"{at.url}/desk/cases/{case_id}/take-back", form={}, headers={"Origin": at.url}
    )
    assert stranger.status == 403
    assert status_of(at, case_id) == "AUTHORIZED"
    await page.get_by_label("In your words").or_(page.get_by_label("Reason")).first.fill("Not this one.")
    await page.get_by_role("button", name="Reject").click()
    await page.get_by_text("Your rejection is recorded.").wait_for()
    await context.close()
    assert (await told(at, case_id)).startswith("REJECTED")
    assert [one for one in entries(at, case_id) if one[1] == "ben"] == [
        ("decide.taken_back", "ben"),
        ("decide.rejected", "ben"),
    ]


async def test_a_program_takes_an_approval_back_by_the_webhook(at: GatewayProcess) -> None:
    """Its own, once; another person's is refused, and so is one that was never given."""
    case_id = await extension(at, 30)
    never = await at.decide(case_id, "TAKEN_BACK", key=KEYS["anna"])
    assert (never.status_code, never.json()["error"]) == (409, "TakeBackRefused")
    await at.decide(case_id, key=KEYS["anna"])
    other = await at.decide(case_id, "TAKEN_BACK", key=KEYS["ben"])
    assert (other.status_code, other.json()["error"]) == (403, "NotPermitted")
    stranger = await at.decide(case_id, "TAKEN_BACK", key="no-such-key")
    assert stranger.status_code == 401
    agent = await at.decide(case_id, "TAKEN_BACK", key=AGENTS["billing-bot"])
    assert agent.status_code == 403
    taken = await at.decide(case_id, "TAKEN_BACK", key=KEYS["anna"], reason="wrong file")
    assert taken.status_code == 200
    assert taken.json() == {"status": "Approval Taken Back", "decision": "TAKEN_BACK", "event_id": case_id}
    assert (await at.decide(case_id, "TAKEN_BACK", key=KEYS["anna"])).status_code == 200
    assert entries(at, case_id).count(("decide.taken_back", "anna")) == 1
    old = await at.decide(case_id, key=KEYS["anna"])  # an approval of the round before
    assert (old.status_code, old.json()["error"]) == (409, "CallChanged")
    assert (await at.decide(case_id, key=KEYS["anna"], round=2)).status_code == 200
    assert begun(at, case_id) == 0


async def test_a_person_takes_an_approval_back_in_the_terminal(at: GatewayProcess) -> None:
    """And reads why not, where it is another person's, with the exit status of a refusal."""
    case_id = await extension(at, 40)
    await at.decide(case_id, key=KEYS["anna"])
    status, said = await terminal(at, "take-back", case_id, keys=f"ben:{KEYS['ben']}")
    assert status == 1
    assert "can take the approval back: anna" in said
    status, said = await terminal(at, "take-back", case_id)
    assert (status, said) == (0, f"The approval of {case_id} is taken back. The call waits again.\n")
    assert status_of(at, case_id) == "PENDING_REVIEW"


async def test_a_call_begins_by_itself_when_the_time_is_over_and_is_then_not_taken_back(
    at: GatewayProcess, chromium: Browser
) -> None:
    """It is executed once; webhook and terminal say that it has begun, and the desk shows no button."""
    case_id = await modification(at, monthly_amount_eur=700)
    await at.decide(case_id, key=KEYS["anna"])
    await eventually(partial(is_executed, at, case_id))
    assert (await told(at, case_id, "letter-bot", wait=25)).startswith("EXECUTED")
    assert begun(at, case_id) == 1
    late = await at.decide(case_id, "TAKEN_BACK", key=KEYS["anna"])
    assert (late.status_code, "The call has begun." in late.json()["detail"]) == (409, True)
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, path=f"/desk/cases/{case_id}")
    await expect(page.get_by_role("button", name="Take the approval back")).to_have_count(0)
    await context.close()
    found = list(entries_in(at.data))
    times = {entry["action"]: entry["at"] for entry in found if entry["case_id"] == case_id}
    assert times["execute.started"] > times["decide.approved"]
    assert seconds_between(times["decide.approved"], times["execute.started"]) >= 2


def seconds_between(first: str, last: str) -> float:
    return (read_instant(last) - read_instant(first)).total_seconds()


async def test_what_was_taken_back_and_approved_again_is_executed_once(at: GatewayProcess) -> None:
    """The run goes through both rounds."""
    case_id = await modification(at, monthly_amount_eur=710)
    await at.decide(case_id, key=KEYS["anna"])
    assert (await at.decide(case_id, "TAKEN_BACK", key=KEYS["anna"])).status_code == 200
    assert (await at.decide(case_id, key=KEYS["anna"], round=2)).status_code == 200

    async def ran() -> Any:
        return status_of(at, case_id) == "EXECUTED"

    await eventually(ran)
    assert begun(at, case_id) == 1
