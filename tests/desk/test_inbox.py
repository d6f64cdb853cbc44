"""The inbox: what it shows to whom, how it is asked, and how it changes while a person reads it."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import LOOKS, PHONE, browser, faults_of, person
from desk_office import KEYS, desk_of, extension, modification, office
from gateway_process import GatewayProcess, eventually
from playwright.async_api import Browser, Page, Route, expect
from ports import kept_port

from atlas.cases.lists.listing import Line, Order
from atlas.desk.inbox.alike import groups_of
from atlas.desk.inbox.asked import Asked, Whose, read_asked
from atlas.instants import now
from atlas.models import Status

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with two reviewers."""
    process = office(tmp_path, ATLAS_PORT=str(kept_port()))
    await process.start()
    yield process
    await process.kill()


def a_line(number: int = 1, **changed: object) -> Line:
    """A call that waits."""
    fields = {
        "case_id": f"evt_{number:016x}",
        "tool_name": "pay",
        "principal": "bot",
        "status": Status.PENDING_REVIEW,
        "opened_at": now() - timedelta(minutes=30),
        "expires_at": now() + timedelta(hours=number),
        "frozen_at": None,
        "risk_score": 80,
        "classification": "high",
        "round_number": 1,
        "decision": None,
        "reviewer": None,
        "decided_at": None,
        "finished_at": None,
        "version": 5,
        "reviewers": (),
        "rules": ("pay (line 3)",),
        "arguments_sha256": "0" * 64,
        "has_target_from_outside": False,
    }
    return Line(**fields | changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Asked()),
        ({"tool": " pay ", "agent": "", "risk": ""}, Asked(tool="pay")),  # an empty field of the form
        ({"whose": "all", "risk": "70", "age": "1h"}, Asked(whose=Whose.ALL, risk=70, age="1h")),
        ({"order": "riskiest", "group": "finance"}, Asked(order=Order.RISKIEST, group="finance")),
        # What no form of ours sends is left out.
        ({"risk": "-1", "age": "1y", "order": "newest", "whose": "theirs"}, Asked()),
        ({"risk": "999"}, Asked(risk=100)),
    ],
)
async def test_an_address_says_what_the_inbox_shows(query: dict[str, str], expected: Asked) -> None:
    """And the address that is made of it says the same."""
    from urllib.parse import parse_qsl

    asked = read_asked(query)
    assert asked == expected
    assert read_asked(dict(parse_qsl(asked.query))) == asked


@pytest.mark.parametrize(
    ("asked", "line", "expected"),
    [
        (Asked(), a_line(), True),
        (Asked(), a_line(reviewers=("ben",)), False),  # the policy leaves it to ben
        (Asked(), a_line(reviewers=("ben", "anna")), True),
        (Asked(), a_line(reviewers=("ben", "group:seniors")), True),
        (Asked(), a_line(reviewers=("seniors", "group:desk")), False),
        (Asked(group="desk"), a_line(reviewers=("anna", "group:desk")), True),
        (Asked(whose=Whose.ALL), a_line(reviewers=("ben",)), True),
        (Asked(), a_line(status=Status.AUTHORIZED), False),
        (Asked(tool="read"), a_line(), False),
        (Asked(agent="bot", risk=80), a_line(), True),
        (Asked(risk=81), a_line(), False),
        (Asked(group="ben"), a_line(), False),
        (Asked(age="10m"), a_line(), True),
        (Asked(age="1h"), a_line(), False),
    ],
)
async def test_a_new_call_comes_into_the_inboxes_that_ask_for_it(
    asked: Asked, line: Line, expected: bool
) -> None:
    """By the same conditions as the store has for a list."""
    line = replace(line, opened_at=now() - timedelta(minutes=30))  # it was made when the tests were collected
    assert asked.has(line, ("anna", "group:seniors")) is expected


