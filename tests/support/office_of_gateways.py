"""Two real gateways on one PostgreSQL database and one engine, behind a balancer of deploy/balancer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import documentation
import httpx
import httpx2
import psycopg
from balancers import Balancer, balancer
from engine_process import EngineProcess
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import AGENT_KEY, REVIEWER_KEY, ROOT, WAIT_SECONDS, GatewayProcess, eventually
from ports import kept_port
from sse import LeavingTransport

NAMES = ("gateway-1", "gateway-2")
# What the page sets, and each test has at addresses of its own.
ELSEWHERE = ("ATLAS_HOST", "ATLAS_FORWARDED_FROM", "INNGEST_SERVE_ORIGIN")


@dataclass
class Office:
    """What runs, and how agents and people reach it."""

    balancer: Balancer
    gateways: list[GatewayProcess]
    database: str
    ports: list[int]

    def agent(self, *, era: str = "legacy", sse: bool = False, key: str = AGENT_KEY) -> Client[Any]:
        """A client of one era and transport, through the balancer; not entered yet."""
        trust = self.balancer.trust

        def client(**options: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(**options | {"verify": trust, "trust_env": False})

        made, path = (LeavingTransport, "/mcp/sse") if sse else (StreamableHttpTransport, "/mcp")
        transport: Any = made(self.balancer.url + path, auth=key, httpx_client_factory=client)
        return Client(transport, mode=era, timeout=4 * WAIT_SECONDS)  # beside a database and a balancer

    def http(self) -> httpx.AsyncClient:
        """What a program of a person uses."""
        headers = {"Authorization": f"Bearer {REVIEWER_KEY}"}
        trust, url = self.balancer.trust, self.balancer.url
        return httpx.AsyncClient(
            base_url=url, headers=headers, verify=trust, timeout=WAIT_SECONDS, trust_env=False
        )

    async def decide(self, case_id: str, decision: str = "APPROVED") -> httpx.Response:
        """Decide, through the balancer."""
        async with self.http() as person:
            body = {"decision": decision, "event_id": case_id}
            return await person.post("/webhook/approval", json=body)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    async def waiting_case(self, text: str) -> str:
        """The reference of the case that waits for a person and has a text in its arguments."""
        waiting = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW' AND arguments LIKE %s"

        async def found() -> str | None:
            rows = self.rows(waiting, f"%{text}%")
            return str(rows[0][0]) if rows else None

        return str(await eventually(found))

    async def start(self, number: int, **environment: str) -> None:
        """Start a gateway at its address."""
        await self.gateways[number].start(ATLAS_PORT=str(self.ports[number]), **environment)

    def tell_to_stop(self, number: int) -> None:
        """Send the signal, and do not wait for it."""
        os.kill(self.gateways[number].process_id, signal.SIGTERM)

    def log(self) -> str:
        """What all gateways have printed."""
        return "".join(gateway.log.read_text() for gateway in self.gateways)


def settings_of_the_page() -> dict[str, str]:
    """What docs/how-to/balancer.md has each gateway set."""
    lines = documentation.checked("balancer-settings").splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    return {name: value for name, value in settings.items() if name not in ELSEWHERE}


@asynccontextmanager
async def office(
    kind: str, directory: Path, database: str, *, script: Path = ROOT / "gateway.py", **environment: str
) -> AsyncIterator[Office]:
    """Two gateways that run behind a balancer of a kind."""
    ports = [kept_port(), kept_port()]
    for name in ("engine", "balancer", *NAMES):
        (directory / name).mkdir()
    engine = EngineProcess(directory / "engine", has_keys=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.kill)
        await engine.start()
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        front = await stack.enter_async_context(balancer(kind, directory / "balancer", urls))
        given = settings_of_the_page() | {
            "ATLAS_DATABASE_URL": database,
            "INNGEST_SERVE_ORIGIN": front.inside,
        }
        given |= engine.gateway_settings | environment
        gateways = []
        for name in NAMES:
            gateways.append(GatewayProcess(directory / name, script, **given))
            stack.push_async_callback(gateways[-1].kill)
        running = Office(front, gateways, database, ports)
        for number in range(len(gateways)):
            await running.start(number)
        await eventually(lambda: has_both(running))
        yield running


async def has_both(running: Office) -> bool:
    """Whether the balancer has gateways that are ready."""
    async with running.http() as client:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(4)))
    return all(answer.status_code == 200 for answer in answers)
