"""Pages that are open beside each other: who looks, what became of a case, and a stop."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import faults_of, person
from desk_office import desk_of, extension, office
from gateway_process import GatewayProcess, status_of
from playwright.async_api import Browser, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with two reviewers."""
    process = office(tmp_path)
    await process.start()
    yield process
    await process.kill()


async def test_a_decision_by_keys_is_told_on_each_open_page(
    gateway: GatewayProcess, running: Browser
) -> None:
    """anna's list says that ben looks. Her open page of the case turns into what he decided."""
    reference = await extension(gateway, 30)
    inbox = await desk_of(await person(running), gateway, "anna")
    case = await inbox.context.new_page()
    await case.goto(f"{gateway.url}/desk/cases/{reference}")
    await case.get_by_label("Reason", exact=True).fill("I am not sure")
    ben = await desk_of(await person(running), gateway, "ben")
    await expect(ben.locator(f"#{reference}")).to_contain_text("anna looks at it")
    await ben.keyboard.press("j")
    await ben.keyboard.press("a")
    await ben.wait_for_url("**#approve")
    assert await ben.evaluate("document.activeElement.value") == "APPROVED"
    await expect(inbox.locator(f"#{reference}")).to_contain_text("ben looks at it")
    await ben.keyboard.press("Enter")
    await expect(ben.locator("#done")).to_be_visible()
    await expect(inbox.locator(f"#{reference}")).to_contain_text("approved by ben")
    await expect(case.locator("#case")).to_contain_text("approved by ben", ignore_case=True)
    await expect(case.get_by_role("button", name="Approve")).to_have_count(0)


async def test_enter_that_is_held_since_the_list_approves_nothing(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Right: it opens the call, whose button takes a press of its own. Wrong: the call is approved unread."""
    reference = await extension(gateway, 30)
    page = await desk_of(await person(running), gateway)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await page.locator(f"#{reference}").get_by_role("link", name="Approve…").focus()
    await page.keyboard.down("Enter")
    await page.wait_for_url("**#approve")
    approve = page.get_by_role("button", name="Approve")
    await expect(approve).to_be_focused()
    for _ in range(5):
        await page.keyboard.down("Enter")  # as the keyboard repeats a key that is held
    await page.keyboard.up("Enter")
    await expect(approve).to_be_focused()
    assert set(sent) == {"GET"} and status_of(gateway, reference) == "PENDING_REVIEW"
    await page.keyboard.press("Enter")
    await expect(page.locator("#done")).to_be_visible()


async def test_a_draft_outlives_a_reload_a_live_update_and_a_lost_session(
    gateway: GatewayProcess, running: Browser
) -> None:
    """It is put back for the same person, and forgotten when the decision is taken."""
    reference = await extension(gateway, 30)
    path = f"/desk/cases/{reference}"
    page = await desk_of(await person(running), gateway, path=path)
    reason = page.locator("#reason")
    await reason.fill("The beneficiary has not asked for it.")
    await page.reload()
    await expect(reason).to_have_value("The beneficiary has not asked for it.")
    await page.context.clear_cookies()
    await page.goto(gateway.url + path)
    await expect(page).to_have_url(re.compile("/desk/sign-in"))
    other = await desk_of(page.context, gateway, "ben", path=path)  # at the same browser
    await expect(other.locator("#reason")).to_have_value("")
    await other.close()
    await page.context.clear_cookies()
    again = await desk_of(page.context, gateway, "anna", path=path)
    await expect(again.locator("#reason")).to_have_value("The beneficiary has not asked for it.")
    await again.get_by_role("button", name="Reject").click()
    await expect(again.locator("#done")).to_be_visible()
    kept = "Object.keys(localStorage).filter(name => name.startsWith('atlas-draft'))"
    assert await again.evaluate(kept) == []


async def test_a_stop_and_its_lift_are_told_on_each_open_page(
    gateway: GatewayProcess, running: Browser
) -> None:
    """What waits stands still and goes on again, without a reload."""
    reference = await extension(gateway, 30)
    inbox = await desk_of(await person(running), gateway, "anna")
    ben = await desk_of(await person(running), gateway, "ben", path="/desk/stop")
    await ben.get_by_label("Everything").check()
    await ben.get_by_label("Reason").first.fill("We look into it")
    await ben.locator("main form button").last.click()
    await ben.locator("main form button.danger, main form button.primary").first.click()
    await expect(inbox.locator("#stopped")).to_contain_text("Stopped: everything")
    await expect(inbox.locator("#announcer")).to_contain_text("Stopped: everything")
    await expect(inbox.locator(f"#{reference}")).to_contain_text("Time stands still")
    assert await faults_of(inbox) == []
    await ben.get_by_role("link", name="Lift… the stop of Everything").click()
    await ben.get_by_label("Reason for the lift").fill("It was a mistake")
    await ben.get_by_role("button", name="Lift the stop").click()
    await expect(inbox.locator("#stopped")).to_be_empty()
    await expect(inbox.locator("#announcer")).to_contain_text("Nothing is stopped")
    await expect(inbox.locator(f"#{reference}")).to_contain_text("left")
    await expect(inbox.locator(f"#{reference}")).not_to_contain_text("Time stands still")