async def test_three_alike_calls_are_folded_where_the_first_of_them_stands() -> None:
    """Two are not; and the fold tells of the highest risk and the nearest end."""
    other = a_line(9, tool_name="read")
    alike = [a_line(number, risk_score=70 + number) for number in (3, 1, 2)]
    groups = groups_of([alike[0], other, *alike[1:]])
    assert [group.first for group in groups] == [alike[0], other]
    assert groups[0].lines == tuple(alike) and groups[0].is_folded and not groups[1].is_folded
    assert (groups[0].highest_risk, groups[0].nearest_end) == (73, alike[1].expires_at)
    assert [group.lines for group in groups_of([alike[0], other, alike[1]])] == [
        (alike[0],),
        (other,),
        (alike[1],),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"tool_name": "read"},
        {"principal": "other"},
        {"rules": ("pay (line 9)",)},  # the classes are the same
        {"rules": ()},
        {"classification": "minimal"},  # the rule was changed meanwhile
        {"reviewers": ("ben",)},
    ],
)
async def test_calls_that_differ_in_what_the_page_says_they_share_are_not_folded(
    changed: dict[str, object],
) -> None:
    """The page says: same tool, agent and rule."""
    lines = [a_line(1), a_line(2), a_line(3, **changed)]
    assert not any(group.is_folded for group in groups_of(lines))


async def test_a_call_arrives_and_ends_without_a_reload(gateway: GatewayProcess, running: Browser) -> None:
    """It comes at the end of the list, under what is read; when ben decides it, its buttons go.

    The reader's focus stays where it was, and a screen reader hears of both.
    """
    first = await extension(gateway, 30)
    page = await desk_of(await person(running), gateway)
    await page.locator(f"#{first} .open").focus()
    await page.evaluate("window.isThisVeryPage = true")
    second = await extension(gateway, 60, agent="letter-bot")
    await expect(page.locator("[data-list] > li")).to_have_count(2)
    await expect(page.locator("[data-list] > li").nth(1)).to_have_id(second)
    await expect(page.locator("#announcer")).to_contain_text("request_extension by letter-bot")
    await expect(page.locator("#whose")).to_contain_text("For me 2")
    assert (await gateway.decide(second, key=KEYS["ben"])).is_success
    line = page.locator(f"#{second}")
    await expect(line).to_contain_text("approved by ben")
    await expect(line.get_by_role("link", name="Approve")).to_have_count(0)
    await expect(page.locator("#announcer")).to_contain_text("approved by ben")
    await expect(page.locator("#whose")).to_contain_text("For me 1")
    await expect(page.locator("li:has(:focus)")).to_have_id(first)
    assert await page.evaluate("window.isThisVeryPage") is True


async def test_in_another_order_a_new_call_waits_until_it_is_asked_for(
    gateway: GatewayProcess, running: Browser
) -> None:
    """It would stand above what is read, and move it."""
    await extension(gateway, 30)
    page = await desk_of(await person(running), gateway, path="/desk?order=riskiest")
    second = await extension(gateway, 60)
    await expect(page.locator("#arrived")).to_contain_text("1 new call waits")
    await expect(page.locator("[data-list] > li")).to_have_count(1)
    await page.locator("#arrived a").click()
    await expect(page.locator(f"#{second}")).to_be_visible()


async def test_what_is_for_others_is_shown_on_demand(gateway: GatewayProcess, running: Browser) -> None:
    """anna may reject it, and not approve it; the empty inbox tells her of it."""
    reference = await modification(gateway, status="ended")
    page = await desk_of(await person(running), gateway)
    await expect(page.locator("#nothing")).to_contain_text("1 call waits for other people")
    await page.locator("#whose").get_by_text("All").click()
    line = page.locator(f"#{reference}")
    await expect(line).to_contain_text("For ben")
    await expect(line.get_by_role("link", name="Approve")).to_have_count(0)
    await expect(line.get_by_role("link", name="Reject")).to_have_count(1)
    other = await desk_of(await person(running), gateway, "ben")
    await expect(other.locator(f"#{reference}").get_by_role("link", name="Approve")).to_have_count(1)


