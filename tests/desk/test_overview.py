"""The overview: its figures are right, its pictures can be read without eyes and without colours."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import LOOKS, faults_of, person, show_key
from desk_office import KEYS, office
from figured_cases import Told, write
from gateway_process import GatewayProcess
from playwright.async_api import Browser, expect
from sqlalchemy.engine import Connection
from store import open_store

from atlas.cases.figures.period import Figures, FiguresKept
from atlas.cases.figures.spans import SETTLED, spans_of
from atlas.cases.figures.tallies import Answer, Ending, median, percentile
from atlas.cases.store import CaseStore, add_decision, read_case, transition
from atlas.desk.figures.charts import charts_of, reviewers_of
from atlas.desk.figures.pictures import columns, rows, scale
from atlas.instants import now
from atlas.models import Decision, Status, Verdict

HOSTILE = ("<script>document.title='caught'</script>", "pay\u202egnp.exe", "'\"><img src=x>", "z" * 190)
MOMENT = datetime(2026, 3, 29, 14, 37, 12, 345678, tzinfo=timezone.utc)


def some_calls(moment: datetime, count: int = 300) -> list[Told]:
    """Calls of a hundred days with every ending."""
    chance = random.Random(13)  # noqa: S311  (no secret)
    made = []
    for _ in range(count):
        status = chance.choice(list(Status))
        by_person = status in (Status.REJECTED, Status.PENDING_REVIEW, Status.EXPIRED)
        score = chance.randrange(70, 101) if by_person else chance.randrange(101)
        is_decided = status is Status.REJECTED or (score >= 70 and status not in UNDECIDED)
        made.append(
            Told(
                status,
                moment - timedelta(days=100 * chance.random() ** 2),
                tool=chance.choice(("pay", "look", "send", *HOSTILE)),
                agent=chance.choice(("a", "b")),
                score=score,
                reviewer=chance.choice(("anna", "ben", "<b>carla</b>")) if is_decided else None,
                after=timedelta(seconds=chance.expovariate(1 / 900)),
            )
        )
    return made


UNDECIDED = (Status.QUEUED, Status.PENDING_REVIEW, Status.EXPIRED, Status.DENIED, Status.WITHDRAWN)


async def put(store: CaseStore, told: list[Told]) -> list[str]:
    def work(connection: Connection) -> list[str]:
        return [write(connection, one, number).case_id for number, one in enumerate(told)]

    return await store.database.write(work)


def check(figures: Figures, told: list[Told], days: int, moment: datetime) -> None:
    """Compare the figures with what was written, counted one by one."""
    first = (moment - timedelta(days=days - 1)).strftime("%Y-%m-%d")
    mine = [one for one in told if one.opened_at.strftime("%Y-%m-%d") >= first]
    assert figures.all.calls == len(mine)
    for day, tally in figures.by_day.items():
        of_day = [one for one in mine if one.opened_at.date() == day]
        assert tally.calls == len(of_day), day
        assert tally.endings == Counter((one.tool, expected_ending(one)) for one in of_day)
    assert sum(tally.calls for tally in figures.by_day.values()) == len(mine)
    assert figures.all.answers == Counter(
        (min(one.score // 10 * 10, 90), expected_answer(one)) for one in mine
    )
    for name in ("anna", "ben", "<b>carla</b>", None):
        seconds = [one.after.total_seconds() for one in mine if one.reviewer and name in (None, one.reviewer)]
        measured = figures.all.seconds_of(name)
        assert measured == pytest.approx(sorted(seconds), abs=0.01)
        assert (percentile(measured, 0.95) or 0) == pytest.approx(by_counting(seconds, 0.95), abs=0.01)
    waiting = [moment - one.opened_at for one in told if one.status is Status.PENDING_REVIEW]
    assert len(figures.waiting) == len(waiting)
    for measured_age, age in zip(figures.waiting, sorted(waiting), strict=True):
        assert abs(measured_age - age) < timedelta(minutes=5)


def expected_ending(one: Told) -> Ending:
    if one.status is Status.EXECUTED:
        return Ending.EXECUTED_BY_PERSON if one.reviewer else Ending.EXECUTED_BY_SCORE
    open_ones = (Status.QUEUED, Status.PENDING_REVIEW, Status.AUTHORIZED, Status.EXECUTING)
    return Ending.OPEN if one.status in open_ones else Ending[one.status.name]


def expected_answer(one: Told) -> Answer:
    if one.status in (Status.QUEUED, Status.PENDING_REVIEW):
        return Answer.OPEN
    if one.status in (Status.EXPIRED, Status.WITHDRAWN):
        return Answer.NONE
    if one.status in (Status.DENIED, Status.REJECTED):
        return Answer[one.status.name]
    return Answer.APPROVED_BY_PERSON if one.reviewer else Answer.APPROVED_BY_SCORE


def by_counting(values: list[float], share: float) -> float:
    """The smallest value that at least such a share of all does not exceed."""
    fit = [value for value in values if sum(other <= value for other in values) >= share * len(values) - 1e-9]
    return min(fit, default=0)


@pytest.mark.parametrize("days", [7, 30, 90])
async def test_the_figures_are_what_was_written_before_and_after_calls_move_on(
    tmp_path: Path, days: int
) -> None:
    """Also when most of them were counted before: a call that ends is counted again where it stands."""
    moment = now()
    told = some_calls(moment)
    async with open_store(tmp_path) as store:
        case_ids = await put(store, told)
        figures = FiguresKept(store.database)
        check(await figures.of(days), told, days, moment)
        check(await figures.of(days), told, days, moment)
        for number, one in enumerate(told):
            if one.status is Status.PENDING_REVIEW:
                told[number] = await approved(store, case_ids[number], one)
        told += [Told(Status.EXECUTED, now(), tool="new", score=3)]
        await store.database.write(lambda connection: write(connection, told[-1], len(told)))
        check(await figures.of(days), told, days, moment)


async def approved(store: CaseStore, case_id: str, one: Told) -> Told:
    """Approve a call that waits."""

    def work(connection: Connection) -> None:
        case = read_case(connection, case_id)
        decision = Decision(
            decision=Verdict.APPROVED,
            reviewer="anna",
            reason=None,
            arguments_sha256=case.call.arguments_sha256,
            decided_at=one.opened_at + one.after,
        )
        transition(connection, add_decision(connection, case, decision), Status.AUTHORIZED)

    await store.database.write(work)
    return Told(
        Status.AUTHORIZED, one.opened_at, one.tool, one.agent, one.score, reviewer="anna", after=one.after
    )


async def test_what_is_over_is_read_once(tmp_path: Path) -> None:
    """A second look reads the newest minutes alone, and a call that ended has its day read again."""
    moment = now()
    async with open_store(tmp_path) as store:
        told = [Told(Status.EXECUTED, moment - timedelta(days=day), score=3) for day in range(1, 60)]
        told.append(Told(Status.PENDING_REVIEW, moment - timedelta(days=61)))
        case_ids = await put(store, told)
        figures = FiguresKept(store.database)
        await figures.of(90)
        kept = dict(figures._kept)
        await figures.of(90)
        same = {span for span, counted in figures._kept.items() if kept.get(span) is counted and span.is_day}
        assert len(same) >= 88
        await approved(store, case_ids[-1], told[-1])
        await figures.of(90)
        assert [span.day for span in same if figures._kept.get(span) is not kept[span]] == [
            (moment - timedelta(days=61)).date()
        ]


@pytest.mark.parametrize(
    "moment",
    [
        MOMENT,
        MOMENT.replace(hour=0, minute=0, second=0, microsecond=0),
        MOMENT.replace(hour=0, minute=0, second=59),
        MOMENT.replace(hour=23, minute=59, second=59),
        MOMENT.replace(minute=0, second=30),
    ],
)
@pytest.mark.parametrize("days", [1, 7, 90])
def test_spans_leave_no_gap_and_close_only_when_no_call_can_come(moment: datetime, days: int) -> None:
    """Every moment of the period lies in one span; the last one is open."""
    spans = list(spans_of(moment, days))
    assert spans[0].begin.date() == moment.date() - timedelta(days=days - 1)
    assert spans[0].begin.hour == spans[0].begin.minute == 0
    assert all(one.end == following.begin for one, following in pairwise(spans))
    assert spans[-1].end is None and spans[-1].begin <= moment
    assert all(span.end is None or span.end <= moment - SETTLED for span in spans)
    assert len(spans) <= days + 24 + 60


@pytest.mark.parametrize(
    ("values", "middle", "high"),
    [
        ([], None, None),
        ([4.0], 4.0, 4.0),
        ([1.0, 3.0], 2.0, 3.0),
        ([float(n) for n in range(1, 101)], 50.5, 95.0),
    ],
)
def test_median_and_percentile_by_hand(values: list[float], middle: float | None, high: float | None) -> None:
    """Nearest rank, as the page says."""
    assert (median(values), percentile(values, 0.95)) == (middle, high)


def test_bars_are_as_long_as_their_numbers() -> None:
    """Of rows and columns; the parts of one follow each other without a gap."""
    words = {"a": "alpha", "b": "beta"}
    picture = rows([("one", {"a": 30, "b": 10}), ("two", {"a": 0, "b": 20})], words)
    widths = {part.said: part.width for part in picture.parts}
    assert widths["one: 30 alpha"] == pytest.approx(3 * widths["one: 10 beta"])
    assert widths["two: 20 beta"] == pytest.approx(2 * widths["one: 10 beta"])
    first, second = picture.parts[:2]
    assert first.x + first.width == pytest.approx(second.x)
    assert all(part.x + part.width <= 100 for part in picture.parts)
    tall = columns([("mon", {"a": 3, "b": 1}), ("tue", {"a": 0, "b": 0})], words)
    assert [part.said for part in tall.parts] == ["mon: 3 alpha", "mon: 1 beta"]
    assert tall.parts[0].height == pytest.approx(3 * tall.parts[1].height)
    assert tall.parts[1].y + tall.parts[1].height == pytest.approx(tall.parts[0].y)
    assert rows([], words).parts == columns([], words).parts == ()


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 10, 17, 34, 99, 101, 4321, 99_999])
def test_a_scale_ends_at_an_even_number_not_far_above(most: int) -> None:
    """So that its half is a number of calls."""
    assert scale(most) % 2 == 0
    assert most <= scale(most) <= max(2, most * 1.25 + 1)


async def test_every_chart_says_the_same_in_its_picture_and_its_table(tmp_path: Path) -> None:
    """The bars of a picture add up to the numbers of the table behind it."""
    moment = now()
    async with open_store(tmp_path) as store:
        await put(store, some_calls(moment))
        figures = await FiguresKept(store.database).of(30)
    for chart in charts_of(figures).values():
        drawn = sum(
            int(part.said.rsplit(": ", 1)[1].split()[0].replace(",", "")) for part in chart.picture.parts
        )
        column = slice(1, 3) if chart.name == "reviewers" else slice(-1, None)
        table = sum(int(cell.replace(",", "")) for line in chart.table for cell in line[column])
        assert drawn == table, chart.name
    assert sum(one.decided for one in reviewers_of(figures.all)) == len(figures.all.seconds_of())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode, with hostile names in its cases."""
    directory = tmp_path_factory.mktemp("overview")
    process = GatewayProcess(directory, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    async with open_store(process.data) as store:
        await put(store, some_calls(now(), 120))
    await process.start()
    yield process
    await process.kill()


@pytest.mark.asyncio(loop_scope="session")
async def test_axe_finds_nothing_and_hostile_names_are_inert(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Light and dark, on a desktop and a phone, for each period; nothing is wider than the screen."""
    for dark, size in LOOKS:
        page = await (await person(running, dark=dark, size=size)).new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        await page.goto(f"{gateway.url}/desk/overview?days={7 if dark else 90}")
        assert await faults_of(page) == []
        assert await page.title() == "Overview · ATLAS" and said == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        await expect(page.locator("svg script, svg img, main img")).to_have_count(0)
        assert "\u202e" not in await page.content()


NARROW = {"width": 320, "height": 640}
BROKEN_WORDS = """() => [...document.querySelectorAll("main th, main td")].flatMap((cell) => {
  const words = [];
  const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/[A-Za-z]{1,9}/g)) {
      const range = document.createRange();
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) words.push(word[0]);
    }
  }
  return words;
})"""


@pytest.mark.asyncio(loop_scope="session")
async def test_on_a_narrow_screen_no_word_of_a_table_is_broken(tmp_path: Path, running: Browser) -> None:
    """The box of a wide table scrolls, and the page does not."""
    process = office(tmp_path, ATLAS_SUPERVISORS="anna")
    async with open_store(process.data) as store:
        await put(store, [one for one in some_calls(now(), 120) if one.reviewer in (None, "anna", "ben")])
    await process.start()
    try:
        page = await (await person(running, size=NARROW)).new_page()
        await show_key(page, process.url, KEYS["anna"])
        for path in ("statistics", "people", "account"):
            await page.goto(f"{process.url}/desk/{path}")
            assert await page.evaluate(BROKEN_WORDS) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    finally:
        await process.kill()


@pytest.mark.asyncio(loop_scope="session")
async def test_on_a_narrow_screen_labels_are_whole_and_stand_apart(
    gateway: GatewayProcess, running: Browser
) -> None:
    """The words before the bars, and the days below them."""
    page = await (await person(running, size=NARROW)).new_page()
    await page.goto(f"{gateway.url}/desk/overview?days=30")
    cut = """(name) => [...document.querySelectorAll(`svg[aria-labelledby^=${name}-title] .before bdi`)]
      .filter((each) => each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight + 1)
      .map((each) => each.textContent)"""
    for name in ("waiting", "speed", "scores"):
        assert await page.evaluate(cut, name) == []
    boxes = [await each.bounding_box() for each in await page.locator("text.below:visible").all()]
    shown = [box for box in boxes if box is not None]
    assert len(shown) == 3
    assert all(one["x"] + one["width"] < other["x"] for one, other in pairwise(shown))


@pytest.mark.asyncio(loop_scope="session")
async def test_each_picture_has_a_name_a_description_and_a_table(
    gateway: GatewayProcess, running: Browser
) -> None:
    """What a reader hears who does not see it; without JavaScript too, and by keyboard alone."""
    page = await (await person(running, scripts=False)).new_page()
    await page.goto(f"{gateway.url}/desk/overview")
    pictures = page.locator("svg[role=img]")
    await expect(pictures).to_have_count(6)
    for index in range(6):
        for part in ("title", "desc"):
            assert await pictures.nth(index).locator(f"> {part}").text_content()
    await expect(page.locator("details.behind table")).to_have_count(6)
    await page.get_by_role("link", name="7 days").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/desk/overview?days=7")
    summary = page.locator("details.behind > summary").first
    await summary.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("details.behind table").first).to_be_visible()


@pytest.mark.asyncio(loop_scope="session")
async def test_without_calls_the_page_says_so(tmp_path: Path, running: Browser) -> None:
    """Instead of empty pictures; a period that is none is the usual one."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    try:
        page = await (await person(running)).new_page()
        for days in ("7", "<b>", "-1"):
            await page.goto(f"{process.url}/desk/overview?days={days}")
            await expect(page.locator(".empty")).to_contain_text("No call came in the last")
            await expect(page.locator("main svg")).to_have_count(0)
    finally:
        await process.kill()
