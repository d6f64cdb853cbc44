"""An open page loses no change: what comes late, in another order or not at all, it asks for again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from desk_browser import person
from desk_case import Desk, form_of
from gateway_process import eventually
from playwright.async_api import Browser, Page, Route, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def reading(at: Desk, chromium: Browser) -> AsyncIterator[Page]:
    """A page of anna, who has signed in; what it asks for at the end concerns no other test."""
    context = await person(chromium)
    page = await at.sign_in(context)
    yield page
    for opened in context.pages:
        await opened.unroute_all(behavior="ignoreErrors")
    await context.close()


async def comment(at: Desk, reference: str, text: str = "I look at it, too.") -> None:
    """Ben writes a comment."""
    async with at.person("ben") as ben:
        await ben.post(f"/desk/cases/{reference}/comments", data={"text": text})


async def reject(at: Desk, reference: str) -> None:
    """Ben rejects a call."""
    async with at.person("ben") as ben:
        form = form_of((await ben.get(f"/desk/cases/{reference}")).text, "REJECTED", reason="mine")
        assert (await ben.post(f"/desk/cases/{reference}/decision", data=form)).status_code == 303


ASKED_EARLY = """const fetched = window.fetch;
window.fetch = (address, ...rest) => {
    if (String(address).includes("/desk/live/newer"))
        window.couldHear ??= document.querySelector("#case")?.hasAttribute("data-htmx-powered");
    return fetched(address, ...rest);
};"""


async def test_a_page_asks_what_it_missed_when_it_can_act_on_the_answer(at: Desk, chromium: Browser) -> None:
    """What is news before htmx knows the page would be heard by no element of it."""
    reference = await at.ask(invoice_id="L-1")
    async with reading(at, chromium) as page:
        await page.add_init_script(ASKED_EARLY)
        await page.goto(at.case(reference))
        await eventually(partial(page.evaluate, "window.couldHear !== undefined"))
        assert await page.evaluate("window.couldHear")


ASKING = """() => {
    const asked = [];
    const note = ({ target }) => asked.push(target.id);
    document.addEventListener("htmx:config:request", note);
    askAgain(document.querySelector("#looking"));
    document.removeEventListener("htmx:config:request", note);
    return asked;
}"""


async def test_who_looks_at_a_case_is_asked_for_without_the_page_of_the_case(
    at: Desk, chromium: Browser
) -> None:
    """A colleague who opens a case does not make the gateway write all open pages of it once more."""
    reference = await at.ask(invoice_id="L-2")
    async with reading(at, chromium) as page:
        await page.goto(at.case(reference))
        await expect(page.locator("#looking")).to_have_attribute("data-htmx-powered", "true")
        assert await page.evaluate(ASKING) == ["looking"]
        async with at.person("ben") as ben:
            await ben.get(f"/desk/cases/{reference}")
        await expect(page.locator("#looking")).to_have_text("ben looks at this case too.")


HAD_BUTTONS = """window.hadButtons = new Promise((done) => document.addEventListener("htmx:finally:swap",
    ({ detail }) => { if (detail.ctx.sourceElement.id === "case")
        done(document.querySelector("button[value=APPROVED]") !== null); }, { once: true }))"""


async def test_a_page_that_was_asked_for_before_a_decision_does_not_bring_the_buttons_back(
    at: Desk, chromium: Browser
) -> None:
    """It comes after the answer to the form, and is older than that."""
    reference = await at.ask(invoice_id="L-3")
    is_asked, may_come = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if "desk-automatic" not in route.request.headers or is_asked.is_set():
            await route.continue_()
            return
        answer = await route.fetch()
        is_asked.set()
        await may_come.wait()
        await route.fulfill(response=answer)

    async with reading(at, chromium) as page:
        await page.goto(at.case(reference))
        await page.route(at.case(reference), late)
        await comment(at, reference)
        await is_asked.wait()
        await page.locator("#reason").fill("a wrong invoice")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("Your rejection is recorded.")).to_be_visible()
        await page.evaluate(f"() => {{ {HAD_BUTTONS} }}")
        may_come.set()
        assert await page.evaluate("window.hadButtons") is False
        await expect(page.locator("#decide")).to_have_text("What happened")


async def test_a_page_whose_stream_says_nothing_asks_after_a_while(at: Desk, chromium: Browser) -> None:
    """A proxy keeps it back, or the machine slept: no error tells the browser that it hears nothing."""
    reference = await at.ask(invoice_id="L-4")
    is_silent = True

    async def silent(route: Route) -> None:
        if not is_silent:
            await route.continue_()  # and else the browser waits for ever

    async with reading(at, chromium) as page:
        await page.route("**/desk/live", silent)
        await page.clock.install()
        async with page.expect_response("**/desk/live/newer?*"):
            await page.goto(at.case(reference))
        await reject(at, reference)
        is_silent = False
        await page.clock.fast_forward(90_000)
        await expect(page.locator("#decide")).to_have_text("What happened")


async def test_what_could_not_be_fetched_is_asked_for_with_the_next_news(at: Desk, chromium: Browser) -> None:
    """The gateway had no answer for a moment: here for the line that says what is stopped."""
    reference = await at.ask(invoice_id="L-5")
    place = f"{at.gateway.url}/desk/stopped"
    async with reading(at, chromium) as page, at.person("ben") as ben:
        await page.goto(at.case(reference))
        await page.route(place, lambda route: route.fulfill(status=503, body=""), times=1)
        stop = {"scope": "agent", "target": "<b>bot</b>", "reason": "It is being moved."}
        async with page.expect_response(place) as failed:
            answer = await ben.post("/stops", json=stop)
        assert answer.status_code == 201, answer.text
        assert (await failed.value).status == 503
        await comment(at, reference)
        await expect(page.locator("#stopped")).to_contain_text("It is being moved.")
        await ben.post(f"/stops/{answer.json()['stop_id']}/lift", json={"reason": "It is there."})
        await expect(page.locator("#stopped")).not_to_contain_text("It is being moved.")


@pytest.mark.parametrize("is_secure", [True, False], ids=["leader", "alone"])
async def test_a_change_between_the_page_and_its_stream_is_shown(
    at: Desk, chromium: Browser, is_secure: bool
) -> None:
    """The page was written before a decision, and its stream opens after it."""
    reference = await at.ask(invoice_id=f"L-6-{is_secure}")

    async def late(route: Route) -> None:
        answer = await route.fetch()
        await reject(at, reference)
        await route.fulfill(response=answer)

    async with reading(at, chromium) as page:
        if not is_secure:  # as where the desk is reached without TLS: each tab has its stream
            await page.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
        await page.route(at.case(reference), late, times=1)
        await page.goto(at.case(reference))
        await expect(page.locator("#decide")).to_have_text("What happened")


async def test_a_tab_whose_leader_goes_hears_of_the_next_change(at: Desk, chromium: Browser) -> None:
    """The tab that held the stream is closed; the other one opens its own."""
    reference = await at.ask(invoice_id="L-7")
    async with reading(at, chromium) as leader:
        await leader.goto(at.case(reference))
        await eventually(partial(leader.evaluate, "isLeader"))
        page = await leader.context.new_page()
        await page.goto(at.case(reference))
        assert not await page.evaluate("isLeader")
        await leader.close()
        await reject(at, reference)
        await expect(page.locator("#decide")).to_have_text("What happened")
        await eventually(partial(page.evaluate, "isLeader"))
