"""The page of stops: a person stops and lifts with a second look, and every page says what is stopped."""

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from desk_browser import LOOKS, faults_of, person
from gateway_process import GatewayProcess, call, outcome, reference_in, text_of
from kept import store_by_hand
from playwright.async_api import Browser, Page, expect
from store import open_case, open_store, tool_call

from atlas.cases.store import CaseStore, transition
from atlas.models import Scope, Status, Stop
from atlas.stop.counting import Reach, reach_of, reach_of_lift
from atlas.stop.stops import Stops

HOSTILE = "<script>document.title='caught'</script>\u202e"
READ = {"beneficiary_id": "BEN-123"}

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def waiting_call(gateway: GatewayProcess, reason: str = "hospital stay") -> str:
    async with gateway.agent(None) as agent:
        return reference_in(await call(agent, "request_payment_extension", **READ, reason=reason))


def row_of(gateway: GatewayProcess, case_id: str) -> tuple[Any, ...]:
    with closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT status, expires_at, frozen_at FROM cases WHERE case_id = ?"
        row: tuple[Any, ...] = connection.execute(query, (case_id,)).fetchone()
    return row


async def press(page: Page, role: Any, name: str) -> None:
    """Use a button or a link by the keyboard."""
    await page.get_by_role(role, name=name).first.focus()
    await page.keyboard.press("Enter")


@pytest.mark.parametrize("scripts", [True, False])
async def test_by_keyboard_alone_a_person_stops_everything_and_lifts_it(
    gateway: GatewayProcess,
    running: Browser,
    *,
    scripts: bool,
) -> None:
    """Nothing is stopped before the second page; agents read why; what waits goes on after the lift."""
    case_id = await waiting_call(gateway)
    page = await (await person(running, scripts=scripts)).new_page()
    await page.goto(f"{gateway.url}/desk/stop")
    await expect(page.locator("main")).to_contain_text("Nothing is stopped")
    await page.get_by_label("Everything").focus()
    await page.keyboard.press("Space")
    await page.get_by_label("Reason").focus()
    await page.keyboard.type("The records are being moved.")
    await press(page, "button", "Go on")
    await page.wait_for_selector("h1:has-text('Stop everything?')")
    said = await page.locator(".effects").inner_text()
    assert "1 call waits and freezes" in said and "0 calls are approved" in said and "1 agent" in said
    assert row_of(gateway, case_id)[2] is None
    await press(page, "button", "Stop it now")
    await page.wait_for_selector(".stopped")
    assert row_of(gateway, case_id)[2] is not None
    async with gateway.agent(None) as agent:
        refused = await call(agent, "check_status", **READ)
    assert refused.is_error and "The records are being moved." in text_of(refused)
    for place in ("/desk", "/desk/history", "/desk/overview", "/desk/stop", "/desk/account"):
        await page.goto(gateway.url + place)
        banner = await page.locator(".notice.error").inner_text()
        assert "Stopped: everything" in banner and "The records are being moved." in banner
    await page.goto(f"{gateway.url}/desk")
    await press(page, "link", "See and lift")
    await page.wait_for_url("**/desk/stop")
    await press(page, "link", "Lift… the stop of Everything")
    await page.wait_for_selector("h1:has-text('Lift the stop of everything?')")
    await expect(page.locator(".effects")).to_contain_text("1 call waits again")
    await page.get_by_label("Reason for the lift").focus()
    await page.keyboard.type("They are there.")
    await press(page, "button", "Lift the stop")
    await page.wait_for_selector(".earlier")
    await expect(page.locator(".earlier")).to_contain_text("They are there.")
    await expect(page.locator(".notice.error")).to_have_count(0)
    status, expires_at, frozen_at = row_of(gateway, case_id)
    assert (status, frozen_at) == ("PENDING_REVIEW", None) and expires_at is not None
    assert (await gateway.decide(case_id, key=None)).status_code == 200
    async with gateway.agent(None) as agent:
        assert "now due on" in text_of(await outcome(agent, case_id))


