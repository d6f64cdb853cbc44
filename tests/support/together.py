"""Two gateways that share a PostgreSQL database and an engine: calls come in at A, steps and people at B."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from engine_process import EngineProcess
from gateway_process import ROOT, GatewayProcess

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'atlas-listening' AND datname = current_database()"
)


@dataclass
class Together:
    """The engine calls the gateway that registered last, which is B."""

    a: GatewayProcess
    b: GatewayProcess
    engine: EngineProcess
    database_url: str

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """The rows of a question to the database, past both gateways."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def cut_listening(self) -> int:
        """End the connections on which the gateways listen, as a restart of a balancer before it does."""
        return len(self.ask(CUT))


@contextlib.asynccontextmanager
async def together(
    directory: Path, database_url: str, *, script: Path = ROOT / "gateway.py", **environment: str
) -> AsyncIterator[Together]:
    """Both gateways, with keys."""
    for name in ("a", "b", "engine"):
        (directory / name).mkdir()
    engine = EngineProcess(directory / "engine", has_keys=True)
    await engine.start()
    shared = engine.gateway_settings | {"ATLAS_DATABASE_URL": database_url} | environment
    both = Together(
        GatewayProcess(directory / "a", script, **shared),
        GatewayProcess(directory / "b", script, **shared),
        engine,
        database_url,
    )
    try:
        await both.a.start()
        await both.b.start()
        yield both
    finally:
        for process in (both.a, both.b):
            if not process.has_ended:
                await process.kill()
        await engine.kill()
