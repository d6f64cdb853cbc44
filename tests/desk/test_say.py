"""What people say at the desk beside yes and no, in a browser: with scripts and without them."""

import json
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
import pytest_asyncio
from desk_browser import PHONE, faults_of, person
from desk_office import AGENTS, KEYS, desk_of
from gateway_process import GatewayProcess, call, eventually, reference_in, status_of, text_of
from kept import store_by_hand
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOT = AGENTS["billing-bot"]
POLICY = """
[[rule]]
tool = "request_extension"
when = "args.days > 300"
deny = true

[[rule]]
tool = "request_extension"
score = 80
may_edit = ["days", "reason", "documents"]
"""
TWO = """
[[rule]]
tool = "request_payment_extension"
score = 80
approvals = 2
may_edit = ["reason"]
"""
HOSTILE = "Approve this. <b>ATLAS says: it is safe</b>\u202e{{ 7 * 7 }}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose policy lets people change calls."""
    directory = tmp_path_factory.mktemp("say")
    policy = directory / "policy.toml"
    policy.write_text(POLICY + TWO)
    process = GatewayProcess(
        directory,
        ATLAS_AGENT_KEY=",".join(f"{name}:{key}" for name, key in AGENTS.items()),
        ATLAS_REVIEWER_KEY=",".join(f"{name}:{key}" for name, key in KEYS.items()),
        ATLAS_POLICY=str(policy),
    )
    await process.start()
    yield process
    await process.kill()


async def waiting(at: GatewayProcess, reason: str, tool: str = "request_extension", **more: object) -> str:
    """The reference of a call that waits."""
    async with at.agent(BOT) as agent:
        return reference_in(await call(agent, tool, beneficiary_id="BEN-123", reason=reason, **more))


async def page_at(
    chromium: Browser, at: GatewayProcess, reference: str, name: str = "anna", *, scripts: bool = True
) -> Page:
    """The page of a case in a person's browser."""
    context = await person(chromium, scripts=scripts, size=PHONE)
    return await desk_of(context, at, name, path=f"/desk/cases/{reference}")


async def outcome(at: GatewayProcess, reference: str) -> str:
    """What the agent reads."""
    async with at.agent(BOT) as agent:
        return text_of(await call(agent, "get_outcome", ref=reference, wait_seconds=20))


async def executed(at: GatewayProcess, reference: str) -> None:
    """Wait until it ran."""

    async def is_executed() -> bool:
        return status_of(at, reference) == "EXECUTED"

    await eventually(is_executed)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no_scripts"])
async def test_a_person_changes_a_call_and_approves_it(
    at: GatewayProcess, chromium: Browser, scripts: bool
) -> None:
    """The fields are those of the policy, the page shows the difference, and the agent reads what ran."""
    reason = f"changed at the desk {scripts}\nwith two lines"
    reference = await waiting(at, reason, days=90, documents=["D-1"])
    page = await page_at(chromium, at, reference, scripts=scripts)
    await page.get_by_text("Change arguments").click()
    fields = page.locator("#changes [name^='edit:']")
    assert [await field.get_attribute("name") for field in await fields.all()] == [
        *("edit:days", "edit:reason", "edit:documents"),
    ]
    if scripts:
        assert await faults_of(page) == []
    await page.get_by_label("days").fill("30")
    await page.get_by_role("button", name="Approve with changes").click()
    await expect(page.get_by_text("anna changed what the agent proposed")).to_be_visible()
    await expect(page.locator(".difference")).to_have_text(["days was 90 is 30"], use_inner_text=True)
    await executed(at, reference)
    assert "the tool was called with days = 30, and not with your value" in await outcome(at, reference)
    with closing(store_by_hand(at.data)) as connection:
        [(edited,)] = connection.execute("SELECT arguments FROM edits WHERE case_id = ?", (reference,))
    assert json.loads(edited) == {
        "beneficiary_id": "BEN-123",
        "days": 30,
        "reason": reason,
        "documents": ["D-1"],
    }


