"""A case that waits too long goes to another person too, who may approve it then, and not before."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from desk_browser import person
from desk_office import KEYS, extension, modification, office, sign_in, terminal
from gateway_process import GatewayProcess, eventually, status_of
from kept import entries_in, store_by_hand
from playwright.async_api import Browser, expect

from atlas.instants import instant_text, now

pytestmark = pytest.mark.asyncio(loop_scope="session")
RULES = """
unknown_tools = "person"

[[rule]]
tool = "request_extension"
score = 75
reviewers = ["ben"]
review_timeout = "1h"
escalate = { after = "1h", to = "anna" }

[[rule]]
tool = "modify_welfare_record"
score = 95
reviewers = ["ben"]
review_timeout = "2h"
escalate = [{ after = "1h", to = "anna" }]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway where ben decides, and anna too when he does not within an hour."""
    directory = tmp_path_factory.mktemp("escalation")
    gateway = office(directory, rules=RULES)
    await gateway.start()
    yield gateway
    await gateway.kill()


def deeds(gateway: GatewayProcess, case_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What the ledger has of a case, with the details."""
    found = entries_in(gateway.data)
    return [(entry["action"], entry["detail"]) for entry in found if entry["case_id"] == case_id]


async def escalated(gateway: GatewayProcess, amount: int) -> str:
    """A case that anna may not approve, and then may, because its hour has passed."""
    case_id = await modification(gateway, monthly_amount_eur=amount)
    refused = await gateway.decide(case_id, key=KEYS["anna"])
    assert (refused.status_code, refused.json()["error"]) == (403, "RuleRefuses")
    with contextlib.closing(store_by_hand(gateway.data)) as connection, connection:
        connection.execute(
            "UPDATE due_times SET due_at = ? WHERE case_id = ? AND kind = 'escalation'",
            (instant_text(now()), case_id),
        )
    await modification(gateway, monthly_amount_eur=amount + 1)  # a new call has the clock look

    async def is_escalated() -> bool:
        return "decide.escalated" in [action for action, _ in deeds(gateway, case_id)]

    await eventually(is_escalated)
    return case_id


def is_approved(gateway: GatewayProcess, case_id: str) -> bool:
    return (
        _actors(gateway, case_id, "decide.approved") == ["anna"]
        and status_of(gateway, case_id) != "PENDING_REVIEW"
    )


def _actors(gateway: GatewayProcess, case_id: str, action: str) -> list[str]:
    found = entries_in(gateway.data)
    return [e["actor"] for e in found if e["case_id"] == case_id and e["action"] == action]


async def test_by_the_webhook(at: GatewayProcess) -> None:
    """The refusal before stands in the ledger; the approval after counts."""
    case_id = await escalated(at, 700)
    assert (await at.decide(case_id, key=KEYS["anna"])).status_code == 200
    assert is_approved(at, case_id)
    actions = [action for action, _ in deeds(at, case_id)]
    assert (
        actions.index("decide.refused") < actions.index("decide.escalated") < actions.index("decide.approved")
    )


async def test_at_the_desk(at: GatewayProcess, chromium: Browser) -> None:
    """The page offers the approval to the person to whom it went, and its timeline says so."""
    case_id = await escalated(at, 710)
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, path=f"/desk/cases/{case_id}")
    await page.get_by_text("It waited too long and went to others too").first.wait_for()
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_text("Your approval is recorded.").wait_for()
    await context.close()
    assert is_approved(at, case_id)


async def test_the_page_says_when_people_are_reminded(at: GatewayProcess, chromium: Browser) -> None:
    """At half of the time first; a step at the end of the time never comes, so the page does not name it."""
    case_id = await extension(at, 45)
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, path=f"/desk/cases/{case_id}")
    said = page.get_by_text("People are reminded at")
    reminded_at = datetime.fromisoformat(await said.locator("time").get_attribute("datetime") or "")
    left = page.locator(".time-left time").last
    ends_at = datetime.fromisoformat(await left.get_attribute("datetime") or "")
    assert abs(ends_at - reminded_at - timedelta(minutes=30)) < timedelta(seconds=2)
    assert await page.get_by_text("It goes to").count() == 0
    await context.close()
    assert (await at.decide(case_id, "REJECTED", key=KEYS["anna"])).status_code == 200


async def test_in_the_terminal(at: GatewayProcess) -> None:
    """With the digest of what was shown."""
    case_id = await escalated(at, 720)
    status, shown = await terminal(at, "show", case_id)
    assert status == 0
    status, _ = await terminal(at, "approve", case_id, "--seen", shown.split()[-1])
    assert status == 0
    assert is_approved(at, case_id)


async def test_who_is_not_named_yet_may_reject_and_not_approve(at: GatewayProcess, chromium: Browser) -> None:
    """A form made by hand is refused too; a step at the end of the time never comes."""
    case_id = await extension(at, 30)
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, path=f"/desk/cases/{case_id}")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    hidden = page.locator("form.decision input[type=hidden]")
    form = {}
    for one in await hidden.all():
        form[str(await one.get_attribute("name"))] = str(await one.get_attribute("value"))
    answer = await page.request.post(
        f"{at.url}/desk/cases/{case_id}/decision",
        form=form | {"verdict": "APPROVED"},
        headers={"Origin": at.url},
    )
    assert answer.status == 403
    await context.close()
    assert status_of(at, case_id) == "PENDING_REVIEW"
    assert (await at.decide(case_id, "REJECTED", key=KEYS["anna"])).status_code == 200
