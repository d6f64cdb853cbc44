"""A gateway behind a real PgBouncer that gives each transaction another connection."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from gateway_process import GatewayProcess, call, outcome, reference_in, text_of

from atlas import ledger
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.errors import DatabaseUnusable
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import USER, PostgresServer

CALLS = 4


async def test_calls_wait_are_approved_and_executed_behind_it(server: PostgresServer, tmp_path: Path) -> None:
    """Two gateways, one pool of three connections: each call is executed once, the ledger is one chain."""
    direct = server.new_database("behind")
    with pgbouncer(server) as port:
        url = f"postgresql://{USER}@127.0.0.1:{port}/behind?prepare=off"
        gateways = [GatewayProcess(tmp_path / name, ATLAS_DATABASE_URL=url) for name in ("a", "b")]
        for gateway in gateways:
            gateway.directory.mkdir()
        await asyncio.gather(*(gateway.start() for gateway in gateways))
        try:
            calls = [governed(gateway, number) for number in range(CALLS) for gateway in gateways]
            await asyncio.gather(*calls)
        finally:
            await asyncio.gather(*(gateway.kill() for gateway in gateways))
    store = beside(Location(directory=tmp_path, url=direct))
    entries = list(ledger.read_store(store))
    assert ledger.verify(entries) == len(entries)
    assert sum(entry["action"] == "execute.finished" for entry in entries) == 2 * CALLS
    with psycopg.connect(direct) as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def test_one_that_loses_prepared_statements_is_noticed_at_the_start(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Some calls would fail otherwise, and others not."""
    server.new_database("loses")
    with pgbouncer(server) as port:
        url = f"postgresql://{USER}@127.0.0.1:{port}/loses"
        with pytest.raises(DatabaseUnusable, match=r"Behind PgBouncer before 1.21 add \?prepare=off"):
            beside(Location(directory=tmp_path, url=url)).make_ready()
        beside(Location(directory=tmp_path, url=f"{url}?prepare=off")).make_ready()


async def governed(gateway: GatewayProcess, number: int) -> None:
    """One call that a person approves."""
    async with gateway.agent() as agent:
        reason = f"hospital stay {number} of {gateway.directory.name}"
        said = await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason=reason)
        case_id = reference_in(said)
        assert (await gateway.decide(case_id)).status_code == 200
        assert "now due on" in text_of(await outcome(agent, case_id))
