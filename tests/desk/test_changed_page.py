"""An open page whose call changes: no decision is for what a person did not see."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import DESKTOP, faults_of, person
from desk_case import FREE, FREE_POLICY, Desk, ben_changes, desk, form_of
from gateway_process import status_of
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROW = {"width": 320, "height": 640}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway whose calls take two people, who may change them."""
    async with desk(tmp_path_factory.mktemp("changed"), FREE, policy=FREE_POLICY) as one:
        yield one


async def open_page(at: Desk, chromium: Browser, reference: str, size: dict[str, int] = DESKTOP) -> Page:
    """Anna's page of a case, at its decision."""
    page = await at.sign_in(await person(chromium, size=size))
    await page.goto(at.case(reference))
    await page.get_by_role("button", name="Approve", exact=True).scroll_into_view_if_needed()
    return page


@pytest.mark.parametrize("size", [NARROW, DESKTOP], ids=["narrow", "wide"])
async def test_a_call_that_changed_on_an_open_page_is_decided_after_a_look(
    at: Desk, chromium: Browser, size: dict[str, int]
) -> None:
    """A click at the same place does nothing; a line at the buttons says what happened, and takes a press."""
    reference = await at.ask("far_free", a="pay 10 to the plumber", b="word " * 300, n=size["width"])
    page = await open_page(at, chromium, reference, size)
    approve = page.get_by_role("button", name="Approve", exact=True)
    place = await approve.bounding_box()
    assert place is not None
    await ben_changes(at, reference, a="pay 99999 to mallory")
    note = page.locator("#changed")
    await expect(note).to_contain_text("This call changed while you had it open. ben changed the arguments.")
    await page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    await expect(note).to_be_in_viewport()
    await expect(page.locator("#announcer")).to_contain_text("This call changed while you had it open.")
    for name in ("Approve", "Reject", "Approve with changes"):
        button = page.locator(".decision").get_by_role("button", name=name, exact=True, include_hidden=True)
        await expect(button).to_be_disabled()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await faults_of(page) == []
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"
    await page.get_by_role("button", name="I have seen the change").click()
    await expect(note).to_be_hidden()
    await expect(page.locator("#decide")).to_be_focused()
    await approve.click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    await page.context.close()


async def test_keys_and_a_form_that_is_sent_by_a_script_pass_no_change_by(
    at: Desk, chromium: Browser
) -> None:
    """A and X lead to the line that says so, and a comment changes none of it."""
    reference = await at.ask("far_free", a="keys")
    page = await open_page(at, chromium, reference)
    await page.locator("#reason").fill("no")
    await page.get_by_role("button", name="Approve", exact=True).focus()
    await ben_changes(at, reference, a="other")
    note = page.locator("#changed")
    await expect(note).to_be_focused()
    for key in ("a", "x", "Enter", " "):
        await page.keyboard.press(key)
        await expect(note).to_be_focused()
    await page.evaluate("""() => {
        const form = document.querySelector("form.decision");
        const button = form.querySelector("[value=APPROVED]");
        button.disabled = false;
        form.requestSubmit(button);
        button.disabled = false;
        button.click();
    }""")
    await page.get_by_label("Write a comment").fill("still here")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.get_by_text("Your comment is written.")).to_be_visible()
    await expect(note).to_be_visible()
    await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_disabled()
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"
    await page.context.close()


@pytest.mark.sqlite("a changed file is not in force with PostgreSQL: tests/acceptance/test_one_policy.py")
async def test_a_call_that_is_judged_again_under_another_policy_is_decided_after_a_look(
    tmp_path: Path, chromium: Browser
) -> None:
    """What was judged changed under the page, and the line says what."""
    async with desk(tmp_path, FREE, policy=FREE_POLICY) as at:
        reference = await at.ask("far_free", a="judged again")
        page = await open_page(at, chromium, reference, NARROW)
        async with at.person("ben") as ben:
            form = form_of((await ben.get(f"/desk/cases/{reference}")).text, "APPROVED")
            await at.gateway.takes_policy(at.policy, FREE_POLICY.replace("score = 80", "score = 99"))
            assert (await ben.post(f"/desk/cases/{reference}/decision", data=form)).status_code == 409
        await expect(page.locator("#changed")).to_contain_text("The policy was changed")
        await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_disabled()
        assert status_of(at.gateway, reference) == "PENDING_REVIEW"
        await page.context.close()


async def test_a_change_of_ones_own_needs_no_second_look(at: Desk, chromium: Browser) -> None:
    """The person knows it."""
    reference = await at.ask("far_free", a="own")
    page = await open_page(at, chromium, reference)
    await page.get_by_text("Change arguments").click()
    await page.get_by_label("a (a text)").fill("mine")
    await page.get_by_role("button", name="Approve with changes").click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    await expect(page.locator("#changed")).to_be_hidden()
    await expect(page.get_by_role("button", name="Reject")).to_be_enabled()
    await page.context.close()
