"""What reviewers wait for: lists, searches and single cases of the desk, in milliseconds of server time.

    python benchmarks/desk_queries.py [--waiting 5000] [--ended 100000] [--rounds 40] [--data-dir DIR]
                                      [--database-url URL [--copied 1000]]

The cases are written by the store's own functions, in a directory that is kept if it is named. Most arguments
have 300 bytes, one in a hundred 20 KB, and a few a megabyte. With `--database-url` they are in a PostgreSQL
database, empty at first, and with `--copied` the server makes so many of each of them. Printed are p50, p95
and the longest of each question, its CPU time, the lines of its first page, and how many pages a reader
asks for until a search that finds nothing has seen everything. On a busy machine the CPU time says more.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from atlas import ledger  # noqa: E402
from atlas.canonical import digest  # noqa: E402
from atlas.cases import opening  # noqa: E402
from atlas.cases import store as case_store  # noqa: E402
from atlas.cases.endings import end_case  # noqa: E402
from atlas.cases.figures.period import FiguresKept  # noqa: E402
from atlas.cases.judgements import record_assessment  # noqa: E402
from atlas.cases.lists.filters import Filter, Order  # noqa: E402
from atlas.cases.lists.listing import count, page_of  # noqa: E402
from atlas.cases.reviews import request_review  # noqa: E402
from atlas.cases.store import add_decision, transition  # noqa: E402
from atlas.cases.tables import cases  # noqa: E402
from atlas.database.choose import build_database  # noqa: E402
from atlas.database.database import Database  # noqa: E402
from atlas.desk.case.dossier import read_dossier  # noqa: E402
from atlas.desk.figures.charts import charts_of  # noqa: E402
from atlas.instants import now  # noqa: E402
from atlas.models import Assessment, Case, Decision, Outcome, Ruling, Status, ToolCall, Verdict  # noqa: E402
from tests.support.many_cases import copy_cases  # noqa: E402
from tests.support.store import insert_case, settings_of_test  # noqa: E402

BATCH = 500
AGENTS = tuple(f"agent-{number}" for number in range(20))
TOOLS = tuple(
    f"registry_{verb}_{noun}" for verb in ("read", "change", "delete") for noun in ("file", "grant", "note")
)
REVIEWERS = ("anna", "bruno", "chiara")
WORDS = ("grant", "file", "flat", "family", "income", "address", "closing", "office", "letter", "berlin")
EVERYWHERE, NOWHERE = "beneficiary", "zebrafish"
LARGE = 20_000  # one in so many cases has a megabyte


def text_of(chance: random.Random, length: int) -> str:
    """Words of about so many characters."""
    return " ".join(chance.choices(WORDS, k=max(1, length // 7)))


def arguments_of(chance: random.Random, number: int) -> dict[str, Any]:
    """Most have 300 bytes, one in a hundred 20 KB, and a few a megabyte."""
    length = 1_000_000 if number % LARGE == LARGE // 2 else 20_000 if number % 100 == 7 else 220
    return {"beneficiary_id": f"BEN-{number}", "days": number % 30, "note": text_of(chance, length)}


def call_of(chance: random.Random, number: int) -> ToolCall:
    """A call of one of the agents."""
    arguments = arguments_of(chance, number)
    rare = number % 20_000 == 11
    return ToolCall(
        principal="agent-rare" if rare else chance.choice(AGENTS),
        tool_name="registry_rare" if rare else chance.choice(TOOLS),
        arguments=arguments,
        arguments_sha256=digest(arguments),
        intent=f"Close the file of BEN-{number}.",
    )


def assessment_of(call: ToolCall, score: int) -> Assessment:
    """What the policy says of it."""
    ruling = Ruling(
        policy_sha256="0" * 64,
        rules=("everything that changes a record",),
        score=score,
        floor=0,
        classification="high",
        rationale="It changes what a person lives on.",
        reviewers=("anna", "bruno") if score > 95 else (),
    )
    return Assessment(
        risk_score=score,
        classification="high",
        action=call.tool_name,
        rationale="It changes what a person lives on.",
        assessor="policy",
        threshold=70,
        arguments_sha256=call.arguments_sha256,
        assessed_at=now(),
        ruling=ruling,
    )


def opened(connection: Connection, chance: random.Random, number: int, at: datetime) -> Case:
    """A case that was admitted at that time, and judged."""
    for module in (opening, case_store):
        module.now = lambda: at  # type: ignore[attr-defined]  # the store's clock
    case, _ = insert_case(connection, call_of(chance, number))
    detail = {"tool_name": case.call.tool_name, "arguments_sha256": case.call.arguments_sha256}
    ledger.append(connection, case.case_id, ledger.Action.ADMITTED, actor=case.call.principal, detail=detail)
    return record_assessment(connection, case, assessment_of(case.call, chance.randint(10, 100)))


def waiting(connection: Connection, chance: random.Random, number: int, at: datetime) -> Case:
    """A case that waits for a person."""
    case = opened(connection, chance, number, at)
    return request_review(connection, case, timedelta(days=chance.randint(1, 9)), reason="A person decides.")


def ended(connection: Connection, chance: random.Random, number: int, at: datetime) -> None:
    """A case that the score approved, or a person, or that a person rejected."""
    case = opened(connection, chance, number, at)
    if chance.random() < 0.3:
        verdict = chance.choice((Verdict.APPROVED, Verdict.REJECTED))
        case = request_review(connection, case, timedelta(days=1), reason="A person decides.")
        decision = Decision(
            decision=verdict,
            reviewer=chance.choice(REVIEWERS),
            reason=text_of(chance, 60),
            arguments_sha256=case.call.arguments_sha256,
            decided_at=at + timedelta(hours=1),
        )
        case = add_decision(connection, case, decision)
        if verdict is Verdict.REJECTED:
            transition(connection, case, Status.REJECTED, reported_at=at)
            return
    case = transition(connection, transition(connection, case, Status.AUTHORIZED), Status.EXECUTING)
    outcome = Outcome(result={"content": [{"type": "text", "text": "done"}]}, detail=None, finished_at=at)
    end_case(connection, case, Status.EXECUTED, ledger.Action.EXECUTED, detail={}, outcome=outcome)


async def fill(database: Database, *, waiting_cases: int, ended_cases: int) -> None:
    """Write the cases, the oldest first; those that wait are the newest."""
    chance, total = random.Random(7), waiting_cases + ended_cases  # noqa: S311
    began = now() - timedelta(days=300)
    step = timedelta(days=299) / total

    def batch(connection: Connection, first: int) -> None:
        for number in range(first, min(first + BATCH, total)):
            make = ended if number < ended_cases else waiting
            make(connection, chance, number, began + number * step)

    for first in range(0, total, BATCH):
        await database.write(lambda connection, first=first: batch(connection, first))


def questions() -> Iterator[tuple[str, Filter, Order]]:
    """What the pages ask."""
    waits = {"statuses": (Status.PENDING_REVIEW,)}
    final = {"statuses": tuple(status for status in Status if status.is_final)}
    for order in Order:
        yield f"inbox, {order.value}", Filter(**waits), order
    yield "inbox, for anna, riskiest", Filter(**waits, is_waiting_for=("anna",)), Order.RISKIEST
    yield "inbox, for a group, riskiest", Filter(**waits, group="anna"), Order.RISKIEST
    yield "inbox, agent and score", Filter(**waits, agent="agent-3", score_at_least=90), Order.NEAREST_END
    yield "inbox, rare tool", Filter(**waits, tool="registry_rare"), Order.RISKIEST
    yield "inbox, word nowhere, riskiest", Filter(**waits, q=NOWHERE), Order.RISKIEST
    yield "history, newest", Filter(**final), Order.NEWEST
    yield "history, oldest", Filter(**final), Order.OLDEST
    yield "history, all cases of an agent", Filter(agent="agent-3"), Order.NEWEST
    yield "history, rare tool", Filter(**final, tool="registry_rare"), Order.NEWEST
    yield "history, rejected", Filter(statuses=(Status.REJECTED,)), Order.NEWEST
    yield "history, of chiara", Filter(**final, reviewer="chiara"), Order.NEWEST
    yield "history, of a stranger", Filter(**final, reviewer="a stranger"), Order.NEWEST
    yield "history, score", Filter(**final, score_at_least=100), Order.NEWEST
    yield "search, word nowhere", Filter(q=NOWHERE), Order.NEWEST
    yield "search, word everywhere", Filter(q=EVERYWHERE), Order.NEWEST
    yield "search, one case of long ago", Filter(q="BEN-4711"), Order.NEWEST
    yield "search, not ASCII, nowhere", Filter(q="zürich"), Order.NEWEST


class Times:
    """How long one question took, each time, and the CPU time of all."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu = 0.0

    @contextmanager
    def once(self) -> Iterator[None]:
        """Measure one."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds.append(time.perf_counter() - began)
        self.cpu += time.process_time() - cpu


def told(name: str, times: Times, *, said: str) -> None:
    """One row."""
    seconds, cpu = times.seconds, 1000 * times.cpu / len(times.seconds)
    ordered = sorted(1000 * one for one in seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    parts = {"p50": statistics.median(ordered), "p95": p95, "longest": ordered[-1], "cpu": cpu}
    print(f"{name:30}", *(f"{part} {number:6.1f} " for part, number in parts.items()), said, flush=True)


async def measure(database: Database, name: str, asked: Filter, order: Order, rounds: int) -> None:
    """Ask one question many times, its first page, and count the pages to the end of the search."""
    times = Times()
    for _ in range(rounds):
        with times.once():
            page = await page_of(database, asked, order=order)
    pages, lines = 1, len(page.lines)
    while page.next_cursor is not None and not page.lines:
        page = await page_of(database, asked, order=order, after=page.next_cursor)
        pages, lines = pages + 1, lines + len(page.lines)
    told(name, times, said=f"{lines:3} lines after {pages} page(s)")


async def measure_figures(database: Database, rounds: int) -> None:
    """What the overview asks: once when nothing was counted yet, then as readers meet it."""
    for days in (7, 30, 90):
        figures = FiguresKept(database)
        for name, often in ((f"overview, {days} days, first", 1), (f"overview, {days} days", rounds)):
            times = Times()
            for _ in range(often):
                with times.once():
                    charts_of(found := await figures.of(days))
            told(name, times, said=f"{found.all.calls} calls")


async def measure_cases(database: Database, rounds: int) -> None:
    """Read all that the page of a case shows, of cases that wait and of cases that ended."""
    for statuses in ((Status.PENDING_REVIEW,), (Status.EXECUTED,)):
        page = await page_of(database, Filter(statuses=statuses), order=Order.NEWEST, limit=rounds)
        times, alike = Times(), 0
        for line in page.lines:
            with times.once():
                dossier = await database.read(partial(read_dossier, case_id=line.case_id, person="anna"))
            alike += len(dossier.alike)
        if page.lines:
            told(f"case, {statuses[0].value}", times, said=f"{alike} decided alike")


def copy_all(url: str, times: int) -> None:
    """Have the server copy what is there: what ended is of before, and what waits comes behind it."""
    with psycopg.connect(url) as connection:
        copy_cases(connection, "status <> 'PENDING_REVIEW'", times, apart="-17 minutes")
        copy_cases(connection, "status = 'PENDING_REVIEW'", times, apart="20 seconds")
        connection.execute("ANALYZE")


def size_of(directory: Path, connection: Connection) -> float:
    """The size of the store in MiB."""
    if connection.dialect.name == "sqlite":
        return (directory / "atlas.db").stat().st_size / 2**20
    return float(
        connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one() / 2**20
    )


async def main(options: argparse.Namespace, directory: Path) -> None:
    """Fill, and ask."""
    database = build_database(settings_of_test(directory, atlas_database_url=options.database_url))
    await database.open()
    try:
        if not await database.read(lambda connection: connection.execute(sa.select(cases).limit(1)).first()):
            copied = options.copied
            await fill(database, waiting_cases=options.waiting // copied, ended_cases=options.ended // copied)
            if options.database_url:
                copy_all(options.database_url, copied - 1)
        size = await database.read(partial(size_of, directory))
        print(f"{options.waiting} waiting and {options.ended} ended cases, {size:.0f} MiB; milliseconds")
        for name, asked, order in questions():
            await measure(database, name, asked, order, options.rounds)
        times = Times()
        for _ in range(options.rounds):
            with times.once():
                number = await count(database, Filter(statuses=(Status.PENDING_REVIEW,)))
        told("inbox, count", times, said=f"{number} cases")
        await measure_figures(database, options.rounds)
        await measure_cases(database, options.rounds)
    finally:
        await database.close()


def run() -> None:
    """Read the options; without a directory, one that is removed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=5000)
    parser.add_argument("--ended", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--database-url")
    parser.add_argument("--copied", type=int, default=1)
    options = parser.parse_args()
    if options.data_dir is not None:
        asyncio.run(main(options, options.data_dir))
        return
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(options, Path(directory)))


if __name__ == "__main__":
    run()
