"""A commit whose answer is lost, of a server that stays away: what people and agents are told is true."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastmcp import Client, FastMCP
from gateway_process import eventually
from postgres import PostgresServer, postgres_server
from relay import Relay
from store import answer, open_case, settings_of_test, tool_call

import atlas.database.postgresql.transactions
from atlas import ledger
from atlas.admit import Admission
from atlas.agents.held_calls import WaitingAgents
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.database.failures import CommitUnknown
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.beside import PostgresBeside
from atlas.database.postgresql.store import PostgresDatabase
from atlas.errors import DatabaseUnusable
from atlas.models import EVERY_AGENT
from atlas.operate.error_shape import add_error_shape

COMMIT = b"COMMIT\0"  # as it stands at the end of what is sent


class Away:
    """A store behind a relay, which can lose the answer to the next commit."""

    def __init__(self, relay: Relay, url: str, direct: str, database: PostgresDatabase) -> None:
        self.relay, self.url, self.database = relay, url, database
        self.store = CaseStore(database)
        self._direct, self._servers = direct, list(relay.servers)

    def lose_next(self) -> None:
        """The server gets the next commit, and no one hears of it again."""
        self.relay.last_words = COMMIT

    def come_back(self) -> None:
        """It can be reached again."""
        self.relay.last_words, self.relay.servers = None, list(self._servers)

    async def kept(self, query: sa.Select[Any]) -> list[Any]:
        """What stands on the server, past the relay, once something does."""

        async def found() -> list[Any]:
            return await asyncio.to_thread(self._ask, query)

        rows: list[Any] = await eventually(found)
        return rows

    def _ask(self, query: sa.Select[Any]) -> list[Any]:
        engine = Address(self._direct).engine()
        try:
            with engine.connect() as connection:
                return list(connection.execute(query))
        finally:
            engine.dispose()


@asynccontextmanager
async def behind_relay(server: PostgresServer, url: str, directory: Path) -> AsyncIterator[Away]:
    """The store of one test."""
    async with Relay([server.port]).run() as relay:
        there = url.replace(f":{server.port}/", f":{relay.port}/")
        database = PostgresDatabase(Address(there), directory)
        await database.open()
        away = Away(relay, there, url, database)
        try:
            yield away
        finally:
            away.come_back()
            await database.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long it is asked whether a commit was made."""
    monkeypatch.setattr(atlas.database.postgresql.transactions, "FINDING_OUT_SECONDS", 1.0)


@pytest.fixture
async def away(server: PostgresServer, url: str, tmp_path: Path) -> AsyncIterator[Away]:
    """The store of one test."""
    async with behind_relay(server, url, tmp_path / "data") as one:
        yield one


ENTRIES = sa.select(ledger.entries.c.detail).where(ledger.entries.c.case_id == "evt_1")


def comment(connection: sa.Connection, number: int) -> None:
    """An entry of the ledger."""
    ledger.append(connection, "evt_1", ledger.Action.COMMENTED, actor="anna", detail={"number": number})


async def test_a_commit_of_which_nothing_can_be_found_out_is_no_change_that_was_not_made(away: Away) -> None:
    """Right: it has an error of its own, and the change is there. The writer goes on when it is back."""
    away.lose_next()
    with pytest.raises(CommitUnknown) as lost:
        await away.database.write(partial(comment, number=1))
    assert isinstance(lost.value.orig, psycopg.OperationalError)
    assert len(await away.kept(ENTRIES)) == 1
    away.come_back()
    await away.database.write(partial(comment, number=2))
    assert len(await away.kept(ENTRIES)) == 2


async def test_a_change_that_reached_no_server_is_told_as_not_made(away: Away) -> None:
    """Right: this is known, and no one has to look."""
    away.relay.last_words = b"pg_advisory_xact_lock"  # before anything is written
    with pytest.raises(sa.exc.DBAPIError) as lost:
        await away.database.write(partial(comment, number=1))
    assert not isinstance(lost.value, CommitUnknown)


