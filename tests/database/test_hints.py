"""What one gateway changes in PostgreSQL is told to the others, and what is told of is looked for besides."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest
import sqlalchemy as sa
from gateway_process import eventually
from together import CUT

from atlas import ledger
from atlas.cases.opening import open_case
from atlas.cases.store import CaseStore, read_case
from atlas.database.hints import Hints
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.listening import LONGEST, Listening
from atlas.database.postgresql.store import PostgresDatabase
from atlas.models import Case, Status, ToolCall
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import PostgresServer


@asynccontextmanager
async def opened(url: str, directory: Path, *, listen: str | None = None) -> AsyncIterator[PostgresDatabase]:
    """A store that hears what others change, if it can."""
    database = PostgresDatabase(Address(url), directory, listen=Address(listen) if listen else None)
    await database.open()
    try:
        if listen is None:
            await eventually(lambda: _is_sound(database))
        yield database
    finally:
        await database.close()


async def _is_sound(database: PostgresDatabase) -> bool:
    return database.hints.is_sound


def new_case(connection: sa.Connection) -> Case:
    """A case of a call."""
    call = ToolCall(principal="agent", tool_name="tool", arguments={}, arguments_sha256=token_hex(32))
    return open_case(connection, call)


def note(connection: sa.Connection, *, case_id: str) -> None:
    """An entry of the ledger about a case."""
    ledger.append(connection, case_id, ledger.Action.VIEWED, actor="anna", detail={"text": "secret"})


def withdraw(connection: sa.Connection, case_id: str) -> Case:
    """End a case."""
    connection.execute(sa.text("UPDATE cases SET status = 'WITHDRAWN' WHERE case_id = :it"), {"it": case_id})
    return read_case(connection, case_id)


async def test_a_change_is_heard_by_the_others_and_not_by_the_one_that_made_it(
    url: str, tmp_path: Path
) -> None:
    """Only its reference is told, once for all changes of one transaction."""
    async with opened(url, tmp_path / "a") as first, opened(url, tmp_path / "b") as second:
        heard: list[object] = []
        own: list[object] = []
        second.hints.listeners.append(heard.append)
        first.hints.listeners.append(own.append)

        def two(connection: sa.Connection) -> None:
            note(connection, case_id="evt_1")
            note(connection, case_id="evt_1")

        await first.write(two)
        await second.write(partial(note, case_id="evt_2"))

        async def both() -> bool:
            return bool(heard) and bool(own)

        await eventually(both)
        assert (heard, own) == ([frozenset({"evt_1"})], [frozenset({"evt_2"})])


async def test_what_is_rolled_back_is_not_told(url: str, tmp_path: Path) -> None:
    """A change that fails, and one that stands after it."""
    async with opened(url, tmp_path / "a") as first, opened(url, tmp_path / "b") as second:
        heard: list[object] = []
        second.hints.listeners.append(heard.append)

        def fail(connection: sa.Connection) -> None:
            note(connection, case_id="evt_1")
            raise LookupError

        with pytest.raises(LookupError):
            await first.write(fail)
        await first.write(partial(note, case_id="evt_2"))

        async def told() -> bool:
            return bool(heard)

        await eventually(told)
        assert heard == [frozenset({"evt_2"})]


async def test_more_cases_than_a_message_holds_are_told_as_any(url: str, tmp_path: Path) -> None:
    """Then all that is followed is read again."""
    async with opened(url, tmp_path / "a") as first, opened(url, tmp_path / "b") as second:
        heard: list[object] = []
        second.hints.listeners.append(heard.append)

        def many(connection: sa.Connection) -> None:
            for number in range(LONGEST // 20):
                note(connection, case_id=f"evt_{number:016x}")

        await first.write(many)

        async def told() -> bool:
            return bool(heard)

        await eventually(told)
        assert heard == [None]


async def test_one_who_waits_sees_a_change_of_another_gateway(url: str, tmp_path: Path) -> None:
    """Also after the listening connection was ended, and what changed while there was none."""
    async with opened(url, tmp_path / "a") as first, opened(url, tmp_path / "b") as second:
        here, there = CaseStore(first), CaseStore(second)
        for is_cut in (False, True, True):
            case = await first.write(new_case)
            with there.watch(case) as watch:
                waiting = asyncio.create_task(watch.until(lambda case: case.status.is_final, seconds=60))
                if is_cut:
                    assert _cut(url) >= 1
                await here.change(case.case_id, partial(withdraw, case_id=case.case_id))
                assert (await waiting).status is Status.WITHDRAWN


async def test_one_who_waits_looks_where_nothing_can_be_told(url: str, tmp_path: Path) -> None:
    """A gateway whose listening connection is never made, which other gateways do not feel."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"postgresql://atlas@127.0.0.1:{closed.getsockname()[1]}/atlas"
        async with (
            opened(url, tmp_path / "a") as first,
            opened(url, tmp_path / "b", listen=nowhere) as second,
        ):
            case = await first.write(new_case)
            there = CaseStore(second)
            with there.watch(case) as watch:
                waiting = asyncio.create_task(watch.until(lambda case: case.status.is_final, seconds=60))
                await CaseStore(first).change(case.case_id, lambda of: withdraw(of, case.case_id))
                assert (await waiting).status is Status.WITHDRAWN
            assert not second.hints.is_sound


async def test_a_pool_that_takes_listen_and_tells_nothing_is_not_believed(
    server: PostgresServer, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PgBouncer that pools by transaction: the log names the setting, and with it the gateway hears."""
    with pgbouncer(server) as port:
        pooled = url.replace(f":{server.port}/", f":{port}/") + "?prepare=off"
        async with opened(pooled, tmp_path / "a", listen=pooled) as database:

            async def said() -> bool:
                return "ATLAS_DATABASE_LISTEN_URL" in caplog.text

            await eventually(said)
            assert not database.hints.is_sound
        async with opened(pooled, tmp_path / "a", listen=url) as database:
            await eventually(lambda: _is_sound(database))


def _cut(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        return len(connection.execute(CUT.encode()).fetchall())


async def test_a_stop_ends_although_a_cancellation_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As up to Python 3.11 in asyncio.wait_for, where what it waits for ends in the same moment."""
    lost, listens = 0, asyncio.Event()

    async def listen(self: Listening) -> None:
        nonlocal lost
        try:
            listens.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
        await asyncio.Event().wait()

    async def say(statement: str) -> None:
        raise AssertionError("nothing is said")

    monkeypatch.setattr(Listening, "_listen", listen)
    monkeypatch.setattr("atlas.background.AGAIN_SECONDS", 0.1)
    listening = Listening(
        Address("postgresql://127.0.0.1/none"), Hints(is_sound=False), origin="this", say=say
    )
    listening.open()
    await listens.wait()
    await asyncio.wait_for(listening.close(), 30)
    assert lost == 1
