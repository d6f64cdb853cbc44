"""In PostgreSQL, however many calls there are: a start, a call and a decision look at none of the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastmcp import Client
from gateway_process import GatewayProcess, call, outcome, reference_in, text_of
from kept import database_url, is_postgresql
from many_cases import FOR_A_PERSON, TABLES, arguments, fill

pytestmark = pytest.mark.skipif(not is_postgresql(), reason="Of PostgreSQL: test_scale.py is of SQLite")

ENDED, WAITING = 40_000, 8_000
OPEN = {"ATLAS_AGENT_KEY": "", "ATLAS_REVIEWER_KEY": ""}  # every program of this machine sees the desk
# Rows by all statements together, those of a start and of what the gateway does by itself included.
MOST = 5_000
COUNTED = 2 * WAITING  # the first call after a start counts what waits: of its agent, and in all
THREE_PAGES = 3 * 5 * 1000  # an inbox counts up to a thousand, a few times


def rows_read(directory: Path) -> dict[str, int]:
    """How many rows were read from each table that grows with the calls, or from an index of it."""
    with psycopg.connect(str(database_url(directory))) as connection:
        found = connection.execute(
            "SELECT relname, seq_tup_read + (SELECT coalesce(sum(idx_tup_read), 0)"
            " FROM pg_stat_user_indexes i WHERE i.relid = t.relid) FROM pg_stat_user_tables t"
        ).fetchall()
    return {table: int(rows) for table, rows in found if table in TABLES}


@asynccontextmanager
async def counted(gateway: GatewayProcess) -> AsyncIterator[dict[str, int]]:
    """The gateway runs, and afterwards what it read is known; a server counts when a connection ends."""
    read: dict[str, int] = {}
    before = rows_read(gateway.data)
    await gateway.start()
    try:
        yield read
    finally:
        await gateway.stop()
    read |= {table: rows - before[table] for table, rows in rows_read(gateway.data).items()}


async def decided(gateway: GatewayProcess, agent: Client[Any], number: int, decision: str) -> None:
    """A call waits, a person decides, and the agent hears of it."""
    reference = reference_in(await call(agent, FOR_A_PERSON, **arguments(number)))
    answer = await gateway.decide(reference, decision, key=None)
    assert answer.is_success, answer.text
    assert ("EXECUTED" if decision == "APPROVED" else decision) in text_of(await outcome(agent, reference))


async def test_a_start_a_call_a_decision_and_the_pages_read_as_little_as_with_few(tmp_path: Path) -> None:
    """The server counts the rows."""
    gateway = GatewayProcess(tmp_path, **OPEN)
    await fill(gateway, ended=ENDED, waiting=WAITING, apart="-17 minutes")
    async with counted(gateway) as read, gateway.agent(key=None) as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
        await decided(gateway, agent, 1001, "APPROVED")
        await decided(gateway, agent, 1002, "REJECTED")
        assert len(await agent.list_resources()) >= 3
    read["cases"] -= COUNTED
    assert {table: rows for table, rows in read.items() if rows > MOST} == {}
    async with counted(gateway) as read, httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        for page in ("/readyz", "/desk/history", "/desk/history?status=EXECUTED&tool=check_status"):
            assert (answer := await http.get(page)).is_success, answer.text
    assert {table: rows for table, rows in read.items() if rows > MOST} == {}
    async with counted(gateway) as read, httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        for page in ("/desk", "/desk?order=riskiest", "/desk?order=nearest_end"):
            assert (answer := await http.get(page)).is_success, answer.text
    assert {table: rows for table, rows in read.items() if rows > THREE_PAGES} == {}