@pytest.mark.parametrize("has_entry", [True, False])
async def test_a_change_that_a_crash_took_is_not_told_as_made_because_another_one_has_its_number(
    tmp_path: Path, has_entry: bool
) -> None:
    """Right: it failed, or no one knows. Wrong: a call begins by a claim that is not there, and begins again.

    PostgreSQL gives the number of a transaction of which nothing had reached the disk to the next one.
    """
    with postgres_server() as server:
        url = server.new_database("crashed")
        database = PostgresDatabase(Address(url), tmp_path / "data")
        await database.open()
        try:
            for number in range(10):
                taken: list[bool] = []
                work = partial(lose_to_another, server=server, url=url, taken=taken)
                with pytest.raises(sa.exc.DBAPIError):
                    await database.write(partial(work, number=number if has_entry else None))
                if taken[0]:
                    break
            assert taken == [True]  # in one of ten crashes at least
            assert await database.read(lambda connection: connection.execute(ENTRIES).all()) == []
        finally:
            await database.close()


def lose_to_another(
    connection: sa.Connection, *, server: PostgresServer, url: str, number: int | None, taken: list[bool]
) -> None:
    """Change something, crash the server before the commit, and have another one commit under the number."""
    mine = connection.exec_driver_sql("SELECT pg_current_xact_id()::text").scalar_one()
    if number is not None:
        comment(connection, number)
    server.stop()
    server.start()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_current_xact_id()")
        row = other.execute("SELECT pg_xact_status(%s::xid8)", [mine]).fetchone()
    taken.append(row is not None and row[0] == "committed")


def gated(away: Away, directory: Path) -> FastMCP:
    """A server with the gate in front of one tool, where nothing is ever executed."""
    settings = settings_of_test(directory, atlas_database_url=None, atlas_grace_seconds=0)
    gate = Admission(store=away.store, announce=lambda case: None, settings=settings, waiting=WaitingAgents())
    server = FastMCP("gated", middleware=[gate])

    @server.tool
    def pay(amount: int) -> str:
        """Pay."""
        return f"Paid {amount}."

    return server


async def test_an_agent_is_not_told_that_nothing_was_done_of_a_call_that_is_on_record(
    away: Away, tmp_path: Path
) -> None:
    """Right: it is told to make the same call again, which brings the reference. Wrong: nothing was done."""
    async with Client(gated(away, tmp_path)) as agent:
        away.lose_next()
        told = await agent.call_tool("pay", {"amount": 5}, raise_on_error=False)
        said = told.content[0].text
        assert told.is_error and "Nothing was done" not in said
        assert said.startswith("It is not known whether the gateway recorded this call")
        assert "Make the same call again" in said
        [(case_id,)] = await away.kept(sa.select(cases.c.case_id))
        away.come_back()
        again = await agent.call_tool("pay", {"amount": 5}, raise_on_error=False)
        assert case_id in again.content[0].text
    assert len(await away.kept(sa.select(cases.c.case_id))) == 1


async def test_an_agent_is_not_told_to_make_a_call_again_that_has_ended(away: Away, tmp_path: Path) -> None:
    """Right: it asks for the outcome. Wrong: the ending counts as handed over, and the call runs twice."""
    case = await open_case(away.store, tool_call("pay", EVERY_AGENT, amount=5))
    await answer(away.store, case, "Paid 5.")
    async with Client(gated(away, tmp_path)) as agent:
        away.lose_next()
        told = await agent.call_tool("pay", {"amount": 5}, raise_on_error=False)
    assert told.is_error and f'call get_outcome(ref="{case.case_id}"' in told.content[0].text
    assert "Make the same call again" not in told.content[0].text


async def test_a_person_is_not_told_that_nothing_was_changed_where_no_one_knows(away: Away) -> None:
    """Right: the webhook and all else over HTTP says to look. Wrong: "nothing was changed", and it was."""
    app = FastAPI()
    add_error_shape(app)

    @app.post("/decision")
    async def decision() -> None:
        await away.database.write(partial(comment, number=1))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://atlas") as program:
        away.lose_next()
        told = await program.post("/decision")
        assert (told.status_code, told.json()["error"]) == (503, "RecordUnknown")
        assert "Look before you do it again." in told.json()["detail"]
        assert len(await away.kept(ENTRIES)) == 1


async def test_a_command_is_not_told_that_nothing_was_changed_where_no_one_knows(away: Away) -> None:
    """Right: what stops or names people from a terminal says to look."""

    def work(connection: sa.Connection) -> None:
        away.lose_next()  # the command has looked at the server by now
        comment(connection, 1)

    with pytest.raises(DatabaseUnusable, match="not known whether all of this was recorded"):
        await asyncio.to_thread(PostgresBeside(Address(away.url)).change, work)
    assert len(await away.kept(ENTRIES)) == 1