async def test_a_filter_is_kept_replaced_and_deleted_without_javascript(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Each person has filters of their own."""
    wanted, other = await extension(gateway, 30), await extension(gateway, 60, agent="letter-bot")
    page = await desk_of(await person(running, scripts=False), gateway)
    await page.get_by_label("Agent", exact=True).fill("letter-bot")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(page.locator(f"#{other}")).to_be_visible()
    await expect(page.locator(f"#{wanted}")).to_have_count(0)
    await _keep(page, "Letters")
    await page.goto(f"{gateway.url}/desk?risk=90")
    await _keep(page, "Letters\u200b")  # an unseen character makes no other name
    kept = page.get_by_role("list", name="Kept filters").get_by_role("link")
    await expect(kept).to_have_count(1)
    await expect(kept).to_have_attribute("href", re.compile(r"/desk\?risk=90$"))
    stranger = await desk_of(await person(running, scripts=False), gateway, "ben")
    await expect(stranger.get_by_text("Letters")).to_have_count(0)
    await page.get_by_text("Keep this filter").click()
    await page.get_by_role("button", name="Delete Letters").click()
    await expect(kept).to_have_count(0)
    await expect(page).to_have_url(re.compile("risk=90"))


async def _keep(page: Page, name: str) -> None:
    await page.get_by_text("Keep this filter").click()
    await page.get_by_label("Name").fill(name)
    await page.get_by_role("button", name="Keep", exact=True).click()
    await expect(page.get_by_role("list", name="Kept filters")).to_be_visible()


async def test_single_keys_move_open_and_are_dead_where_a_person_writes(
    gateway: GatewayProcess, running: Browser
) -> None:
    """They decide nothing; a switch turns them off in this browser, also after a reload."""
    references = [await extension(gateway, days) for days in (30, 60)]
    page = await desk_of(await person(running), gateway)
    chosen = page.locator("li[data-case]:has(:focus)")
    await page.keyboard.press("j")
    await expect(chosen).to_have_id(references[0])
    await page.keyboard.press("j")
    await page.keyboard.press("j")  # there is no further one
    await expect(chosen).to_have_id(references[1])
    await page.keyboard.press("k")
    await expect(chosen).to_have_id(references[0])
    await page.keyboard.press("/")
    await page.keyboard.type("ajr?")
    await expect(page.get_by_label("Tool")).to_have_value("ajr?")
    await page.locator("h1").click()
    await page.keyboard.press("Control+a")
    assert page.url.endswith("/desk")
    await page.keyboard.press("a")
    await page.wait_for_url(f"**/desk/cases/{references[0]}#approve")
    await page.goto(f"{gateway.url}/desk")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("the next call")
    assert await faults_of(page) == []
    await page.get_by_label("Single keys are on").uncheck()
    await page.keyboard.press("Escape")
    await page.reload()
    await page.keyboard.press("j")
    await page.keyboard.press("?")
    await expect(chosen).to_have_count(0)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="Keys").click()
    await expect(page.get_by_label("Single keys are on")).not_to_be_checked()
    await page.get_by_label("Single keys are on").check()
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("k")
    await page.keyboard.press("r")
    await page.wait_for_url(f"**/desk/cases/{references[1]}#reject")


async def test_seven_tabs_share_one_stream_and_all_show_what_changes(
    gateway: GatewayProcess, running: Browser
) -> None:
    """A browser allows six connections to a host. When the tab with the stream goes, another one takes it."""
    context = await person(running)
    streams: list[Page] = []
    context.on(
        "request",
        lambda request: streams.append(request.frame.page) if request.url.endswith("/desk/live") else None,
    )
    pages = [await desk_of(context, gateway)]
    for _ in range(6):
        pages.append(await context.new_page())
        await pages[-1].goto(f"{gateway.url}/desk")
    first = await extension(gateway, 30)
    for page in pages:
        await expect(page.locator(f"#{first}")).to_be_visible()
    assert len(set(streams)) == 1
    await streams[-1].close()
    rest = [page for page in pages if not page.is_closed()]
    assert len(rest) == 6
    second = await extension(gateway, 60)
    for page in rest:
        await expect(page.locator(f"#{second}")).to_be_visible()
    assert len({page for page in streams if not page.is_closed()}) == 1


@pytest.mark.parametrize("fault", ["no answer", "not now"])
async def test_the_line_of_a_new_call_that_could_not_be_fetched_is_asked_for_again(
    gateway: GatewayProcess, running: Browser, fault: str
) -> None:
    """With what the page hears next, if it is only that the stream lives."""
    page = await desk_of(await person(running), gateway)
    failed: list[str] = []

    async def once(route: Route) -> None:
        failed.append(route.request.url)
        if len(failed) > 1:
            await route.continue_()
        elif fault == "no answer":
            await route.abort()
        else:
            await route.fulfill(status=503)

    await page.route("**/desk/arrivals?*", once)
    reference = await extension(gateway, 30)
    await expect(page.locator(f"#{reference}")).to_be_visible()
    assert len(failed) == 2


async def test_a_page_recovers_from_a_killed_gateway_without_a_reload(
    gateway: GatewayProcess, running: Browser
) -> None:
    """What happened while its stream was away is asked for: an ending, and a call that is new."""
    first = await extension(gateway, 30)
    page = await desk_of(await person(running), gateway)
    await expect(page.locator(f"#{first}")).to_be_visible()
    port = gateway.url.rpartition(":")[2]
    await gateway.kill()
    await page.context.set_offline(True)  # so that it sees nothing of what follows
    await gateway.start(ATLAS_PORT=port)
    assert (await gateway.decide(first, "REJECTED", key=KEYS["ben"], reason="no")).is_success
    second = await extension(gateway, 60)
    await page.context.set_offline(False)
    await expect(page.locator(f"#{first}")).to_contain_text("rejected by ben")
    await expect(page.locator(f"#{second}")).to_be_visible()


async def test_a_page_whose_session_ended_says_so_and_keeps_nothing_alive(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Signed out in one tab, the other one says that it shows nothing new."""
    context = await person(running)
    page = await desk_of(context, gateway)
    other = await context.new_page()
    await other.goto(f"{gateway.url}/desk")
    form = {"form_token": await other.locator("[name=form_token]").first.get_attribute("value") or ""}
    answer = await context.request.post(f"{gateway.url}/desk/sign-out", form=form, max_redirects=0)
    assert answer.status == 303
    for one in (page, other):
        await expect(one.locator("#signed-out")).to_be_visible()


async def test_without_a_secure_context_each_visible_tab_has_a_stream(tmp_path: Path) -> None:
    """On plain http under a name of the network there are no Web Locks."""
    process = office(tmp_path, ATLAS_ALLOWED_HOSTS="desk.test")
    await process.start()
    try:
        async with browser("--host-resolver-rules=MAP desk.test 127.0.0.1") as other:
            page = await (await person(other)).new_page()
            process.url = process.url.replace("127.0.0.1", "desk.test")
            await page.goto(f"{process.url}/desk/sign-in")  # Chromium alone finds this name
            await page.get_by_label("Key", exact=True).fill(KEYS["anna"])
            await page.get_by_role("button", name="Sign in with the key").click()
            await page.wait_for_url("**/desk")
            process.url = process.url.replace("desk.test", "127.0.0.1")
            assert await page.evaluate("navigator.locks === undefined")
            reference = await extension(process, 30)
            await expect(page.locator(f"#{reference}")).to_be_visible()
    finally:
        await process.kill()


@pytest.mark.parametrize(("dark", "size"), LOOKS)
async def test_axe_finds_nothing_and_a_phone_shows_all(
    gateway: GatewayProcess, running: Browser, dark: bool, size: dict[str, int]
) -> None:
    """With a group, a call that ended, one of others and kept filters; empty too. Main targets have 44 px."""
    page = await desk_of(await person(running, dark=dark, size=size), gateway)
    assert await faults_of(page) == []
    references = [await extension(gateway, days) for days in (30, 60, 90)]
    await extension(gateway, 120, agent="letter-bot")
    await modification(gateway, status="ended")
    await page.goto(f"{gateway.url}/desk?whose=all")
    await page.locator(".group summary").click()
    assert (await gateway.decide(references[0], key=KEYS["ben"])).is_success
    await expect(page.locator(f"#{references[0]}")).to_contain_text("approved by ben")
    assert await faults_of(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    least = 44 if size is PHONE else 24
    for target in await page.locator("main :is(a.button, button):visible").all():
        box = await target.bounding_box()
        assert box is not None and box["height"] >= least, await target.text_content()


async def test_many_waiting_calls_come_by_pages(gateway: GatewayProcess, running: Browser) -> None:
    """The next page begins behind the last call of the one before; each call is on one of them."""
    page = await desk_of(await person(running, scripts=False), gateway)
    async with gateway.agent("key-of-billing-bot-tests") as agent:
        for days in range(1, 54):
            await agent.call_tool(
                "request_extension",
                {"beneficiary_id": "BEN-123", "days": days + 100, "reason": "illness"},
                raise_on_error=False,
            )

    async def all_wait() -> bool:
        await page.goto(f"{gateway.url}/desk")
        return "53" in (await page.locator("#whose").text_content() or "")

    await eventually(all_wait)
    seen = await page.locator("li[data-case]").evaluate_all("lines => lines.map(line => line.id)")
    await page.get_by_role("link", name="Next page").click()
    seen += await page.locator("li[data-case]").evaluate_all("lines => lines.map(line => line.id)")
    assert len(seen) == len(set(seen)) == 53
