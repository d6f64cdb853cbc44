"""What the store says at a scrape: right numbers, and no statement that goes through what has ended."""

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from store import assessment_of, insert_case, open_store, settings_of_test, tool_call

from atlas.cases.store import CaseStore, add_assessment, transition
from atlas.cases.tables import cases
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.instants import now
from atlas.models import Status
from atlas.outbox.addresses import Addresses
from atlas.telemetry.channels import Channels
from atlas.telemetry.figures import (
    BY_NAME,
    DUE_BY_CHANNEL,
    EVERYONE,
    MOST_GROUPS,
    OTHERS,
    UNFINISHED_BY_STATUS,
    UNSPREAD,
    WAITING_BY_REVIEWERS,
    Figures,
    groups_of,
    read_figures,
)
from tests.support.postgres import PostgresServer

HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[CaseStore]:
    """A store on a real file, and one on a real server: both say the same."""
    if request.param == "sqlite":
        async with open_store(tmp_path) as opened:
            yield opened
        return
    running: PostgresServer = request.getfixturevalue("server")
    address = Address(running.new_database(f"figures_{secrets.token_hex(8)}"))
    database = PostgresDatabase(address, tmp_path)
    await database.open()
    try:
        yield CaseStore(database)
    finally:
        await database.close()


async def read(store: CaseStore, directory: Path, **fields: Any) -> Figures:
    """The figures, under settings."""
    settings = settings_of_test(directory, **fields)
    work = partial(read_figures, addresses=Addresses(settings), channels=Channels(settings))
    return await store.database.look(work)


async def waiting(store: CaseStore, since: timedelta, *reviewers: str, number: int = 1) -> str:
    """A case that has waited for so long, of the day that it has."""

    def work(connection: Connection) -> str:
        at = now() - since
        case, _ = insert_case(connection, tool_call(number=number))
        judged = assessment_of(case.call, reviewers=reviewers).model_copy(update={"assessed_at": at})
        add_assessment(connection, case, judged)
        return transition(connection, case, Status.PENDING_REVIEW, expires_at=at + 24 * HOUR).case_id

    return await store.database.write(work)


async def test_the_oldest_and_the_most_urgent_of_each_group_are_told(
    store: CaseStore, tmp_path: Path
) -> None:
    """A call for two groups is in both; one that a stop holds uses up none of its time."""
    await waiting(store, 6 * HOUR, "group:seniors", number=1)
    await waiting(store, 18 * HOUR, "group:seniors", "group:board", number=2)
    frozen = await waiting(store, 23 * HOUR, "anna", number=3)
    stopped = cases.update().where(cases.c.case_id == frozen).values(frozen_at=now())
    await store.database.write(lambda connection: connection.execute(stopped).rowcount)
    found = (await read(store, tmp_path)).waiting
    assert {group: one.count for group, one in found.items()} == {
        EVERYONE: 0,
        "seniors": 2,
        "board": 1,
        BY_NAME: 1,
    }
    assert found["seniors"].share == pytest.approx(0.75, abs=0.01)
    assert found["seniors"].seconds == pytest.approx(18 * 3600, rel=0.01)
    assert found[BY_NAME].share == 0 and found[BY_NAME].seconds == pytest.approx(23 * 3600, rel=0.01)


async def test_receivers_are_the_house_and_those_who_have_a_way(store: CaseStore, tmp_path: Path) -> None:
    """No one, where neither settings nor profiles have one: then notices of what waits reach no one."""
    await waiting(store, HOUR)
    assert (await read(store, tmp_path)).waiting[EVERYONE].receivers == 0
    told = await read(store, tmp_path, atlas_notify_url="https://example.com/hook")
    assert told.waiting[EVERYONE].receivers == 1


def test_groups_beyond_the_first_many_share_a_label() -> None:
    """They come from a policy file, in which a mistake must not make a thousand series."""
    known = {f"group {number}" for number in range(MOST_GROUPS)}
    assert groups_of(["group:new", "group:group 1"], known=known) == {OTHERS, "group 1"}
    assert groups_of(["group:new"], known=()) == {"new"}


@pytest.mark.sqlite("test_scale_postgresql.py counts what PostgreSQL reads")
@pytest.mark.parametrize(
    ("statement", "goes_by"),
    [
        (WAITING_BY_REVIEWERS, "ix_cases_waiting"),
        (UNFINISHED_BY_STATUS, "ix_cases_unreported"),
        (UNSPREAD, "ix_notices_made_at"),
        (DUE_BY_CHANNEL, "ix_deliveries_next_at"),
    ],
)
async def test_a_statement_goes_by_an_index_without_what_has_ended(
    tmp_path: Path, statement: sa.Select[Any], goes_by: str
) -> None:
    """So a scrape is as quick with a million ended cases as with a thousand."""
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    values = compiled.params | dict.fromkeys(("now", "at"), now().isoformat())
    async with open_store(tmp_path) as store:

        def plan(connection: Connection) -> list[str]:
            driver: Any = connection.connection.driver_connection
            return [str(row[3]) for row in driver.execute(f"EXPLAIN QUERY PLAN {compiled}", values)]

        steps = [step for step in await store.database.look(plan) if step.startswith(("SCAN", "SEARCH"))]
    assert goes_by in steps[0], steps
    assert all("USING" in step for step in steps), steps