async def test_what_is_typed_wrong_changes_nothing_and_stays_in_its_field(
    at: GatewayProcess, chromium: Browser
) -> None:
    """Another type, what the policy denies, no change, and a change with the wrong button."""
    reference = await waiting(at, "typed wrong", days=90)
    page = await page_at(chromium, at, reference, scripts=False)
    for text, button, said in (
        ("many", "Approve with changes", "days is a number, and has to stay one"),
        ("320", "Approve with changes", "The policy denies this call with these arguments"),
        ("1000", "Approve with changes", "Invalid arguments"),
        ("90", "Approve with changes", "You changed no argument"),
        ("30", "Approve", "You changed arguments. Press"),
    ):
        if not await page.get_by_label("days").is_visible():
            await page.get_by_text("Change arguments").click()
        await page.get_by_label("days").fill(text)
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(page.get_by_role("alert")).to_contain_text(said)
        await expect(page.get_by_label("days")).to_have_value(text)
        assert status_of(at, reference) == "PENDING_REVIEW"
    with closing(store_by_hand(at.data)) as connection:
        assert connection.execute("SELECT * FROM edits WHERE case_id = ?", (reference,)).fetchall() == []


async def test_enter_in_a_field_decides_nothing(at: GatewayProcess, chromium: Browser) -> None:
    """A browser would press the first button of the form."""
    reference = await waiting(at, "enter", days=90)
    page = await page_at(chromium, at, reference)
    await page.get_by_text("Change arguments").click()
    await page.get_by_label("days").fill("30")
    await page.get_by_label("days").press("Enter")
    await page.get_by_label("Write a comment").fill("still here")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.get_by_text("Your comment is written.")).to_be_visible()
    assert status_of(at, reference) == "PENDING_REVIEW"


async def test_the_second_of_two_people_sees_what_the_first_one_changed(
    at: GatewayProcess, chromium: Browser
) -> None:
    """And approves that, in its round."""
    reference = await waiting(at, "the agent's words", "request_payment_extension")
    first = await page_at(chromium, at, reference)
    await first.get_by_text("Change arguments").click()
    await first.locator("#changes").get_by_label("reason").fill("a person's words")
    await first.get_by_role("button", name="Approve with changes").click()
    await expect(first.get_by_text("Your approval is recorded.")).to_be_visible()
    assert status_of(at, reference) == "PENDING_REVIEW"
    second = await page_at(chromium, at, reference, "ben")
    await expect(second.get_by_text("anna changed what the agent proposed")).to_be_visible()
    await expect(second.locator(".difference .was")).to_contain_text("the agent's words")
    await second.get_by_role("button", name="Approve", exact=True).click()
    await executed(at, reference)
    assert "a person's words" in await outcome(at, reference)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no_scripts"])
async def test_a_person_asks_the_agent_and_reads_its_claim(
    at: GatewayProcess, chromium: Browser, scripts: bool
) -> None:
    """What it answers is shown as a text of the agent, also when it says more, and approves nothing."""
    reference = await waiting(at, f"asked at the desk {scripts}", days=90)
    page = await page_at(chromium, at, reference, scripts=scripts)
    await page.get_by_role("textbox", name="Ask the agent").fill("Which letter?")
    await page.get_by_role("button", name="Ask the agent").click()
    await expect(page.get_by_text("It has not answered.")).to_be_visible()
    assert "They ask: “Which letter?”" in await outcome(at, reference)
    async with at.agent(BOT) as agent:
        await call(agent, "give_information", ref=reference, text=HOSTILE)
    await page.goto(f"{at.url}/desk/cases/{reference}")
    claim = page.locator(".deciding .claim")
    await expect(claim).to_contain_text("a claim, not checked")
    await expect(claim).to_contain_text("<b>ATLAS says: it is safe</b>")
    await expect(claim).to_contain_text("{{ 7 * 7 }}")
    await expect(claim.locator("b")).to_have_count(0)
    if scripts:
        assert await faults_of(page) == []
    assert status_of(at, reference) == "PENDING_REVIEW"


async def test_a_comment_marks_whom_it_names(at: GatewayProcess, chromium: Browser) -> None:
    """A reviewer with a key is known; another name stays a text."""
    reference = await waiting(at, "named in a comment", days=90)
    page = await page_at(chromium, at, reference)
    await page.get_by_label("Write a comment").fill("@Ben, and @no-one-here: look.")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.locator(".comment .badge")).to_have_text(["@ben"])
    with closing(store_by_hand(at.data)) as connection:
        query = "SELECT content FROM notices WHERE case_id = ? AND kind = 'mentioned'"
        [(content,)] = connection.execute(query, (reference,))
    assert json.loads(content) == {"to": ["ben"], "by": "anna"}
