"""Two people sign in in one browser, one after the other: no page of the first takes a part of the second."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from desk_browser import person, show_key
from desk_case import KEYS, Desk, field, form_of
from desk_visitor import Visitor
from gateway_process import status_of
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def two_tabs(at: Desk, chromium: Browser, place: str) -> AsyncIterator[tuple[Page, Page]]:
    """A page that anna has opened, and another tab of her browser."""
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(place)
    await expect(page.locator("header .who")).to_contain_text("anna")
    yield page, await context.new_page()
    await context.close()


async def comment(at: Desk, reference: str) -> None:
    """Carl writes a comment, so that open pages of the case ask for it."""
    async with at.person("carl") as carl:
        await carl.post(f"/desk/cases/{reference}/comments", data={"text": "Look at the number."})


async def test_a_page_of_anna_takes_no_part_of_the_page_of_ben(at: Desk, chromium: Browser) -> None:
    """Right: the tab is loaded again and says ben. Wrong: under “anna” stands a form that approves as ben."""
    reference = await at.ask(invoice_id="W-1")
    async with two_tabs(at, chromium, at.case(reference)) as (page, other):
        await page.locator("#reason").fill("anna's own words")
        await show_key(other, at.gateway.url, KEYS["ben"])
        await comment(at, reference)
        await expect(page.get_by_text("Look at the number.")).to_be_visible()
        await expect(page.locator("header .who")).to_contain_text("ben")
        await expect(page.locator("#reason")).to_have_value("")
        await show_key(other, at.gateway.url, KEYS["anna"])
        await page.goto(at.case(reference))
        await expect(page.locator("#reason")).to_have_value("anna's own words")


async def test_a_form_of_an_older_page_of_anna_is_not_taken_for_ben(at: Desk, chromium: Browser) -> None:
    """Right: the page says why, and the call waits. Wrong: the approval is recorded for one of them."""
    reference = await at.ask(invoice_id="W-2")
    async with two_tabs(at, chromium, at.case(reference)) as (page, other):
        await show_key(other, at.gateway.url, KEYS["ben"])
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("alert")).to_contain_text("Another person has signed in")
        assert status_of(at.gateway, reference) == "PENDING_REVIEW"


async def test_a_page_with_words_that_no_draft_keeps_is_not_loaded_again(at: Desk, chromium: Browser) -> None:
    """Right: a line says that another person has signed in. Wrong: a long reason is gone."""
    async with two_tabs(at, chromium, f"{at.gateway.url}/desk/stop") as (page, other):
        await page.get_by_label("Reason").fill("It pays too much.")
        await show_key(other, at.gateway.url, KEYS["ben"])
        async with at.person("carl") as carl:
            stop = {"scope": "agent", "target": "<b>bot</b>", "reason": "It is being moved."}
            made = (await carl.post("/stops", json=stop)).json()
            await expect(page.locator("#another-person")).to_contain_text("Another person has signed in")
            await expect(page.get_by_label("Reason")).to_have_value("It pays too much.")
            await expect(page.locator("header .who")).to_contain_text("anna")
            await carl.post(f"/stops/{made['stop_id']}/lift", json={"reason": "It is there."})


async def test_what_a_page_of_another_person_asks_for_is_answered_with_nothing(at: Desk) -> None:
    """Right: anna's page gets no part, no news, and sends no form. Wrong: any answer has a token of ben."""
    reference = await at.ask(invoice_id="W-3")
    place = f"/desk/cases/{reference}"
    async with Visitor(at.gateway) as visitor:
        await visitor.sign_in(way="key", key=KEYS["anna"])
        of_anna = {"Desk-Person": field_of_body((await visitor.get(place)).text), "HX-Request": "true"}
        assert (await visitor.get(place, headers=of_anna)).status_code == 200
        await visitor.sign_in(way="key", key=KEYS["ben"])
        for path in (place, f"{place}/looking", "/desk/live/newer", "/desk/arrivals", "/desk/stopped"):
            answer = await visitor.get(path, headers=of_anna)
            assert (answer.status_code, answer.headers["HX-Refresh"], answer.text) == (409, "true", "")
        page = (await visitor.get(place)).text
        refused = await visitor.post(f"{place}/decision", data=form_of(page, "APPROVED"), headers=of_anna)
        assert refused.status_code == 403 and field(page, "form_token") not in refused.text
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"


def field_of_body(page: str) -> str:
    """For whom a page says that it was made."""
    return page.partition('data-whose="')[2].partition('"')[0]