async def test_one_tool_is_stopped_and_the_others_go_on(gateway: GatewayProcess, running: Browser) -> None:
    """Its name is among those to choose from."""
    page = await (await person(running)).new_page()
    await page.goto(f"{gateway.url}/desk/stop")
    await expect(page.get_by_label("Name of the tool")).to_be_hidden()
    await page.get_by_label("One tool").check()
    names = await page.locator("#names-tool option").evaluate_all("all => all.map(one => one.value)")
    assert {"check_status", "request_payment_extension"} <= set(names)
    await page.get_by_label("Name of the tool").fill("check_status")
    await page.get_by_label("Reason").fill("It reads too much.")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator(".effects")).to_contain_text("Every new call of this tool")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.get_by_role("button", name="Stop it now").click()
    await page.wait_for_selector(".stopped")
    async with gateway.agent(None) as agent:
        assert "It reads too much." in text_of(await call(agent, "check_status", **READ))
    assert await waiting_call(gateway)


async def post(gateway: GatewayProcess, path: str, **fields: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        text = (await client.get("/desk/stop")).text
        token = text.partition('name="form_token" value="')[2].partition('"')[0]
        return await client.post(path, data={"form_token": token} | fields)


def in_force(gateway: GatewayProcess) -> list[tuple[Any, ...]]:
    with closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT stop_id, scope, target, reason, stopped_by FROM stops WHERE lifted_at IS NULL"
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({"reason": "x"}, "Choose what to stop."),
        ({"scope": "world", "reason": "x"}, "Choose what to stop."),
        ({"scope": "agent", "reason": "x"}, "Name the agent."),
        ({"scope": "agent", "tool": "check_status", "reason": "x"}, "Name the agent."),
        ({"scope": "tool", "tool": "x" * 201, "reason": "x"}, "Name the tool."),
        ({"scope": "everything"}, "Give a reason"),
        ({"scope": "everything", "reason": " \u200b\n"}, "Give a reason"),
        ({"scope": "everything", "reason": "x" * 1001}, "Give a reason"),
    ],
)
async def test_a_form_that_is_not_whole_stops_nothing_and_keeps_what_was_written(
    gateway: GatewayProcess, fields: dict[str, str], mistake: str
) -> None:
    """Also where its second page is sent by hand."""
    answer = await post(gateway, "/desk/stop", **fields, confirmed="yes")
    assert answer.status_code == 422 and mistake in answer.text
    assert fields.get("reason", "").strip() in answer.text
    assert in_force(gateway) == []


async def test_an_unknown_name_is_said_before_it_is_stopped(
    gateway: GatewayProcess, running: Browser
) -> None:
    """A name is stopped all the same where a person insists; hostile texts stay texts."""
    fields = {"scope": "agent", "agent": HOSTILE, "reason": HOSTILE}
    asked = await post(gateway, "/desk/stop", **fields)
    assert asked.status_code == 200 and "knows no agent with this name" in asked.text
    assert in_force(gateway) == []
    done = await post(gateway, "/desk/stop", **fields, confirmed="yes")
    assert done.status_code == 303
    assert [row[1:3] for row in in_force(gateway)] == [("agent", HOSTILE)]
    page = await (await person(running)).new_page()
    for place in ("/desk/stop", "/desk", f"/desk/stop/lift?stop={in_force(gateway)[0][0]}"):
        await page.goto(gateway.url + place)
        assert "caught" not in await page.title()
        await expect(page.locator(".notice.error")).to_contain_text("U+202E")
        assert "\u202e" not in await page.locator("main").inner_html()


async def test_who_was_quicker_is_told(gateway: GatewayProcess) -> None:
    """The second stop of the same and the second lift change nothing, and say so."""
    fields = {"scope": "everything", "confirmed": "yes"}
    await post(gateway, "/desk/stop", **fields, reason="The first reason.")
    again = await post(gateway, "/desk/stop", **fields, reason="Another.")
    assert again.status_code == 200 and "had stopped it already" in again.text
    assert [row[3] for row in in_force(gateway)] == ["The first reason."]
    asked = await post(gateway, "/desk/stop", scope="everything", reason="Another.")
    assert "has stopped it already" in asked.text
    stop_id = in_force(gateway)[0][0]
    unfit = await post(gateway, "/desk/stop/lift", stop=stop_id, reason=" ")
    assert unfit.status_code == 422 and len(in_force(gateway)) == 1
    assert (await post(gateway, "/desk/stop/lift", stop=stop_id, reason="Over.")).status_code == 303
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        gone = await client.get(f"/desk/stop/lift?stop={stop_id}")
    assert gone.status_code == 404 and "There is no stop" in gone.text
    assert (await post(gateway, "/desk/stop/lift", stop="stop_0", reason="x")).status_code == 404


