"""Gateways that share a database and an engine, behind a balancer; each reaches the database by a relay."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from engine_process import EngineProcess
from gateway_process import ROOT, GatewayProcess
from ports import kept_port
from relay import Relay

from atlas import ledger

SCRIPT = ROOT / "tests" / "crash" / "shared_gateway.py"
POLICY = """
[[rule]]
tool = "change"
score = 90

[[rule]]
tool = "*"
score = 5
"""


@dataclass
class SeveralGateways:
    """What a test does with them."""

    directory: Path
    database_url: str
    engine: EngineProcess
    balancer: Relay
    gateways: list[GatewayProcess] = field(default_factory=list)
    relays: list[Relay] = field(default_factory=list)  # of each gateway, to the database

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a question to the database, past all gateways."""
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def ran(self) -> Counter[str]:
        """How often each tool ran with which number."""
        path = self.directory / "ran.txt"
        return Counter(path.read_text().splitlines() if path.exists() else ())

    def release(self) -> None:
        """Let the tools end that wait for the test."""
        (self.directory / "release").touch()

    def entries(self) -> list[dict[str, Any]]:
        """The ledger, which verifies."""
        query = f"SELECT {', '.join(ledger.FIELDS)} FROM ledger ORDER BY seq"
        rows = [dict(zip(ledger.FIELDS, row, strict=True)) for row in self.rows(query)]
        entries = [row | {"detail": json.loads(row["detail"])} for row in rows]
        assert ledger.verify(entries) == len(entries)
        return entries

    def at_work(self, case_id: str) -> GatewayProcess:
        """The gateway that executes a case."""
        ((process_id,),) = self.rows("SELECT claimed_by FROM cases WHERE case_id = %s", case_id)
        return next(each for each in self.gateways if process_of(each) == process_id)


def process_of(gateway: GatewayProcess) -> str:
    """What a gateway is called in the store."""
    return (gateway.data / "gateway.process").read_text()


@contextlib.asynccontextmanager
async def several_gateways(
    directory: Path, database_url: str, *, many: int = 2, origin: str | None = None, **environment: str
) -> AsyncIterator[SeveralGateways]:
    """All of them run, and the engine reaches them by the balancer, or by another one at an origin."""
    (directory / "engine").mkdir()
    (directory / "policy.toml").write_text(POLICY)
    engine = EngineProcess(directory / "engine", has_keys=True)
    await engine.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.kill)
        ports = [kept_port() for _ in range(many)]
        balancer = await stack.enter_async_context(Relay(ports).run())
        several = SeveralGateways(directory, database_url, engine, balancer)
        environment["INNGEST_SERVE_ORIGIN"] = origin or f"http://127.0.0.1:{balancer.port}"
        for number, port in enumerate(ports):
            relay = await stack.enter_async_context(Relay([urlsplit(database_url).port or 5432]).run())
            address = re.sub(r":\d+/", f":{relay.port}/", database_url)
            gateway = _gateway(several, number, port, ATLAS_DATABASE_URL=address, **environment)
            several.gateways.append(gateway)
            several.relays.append(relay)
            stack.push_async_callback(_end, gateway)
            await gateway.start()
        yield several


def _gateway(several: SeveralGateways, number: int, port: int, **environment: str) -> GatewayProcess:
    directory = several.directory / str(number)
    directory.mkdir()
    return GatewayProcess(
        directory,
        SCRIPT,
        PYTHONPATH=f"{ROOT}:{ROOT}/tests:{ROOT}/tests/support",
        ATLAS_PORT=str(port),
        ATLAS_POLICY=str(several.directory / "policy.toml"),
        ATLAS_TEST_SHARED=str(several.directory),
        **several.engine.gateway_settings,
        **environment,
    )


async def _end(gateway: GatewayProcess) -> None:
    if not gateway.has_ended:
        await gateway.kill()
