"""On PostgreSQL, with very many cases: a list of them reads no more rows than it has to."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from figured_cases import Told, write
from kept import database_url, is_postgresql
from many_cases import copy_cases
from store import assessment_of, insert_case, open_store, tool_call

from atlas.cases.judgements import record_assessment
from atlas.cases.lists.filters import Filter, Order
from atlas.cases.lists.finding import find
from atlas.cases.lists.listing import lines_of
from atlas.cases.reviews import request_review
from atlas.database.postgresql.address import Address
from atlas.models import Status
from tests.cases.test_listing import FILTERS

pytestmark = pytest.mark.skipif(
    not is_postgresql(), reason="Of PostgreSQL: test_listing.py has the plans of SQLite"
)

ORIGINALS, ENDED, WAITING, SHOWN = 40, 20_000, 2_000, 50
BEGAN = datetime(2026, 10, 1, tzinfo=timezone.utc)
TABLES = ("cases", "assessments", "decisions", "approvals", "outcomes", "ledger", "due_times")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def many(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[sa.Engine]:
    """A database with so many of each, whose planner knows it."""
    directory = tmp_path_factory.mktemp("many")
    async with open_store(directory) as store:
        await store.database.write(fill)
    url = str(database_url(directory))
    with psycopg.connect(url) as connection:
        copy_cases(connection, "status <> 'PENDING_REVIEW'", ENDED // ORIGINALS - 1, apart="-17 minutes")
        copy_cases(connection, "status = 'PENDING_REVIEW'", WAITING // ORIGINALS - 1, apart="20 seconds")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")  # as the server does by itself
    engine = Address(url).engine()
    yield engine
    engine.dispose()


def fill(connection: sa.Connection) -> None:
    """A few of each kind, of several agents, tools and people."""
    endings = (Status.EXECUTED, Status.REJECTED, Status.EXECUTED, Status.DENIED)
    for number in range(ORIGINALS):
        names = {"agent": "abc"[number % 3], "tool": f"tool-{number % 4}", "score": 71 + number % 30}
        told = Told(endings[number % 4], BEGAN + timedelta(minutes=number), reviewer="anna", **names)
        write(connection, told, number)
        call = tool_call(names["tool"], names["agent"], other=number)
        case, _ = insert_case(connection, call)
        judged = record_assessment(connection, case, assessment_of(call, names["score"]))
        request_review(connection, judged, timedelta(days=9), reason="a test")


@contextmanager
def rows_read(engine: sa.Engine) -> Iterator[tuple[sa.Connection, list[tuple[int, str]]]]:
    """A connection, and afterwards for each of its statements how many rows the server looked at."""
    run: list[tuple[str, Any]] = []
    read: list[tuple[int, str]] = []
    with engine.connect() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda *given: run.append(given[2:4]))
        yield connection, read
        for text, values in list(run):
            explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values)
            read.append((looked_at(explained.scalar_one()[0]["Plan"]), text))


def looked_at(step: dict[str, Any]) -> int:
    """The rows that a step of a plan and those below it took from tables and indexes."""
    here = 0
    if "Relation Name" in step:
        passed_over = sum(step.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        here = (step["Actual Rows"] + passed_over) * step["Actual Loops"]
    return round(here) + sum(looked_at(below) for below in step.get("Plans", ()))


@pytest.mark.parametrize(("asked", "order"), FILTERS)
async def test_a_list_reads_what_it_shows_or_what_waits(
    many: sa.Engine, asked: dict[str, Any], order: Order
) -> None:
    """A list by time reads a stretch of it; one by another order reads what waits, not all that ended."""
    most = 2_000 if order.is_by_time else 8 * WAITING
    if "q" in asked:  # texts are looked at in stretches, which are the longer the quicker the machine is
        most = 2 * (ENDED + WAITING)
    with rows_read(many) as (connection, read):
        place = find(connection, Filter(**asked), order, after=None, limit=SHOWN).stopped_at
        found = find(connection, Filter(**asked), order, after=place, limit=SHOWN)
        lines_of(connection, found.case_ids or ["evt_0"])
    assert len(read) >= 3
    assert [(rows, text) for rows, text in read if rows > most] == []