async def test_a_form_of_another_page_stops_nothing(gateway: GatewayProcess) -> None:
    """A foreign page in the same browser has neither the origin nor the token."""
    fields = {"scope": "everything", "reason": "x", "confirmed": "yes"}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        await client.get("/desk/stop")
        for headers in ({"Origin": "https://example.com"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            for path in ("/desk/stop", "/desk/stop/lift"):
                assert (await client.post(path, data=fields, headers=headers)).status_code == 403
    assert in_force(gateway) == []


async def test_the_numbers_are_those_of_the_calls_that_the_stop_covers(tmp_path: Path) -> None:
    """And of a lift, those that no other stop covers."""
    async with open_store(tmp_path) as store:
        for number, (agent, tool, *way) in enumerate(
            [
                ("a", "pay", Status.PENDING_REVIEW),
                ("a", "pay", Status.AUTHORIZED),
                ("a", "look", Status.AUTHORIZED, Status.EXECUTING),
                ("b", "pay"),
                ("b", "pay", Status.REJECTED),
                ("c", "look", Status.PENDING_REVIEW),
            ]
        ):
            await at(store, number, agent, tool, *way)
        stops = Stops(store.database)
        everything = await stops.stop(Scope.EVERYTHING, reason="x", person_name="anna")
        of_tool = await stops.stop(Scope.TOOL, "pay", reason="x", person_name="anna")
        assert await counted(store, everything) == (Reach(3, 1, 1, 3), Reach(1, 0, 1, 2))
        assert await counted(store, of_tool) == (Reach(2, 1, 0, 2), Reach(0, 0, 0, 0))
        await stops.lift(everything.stop_id, reason="x", person_name="ben")
        assert (await counted(store, of_tool))[1] == Reach(2, 1, 0, 2)


async def at(store: CaseStore, number: int, agent: str, tool: str, *way: Status) -> None:
    case = await open_case(store, tool_call(tool, agent, number=number))
    for status in way:
        case = await store.database.write(
            lambda connection, case=case, status=status: transition(connection, case, status)
        )


async def counted(store: CaseStore, stop: Stop) -> tuple[Reach, Reach]:
    return await store.database.read(
        lambda connection: (reach_of(connection, stop), reach_of_lift(connection, stop))
    )


async def test_axe_finds_nothing_on_the_pages_of_a_stop(gateway: GatewayProcess, running: Browser) -> None:
    """Light and dark, on a desktop and a phone: with and without a stop, a mistake, and both questions."""
    await waiting_call(gateway)
    for dark, size in LOOKS:
        page = await (await person(running, dark=dark, size=size, scripts=True)).new_page()

        async def is_well(page: Page = page, width: int = size["width"]) -> None:
            assert await faults_of(page) == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= width

        await page.goto(f"{gateway.url}/desk/stop")
        await is_well()
        await page.get_by_label("One agent").check()
        await page.get_by_label("Reason").fill("A test. " * 20)
        await page.get_by_role("button", name="Go on").click()
        await page.wait_for_selector(".mistake")
        await is_well()
        await page.get_by_label("Name of the agent").fill("n" * 150)
        await page.get_by_role("button", name="Go on").click()
        await page.wait_for_selector(".effects")
        await is_well()
        await page.get_by_role("button", name="Stop it all the same").click()
        await page.wait_for_selector(".stopped")
        await is_well()
        await page.get_by_role("link", name="Lift… the stop").click()
        await page.wait_for_selector(".effects")
        await is_well()
        await page.get_by_label("Reason for the lift").fill("Done.")
        await page.get_by_role("button", name="Lift the stop").click()
        await page.wait_for_selector(".earlier")
