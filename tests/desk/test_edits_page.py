"""Arguments that a person changes on an open page: none is lost, and none comes into another round."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from desk_browser import person
from desk_case import FREE, FREE_POLICY, KEYS, Desk, ben_changes, desk, form_of
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway whose calls take two people, who may change them."""
    async with desk(tmp_path_factory.mktemp("changed"), FREE, policy=FREE_POLICY) as one:
        yield one


async def open_page(at: Desk, chromium: Browser, reference: str) -> Page:
    """Anna's page of a case."""
    page = await at.sign_in(await person(chromium))
    await page.goto(at.case(reference))
    return page


async def test_arguments_that_are_being_changed_outlive_a_reload_and_a_session_that_ended(
    at: Desk, chromium: Browser
) -> None:
    """The fold is open again, and its field has what was typed; after the decision it is forgotten."""
    reference = await at.ask("far_free", a="pay 5000", b="stays")
    page = await open_page(at, chromium, reference)
    await page.get_by_text("Change arguments").click()
    await page.get_by_label("a (a text)").fill("pay 5")
    await page.reload()
    await expect(page.get_by_label("a (a text)")).to_have_value("pay 5")
    await page.context.clear_cookies()
    await page.get_by_role("button", name="Approve with changes").click()
    await expect(page.get_by_text("is kept in this browser")).to_be_visible()
    await page.locator("input[name=key]").fill(KEYS["anna"])
    await page.locator("form:has(input[name=key]) button").first.click()
    await expect(page.get_by_label("a (a text)")).to_have_value("pay 5")
    await expect(page.get_by_label("b (a text)")).to_have_value("stays")
    await page.get_by_role("button", name="Approve with changes").click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage).filter((name) => name.includes('-edit-'))") == []
    await page.context.close()


async def test_a_field_of_a_new_round_has_its_value_and_what_was_typed_stands_beside_it(
    at: Desk, chromium: Browser
) -> None:
    """Also where a field was typed in and put back: no change of another person is undone."""
    reference = await at.ask("far_free", a="100", b="old")
    page = await open_page(at, chromium, reference)
    await page.get_by_text("Change arguments").click()
    for text in ("tmp", "old"):
        await page.get_by_label("b (a text)").fill(text)
    await page.get_by_label("a (a text)").fill("7")
    await ben_changes(at, reference, a="100", b="of ben")
    await expect(page.get_by_label("b (a text)")).to_have_value("of ben")
    await expect(page.get_by_label("a (a text)")).to_have_value("100")
    dropped = page.locator("#dropped")
    await expect(dropped).to_contain_text("It is not in the fields")
    await expect(dropped.locator("li")).to_have_text(["a = “7”"])
    await page.get_by_role("button", name="I have seen the change").click()
    await page.get_by_role("button", name="Forget it").click()
    await expect(dropped).to_be_hidden()
    await page.get_by_label("a (a text)").fill("150")
    await page.get_by_role("button", name="Approve with changes").click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    async with at.person("ben") as ben:
        case = (await ben.get(f"/cases/{reference}")).json()
    assert case["arguments"] == {"a": "150", "b": "of ben"}
    await page.context.close()


async def test_back_in_the_browser_brings_no_text_of_an_earlier_round_into_the_fields(
    at: Desk, chromium: Browser
) -> None:
    """A browser puts back what stood in fields of a name; each round has fields of its own."""
    reference = await at.ask("far_free", a="first\nsecond", b=True)
    page = await open_page(at, chromium, reference)
    await page.get_by_text("Change arguments").click()
    await page.get_by_label("a (a text)").fill("of round one")
    await page.get_by_label("b (").select_option("false")
    await page.get_by_role("link", name="Inbox").first.click()
    await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    await ben_changes(at, reference, a="of ben\nhere", b="true")
    await page.go_back()
    await expect(page.locator("#dropped")).to_contain_text("It is not in the fields")
    assert await page.get_by_label("a (a text)").input_value() == "of ben\nhere"
    assert await page.get_by_label("b (").input_value() == "true"
    await page.context.close()


async def test_a_reason_that_is_written_after_ones_own_approval_outlives_a_live_update(
    at: Desk, chromium: Browser
) -> None:
    """Of two approvals one is given; its person may still reject, and says why."""
    reference = await at.ask("far_free", a="twice", b="x")
    page = await open_page(at, chromium, reference)
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    await page.locator("#reason").fill("It is the wrong person.")
    await page.locator("#reason").blur()
    async with at.person("ben") as ben:
        form = form_of((await ben.get(f"/desk/cases/{reference}")).text, "APPROVED")
        said = {"form_token": form["form_token"], "text": "Look at this."}
        assert (await ben.post(f"/desk/cases/{reference}/comments", data=said)).status_code == 303
    await expect(page.get_by_text("Look at this.")).to_be_visible()
    await expect(page.locator("#reason")).to_have_value("It is the wrong person.")
    await page.context.close()
