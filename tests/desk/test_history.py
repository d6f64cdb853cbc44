"""The history: what was searched is found, each ending is told truly, and files are whole and harmless."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import psycopg
import pytest
import pytest_asyncio
from desk_browser import LOOKS, PHONE, faults_of, person
from figured_cases import Told, write
from gateway_process import GatewayProcess, eventually
from kept import database_url, store_by_hand
from many_cases import copy_cases
from playwright.async_api import Browser, expect
from sqlalchemy.engine import Connection
from store import open_store

from atlas.cases.lists.filters import Filter
from atlas.cases.lists.listing import page_of
from atlas.cases.lists.remarks import with_remarks
from atlas.cases.store import CaseStore
from atlas.desk.history.exports import COLUMNS, harmless
from atlas.desk.history.searching import search_of
from atlas.desk.history.told import told_of
from atlas.instants import now
from atlas.models import Scope, Status
from atlas.stop.stops import Stops

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORMULAS = (
    *(
        '=HYPERLINK("http://x")',
        "+1+1",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r\n=1",
        "\ufeff=1",
        "＝1",
        "a;=1",
        " =1",
    ),
)
HOSTILE = ("<script>document.title='caught'</script>", "pay\u202egnp.exe", *FORMULAS)
MOMENT = now().replace(microsecond=0)
# What became of a call, and what its line says of it.
ENDED = [
    (Told(Status.EXECUTED, MOMENT, score=10), "executed approved by the score"),
    (Told(Status.EXECUTED, MOMENT, reviewer="anna"), "executed approved by anna"),
    (
        Told(Status.EXECUTED, MOMENT, score=10, is_tool_error=True),
        "executed, the tool answered with an error approved by the score",
    ),
    (
        Told(Status.REJECTED, MOMENT, reviewer="anna", reason="The date is past."),
        "rejected by anna: The date is past.",
    ),
    (Told(Status.EXPIRED, MOMENT), "expired no person decided in time"),
    (Told(Status.DENIED, MOMENT, detail="Over the limit."), "denied by the policy: Over the limit."),
    (Told(Status.WITHDRAWN, MOMENT), "withdrawn by the agent"),
    (
        Told(Status.FAILED, MOMENT, score=10, detail="Reason: the workflow failed."),
        "failed, not executed: Reason: the workflow failed.",
    ),
    (Told(Status.OUTCOME_UNKNOWN, MOMENT, reviewer="ben"), "outcome unknown approved by ben"),
]
OPEN = [
    (Told(Status.QUEUED, MOMENT), "is being judged"),
    (Told(Status.PENDING_REVIEW, MOMENT), "waits for a person"),
    (Told(Status.AUTHORIZED, MOMENT, reviewer="anna"), "approved, not begun approved by anna"),
    (Told(Status.EXECUTING, MOMENT, score=3), "runs now approved by the score"),
]
MANY = 6_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode with a case of each ending, hostile ones, and 120 older ones."""
    process = GatewayProcess(tmp_path_factory.mktemp("history"), ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    older = [
        Told(Status.EXECUTED, MOMENT - timedelta(days=3, minutes=number), tool="old", score=number % 100)
        for number in range(120)
    ]
    hostile = [
        Told(Status.REJECTED, MOMENT - timedelta(hours=1), tool=text, agent=text, reviewer=text, reason=text)
        for text in HOSTILE
    ]
    await fill(process.data, [*(told for told, _ in ENDED), *hostile, *older])
    await process.start()
    yield process
    await process.kill()


async def fill(data: Path, told: list[Told]) -> None:
    def work(connection: Connection) -> None:
        for number, one in enumerate(told):
            write(connection, one, number)

    async with open_store(data) as store:
        await store.database.write(work)


async def exported(gateway: GatewayProcess, name: str, query: str = "") -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        token = await form_token(client)
        return await client.post(f"/desk/history/export{query}", data={"format": name, "form_token": token})


async def form_token(client: httpx.AsyncClient) -> str:
    page = await client.get("/desk/history")
    return page.text.partition('name="form_token" value="')[2].partition('"')[0]


async def as_rows(gateway: GatewayProcess, query: str = "") -> list[dict[str, Any]]:
    answer = await exported(gateway, "jsonl", query)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_each_ending_is_told_in_words(gateway: GatewayProcess, running: Browser) -> None:
    """The file and the page say the same."""
    rows = await as_rows(gateway, "?tool=pay")
    assert sorted(row["ending"] for row in rows) == sorted(words for _, words in ENDED)
    page = await (await person(running, scripts=False)).new_page()
    await page.goto(f"{gateway.url}/desk/history?tool=pay")
    shown = await page.locator(".lines .ending").all_inner_texts()
    for _, words in ENDED:
        parts = [part for part in (words.partition(": ")[0], words.partition(": ")[2]) if part]
        assert any(all(part in " ".join(text.split()) for part in parts) for text in shown), words


async def test_what_has_not_ended_and_what_a_stop_holds_is_told_too(tmp_path: Path) -> None:
    """From the store, because a gateway would go on with them."""
    told = [one for one, _ in [*OPEN, *ENDED]]
    await fill(tmp_path, told)
    async with open_store(tmp_path) as store:
        assert await sentences(store) == sorted(words for _, words in [*OPEN, *ENDED])
        await Stops(store.database).stop(Scope.EVERYTHING, reason="Wait.", person_name="anna")
        assert {
            "waits for a person its time is frozen by a stop",
            "approved, held by a stop approved by anna",
        } <= {*await sentences(store)}


async def test_a_call_that_a_plan_let_pass_is_not_told_as_approved_by_the_score(tmp_path: Path) -> None:
    """A person approved it beforehand, and is named."""
    await fill(tmp_path, [Told(Status.EXECUTED, MOMENT, score=10)])
    async with open_store(tmp_path) as store:
        [line] = (await page_of(store.database, Filter())).lines
        [(_, remark)] = await with_remarks(store.database, [line])
    assert told_of(replace(line, plan_by="anna"), remark).sentence == "executed passed by a plan of anna"


async def sentences(store: CaseStore) -> list[str]:
    page = await page_of(store.database, Filter())
    lines = await with_remarks(store.database, page.lines)
    return sorted(told_of(line, remark).sentence for line, remark in lines)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?tool=old", 120),
        ("?tool=pay&status=ended", 9),
        ("?tool=pay&status=open", 0),
        ("?status=DENIED", 1),
        ("?reviewer=ben", 1),
        ("?tool=old&score=90", 10),
        ("?q=Over+the+limit&tool=nothing", 0),
        ("?q=date+is+past", 1),
        (f"?until={(MOMENT - timedelta(days=2)):%Y-%m-%d}", 120),
        (f"?from={(MOMENT + timedelta(days=1)):%Y-%m-%d}", 0),
        (f"?tool=old&from={(MOMENT - timedelta(days=4)):%Y-%m-%d}", 120),
        ("?agent=%3Cscript%3Edocument.title%3D%27caught%27%3C%2Fscript%3E", 1),
    ],
)
async def test_a_filter_stands_in_the_address_and_limits_page_and_file(
    gateway: GatewayProcess, query: str, count: int
) -> None:
    """Followed page by page to its end, the list has each case once, the newest first."""
    rows = await as_rows(gateway, query)
    assert len(rows) == count
    assert [row["opened_at"] for row in rows] == sorted((row["opened_at"] for row in rows), reverse=True)
    found, address = [], f"/desk/history{query}"
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        while address:
            text = (await client.get(address)).text
            found += [part.partition('"')[0] for part in text.split('href="/desk/cases/')[1:]]
            address = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert found == [row["case_id"] for row in rows]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("score=101", "score"),
        ("score=%C2%B2", "score"),
        ("status=GONE", "status"),
        ("from=yesterday", "from"),
        ("until=2026-02-30", "until"),
        ("from=9999-12-31", "from"),
        (f"q={'x' * 201}", "q"),
        (f"tool={'x' * 201}", "tool"),
    ],
)
async def test_what_cannot_be_understood_searches_nothing(
    gateway: GatewayProcess, query: str, field: str
) -> None:
    """Else a person took the list for a filtered one; what was written stays in the form."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        page = await client.get(f"/desk/history?{query}")
    assert page.status_code == 422 and f'id="history-{field}-mistake"' in page.text
    assert 'class="lines"' not in page.text
    assert (await exported(gateway, "csv", f"?{query}")).status_code == 422
    assert search_of(dict(parse_qsl(query))).mistakes.keys() == {field}


async def test_an_unknown_format_or_cursor_is_told_as_a_page(gateway: GatewayProcess) -> None:
    """And nothing is written down about an export."""
    before = len(entries(gateway, "people.export_begun"))
    assert (await exported(gateway, "xlsx")).status_code == 422
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        answer = await client.get("/desk/history?after=nonsense")
    assert answer.status_code == 422 and "<h1>" in answer.text
    assert len(entries(gateway, "people.export_begun")) == before


async def test_csv_is_harmless_and_json_lines_are_exact(gateway: GatewayProcess) -> None:
    """No cell begins a formula, also with another sign between cells; JSON has each value."""
    answer = await exported(gateway, "csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="atlas-cases-')
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert tuple(rows[0]) == COLUMNS and {len(row) for row in rows} == {len(COLUMNS)}
    exact = await as_rows(gateway)
    assert [row[0] for row in rows[1:]] == [row["case_id"] for row in exact]
    assert set(HOSTILE) <= {row["tool"] for row in exact} and set(HOSTILE) <= {row["reason"] for row in exact}
    for separator in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=separator):
            for cell in row:
                assert not cell.strip(" \"'\r\n\t").startswith(("=", "+", "@", "＝")) or "'" in cell, cell
    for row in rows:
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "\t", "\r", "\ufeff")), cell
            assert all(character.isprintable() for character in cell), cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        (" =1", " '=1"),
        ("a;=1", "a;'=1"),
        ('a";=1', "a\";'=1"),
        ("\t=1", "[⇥]=1"),
        ("\x07x", "[U+0007]x"),
        ("a = b", "a = b"),
        ("a-b; c", "a-b; c"),
        (None, ""),
        (True, "true"),
        (80, "80"),
        ("Grüße, 10 €", "Grüße, 10 €"),
        ("", ""),
    ],
)
async def test_a_cell_is_made_harmless(value: object, cell: str) -> None:
    """By an apostrophe before the sign, and by names of characters without a shape."""
    assert harmless(value) == cell


def entries(gateway: GatewayProcess, action: str) -> list[dict[str, Any]]:
    """What the ledger says of exports."""
    with closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT actor, detail FROM ledger WHERE action = ? ORDER BY seq"
        return [
            {"actor": actor} | json.loads(detail) for actor, detail in connection.execute(query, (action,))
        ]


async def test_an_export_stands_in_the_ledger(gateway: GatewayProcess) -> None:
    """Who, which filter, how many; a GET exports nothing, and neither does a form of another page."""
    rows = await as_rows(gateway, "?tool=pay&status=ended")
    about = {"actor": "Sarah", "format": "jsonl", "filter": {"tool": "pay", "status": "ended"}}
    assert entries(gateway, "people.export_begun")[-1] == about
    ended = about | {"lines": len(rows), "is_whole": True}

    async def is_noted() -> bool:  # the entry follows the last byte
        return ended in await asyncio.to_thread(entries, gateway, "people.exported")

    await eventually(is_noted)
    before = len(entries(gateway, "people.export_begun"))
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        assert (await client.get("/desk/history/export")).status_code in (404, 405)
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://example.com"}
        refused = await client.post("/desk/history/export", data={"format": "csv"}, headers=foreign)
        assert refused.status_code == 403
    assert len(entries(gateway, "people.export_begun")) == before


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway with thousands of cases, each with a long reason."""
    process = GatewayProcess(tmp_path_factory.mktemp("full"), ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await fill(process.data, [Told(Status.REJECTED, MOMENT, reviewer="anna", reason="No. " * 900)])
    copy_case(process.data, MANY - 1)
    await process.start()
    yield process
    await process.kill()


def copy_case(directory: Path, count: int) -> None:
    """Copy the one case of a store so many times, in one statement for each table."""
    if url := database_url(directory):
        with psycopg.connect(url) as server:
            copy_cases(server, "status = 'REJECTED'", count, apart="-1 minutes")
        return
    with closing(store_by_hand(directory)) as connection:
        for table in ("cases", "assessments", "decisions"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            told = {"case_id": "printf('evt_%016x', n)", "opened_at": OPENED}
            chosen = ", ".join(told.get(name, name) for name in names)
            connection.execute(
                f"WITH RECURSIVE numbers(n) AS "
                f"(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {chosen} FROM {table}, numbers"
            )
        connection.commit()


OPENED = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', opened_at, '-' || n || ' minutes')"


def memory_of(gateway: GatewayProcess) -> int:
    """The highest resident memory of the process so far, in bytes."""
    status = Path(f"/proc/{gateway.process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_an_export_of_thousands_takes_no_memory_and_starts_at_once(full: GatewayProcess) -> None:
    """The first lines are there while only some were read; memory does not grow with the file."""
    some = f"?from={(MOMENT - timedelta(days=1)):%Y-%m-%d}"
    assert MANY / 20 < len(await as_rows(full, some)) < MANY / 2  # takes what an export takes, however long
    async with httpx.AsyncClient(base_url=full.url, timeout=120) as client:
        token = await form_token(client)
        before, lines, size = memory_of(full), 0, 0
        form = {"format": "jsonl", "form_token": token}
        async with client.stream("POST", "/desk/history/export", data=form) as answer:
            async for piece in answer.aiter_bytes():
                if not size:
                    # A piece is sent when it is made, so the rest of it is not in memory either.
                    assert len(piece) < MANY * 7000 / 10
                size += len(piece)
                lines += piece.count(b"\n")
    assert lines == MANY and size > MANY * 7000
    assert memory_of(full) - before < size / 4


async def test_a_broken_connection_ends_the_reading_and_the_ledger_says_so(full: GatewayProcess) -> None:
    """What was sent is counted; it is less than all."""
    async with httpx.AsyncClient(base_url=full.url, timeout=60) as client:
        form = {"format": "csv", "form_token": await form_token(client)}
        async with client.stream("POST", "/desk/history/export", data=form) as answer:
            async for _ in answer.aiter_bytes():
                break

    async def noted() -> list[dict[str, Any]]:
        ended = await asyncio.to_thread(entries, full, "people.exported")
        return [entry for entry in ended if entry["format"] == "csv"]

    (entry,) = await eventually(noted)
    assert entry["is_whole"] is False and entry["lines"] < MANY


async def test_by_keyboard_alone_and_without_javascript(gateway: GatewayProcess, running: Browser) -> None:
    """A person searches, goes on to older cases, and saves the list."""
    page = await (await person(running, scripts=False)).new_page()
    await page.goto(f"{gateway.url}/desk/history")
    await page.get_by_label("Tool").focus()
    await page.keyboard.type("old")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**tool=old**")
    await expect(page.locator(".lines > li")).to_have_count(50)
    await page.get_by_role("link", name="Older").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**after=**")
    await expect(page).to_have_url(re.compile("tool=old"))
    await expect(page.locator(".lines > li")).to_have_count(50)
    await page.get_by_role("button", name="CSV").focus()
    async with page.expect_download() as started:
        await page.keyboard.press("Enter")
    saved = await (await started.value).path()
    assert await asyncio.to_thread(lines_of, saved) == 121


def lines_of(file: Path) -> int:
    return len(file.read_text("utf-8-sig").splitlines())


async def test_on_paper_the_list_says_what_it_is(gateway: GatewayProcess, running: Browser) -> None:
    """The filter, the moment and the person are on it; forms, buttons and the menu are not."""
    page = await (await person(running)).new_page()
    await page.goto(f"{gateway.url}/desk/history?status=REJECTED&q=date")
    await page.emulate_media(media="print")
    said = await page.locator(".asked").inner_text()
    assert "status rejected" in said and "with the text date" in said and "printed for Sarah" in said
    await expect(page.locator("form:visible, nav:visible, button:visible")).to_have_count(0)
    assert await page.locator(".lines > li:visible").count() >= 1
    assert await page.pdf()


async def test_axe_finds_nothing_and_hostile_texts_are_inert(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Light and dark, on a desktop and a phone; the list, a mistake, and an empty list."""
    for dark, size in LOOKS:
        page = await (await person(running, dark=dark, size=size)).new_page()
        query = "?score=x" if size is PHONE and dark else ""
        await page.goto(f"{gateway.url}/desk/history{query}")
        assert await faults_of(page) == []
        await expect(page).to_have_title("History · ATLAS")
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        await expect(page.locator("main script")).to_have_count(0)
        assert "\u202e" not in await page.locator("main").inner_html()
    await page.goto(f"{gateway.url}/desk/history?tool=none")
    await expect(page.locator(".empty")).to_contain_text("No case fits")
    assert await faults_of(page) == []
