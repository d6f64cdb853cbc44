"""The start: what a gateway or a command has not loaded, because it does not need it yet."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from gateway_process import ROOT, ColdGateway, call

SCRIPT = Path(__file__).with_name("telling_gateway.py")


@asynccontextmanager
async def started(directory: Path, **environment: str) -> AsyncIterator[ColdGateway]:
    """A gateway with the default settings."""
    gateway = ColdGateway(directory, SCRIPT, **environment)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def loaded(gateway: ColdGateway) -> frozenset[str]:
    """The modules that a gateway has loaded when it is ready."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        assert (await client.get("/readyz")).is_success
        return frozenset((await client.get("/modules")).json())


NOT_NEEDED_YET = [
    # package, when it is needed
    ("alembic", "a migration is due"),
    ("sqlalchemy.dialects.postgresql", "a migration is due: Alembic loads it"),
    ("celpy", "a call meets a condition, or a policy has another one than the shipped"),
    ("lark", "as celpy"),
    ("re2", "as celpy"),
    ("pendulum", "as celpy"),
    ("fastmcp.client", "ATLAS_MCP_CONFIG names servers"),
    ("key_value", "as fastmcp.client"),
    ("beartype", "as fastmcp.client"),
    ("jsonschema", "a tool of another server is called"),
    ("griffe", "a tool has its description in a docstring"),
    ("websockets", "never: nothing is served over them"),
    ("h2", "Modal judges"),
    ("pygments.lexers", "never: httpx's command line"),
    ("modal", "Modal judges"),
    ("graphql", "a run of the engine is looked up"),
    ("fastmcp.server.auth.providers", "never"),
    ("openapi_pydantic", "never"),
    ("cyclopts", "never"),
    ("docket", "never"),
    ("prometheus_client", "ATLAS_METRICS_PORT or ATLAS_METRICS_KEY is set"),
    ("opentelemetry.sdk", "OTEL_EXPORTER_OTLP_ENDPOINT is set"),
    ("opentelemetry.exporter", "as opentelemetry.sdk"),
    ("google.protobuf", "as opentelemetry.sdk"),
    ("numpy", "never: `evaluate` is a command of its own"),
    ("scipy", "never"),
    ("sklearn", "never"),
]


@pytest.mark.sqlite("psycopg is loaded where a server is asked")
async def test_a_start_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    """A start costs at most 1.6 times the CPU of importing FastMCP: see benchmarks/start.py."""
    async with started(tmp_path) as gateway:
        modules = await loaded(gateway)
    assert "fastmcp" in modules and "sqlalchemy" in modules, "the names are those of modules"
    too_early = {package: when for package, when in NOT_NEEDED_YET if package in modules}
    assert not too_early


HEAVY = {"fastmcp", "mcp", "fastapi", "inngest", "alembic"}
# What a command runs, and what it does without until its work needs it.
LIGHT_COMMANDS = [
    ("atlas.cases.__main__", {"sqlalchemy"}),  # it asks the gateway over HTTP
    ("atlas.plans.__main__", {"sqlalchemy"}),  # as well
    ("atlas.people.__main__", set()),
    ("atlas.operate.ledger_command", set()),
    ("atlas.stop.command", set()),
    ("atlas.assessors.policy.command", set()),
    ("atlas.configure.questions", set()),
]


@pytest.mark.parametrize(("module", "more"), LIGHT_COMMANDS)
def test_what_a_person_types_answers_without_loading_what_it_does_not_need(
    module: str, more: set[str]
) -> None:
    """MCP and the web framework take a second of CPU time, which each command would wait for."""
    command = [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not (HEAVY | more) & set(loaded)


IN_C = ("uvloop", "httptools")


@pytest.mark.parametrize("without", ["", "uvloop", "httptools", "uvloop httptools"])
async def test_a_gateway_serves_with_and_without_the_loop_and_the_parser_in_c(
    tmp_path: Path, without: str
) -> None:
    """They are taken where they are installed; the gateway governs calls without them alike."""
    expected = {name for name in IN_C if find_spec(name) and name not in without.split()}
    async with started(tmp_path, ATLAS_TEST_WITHOUT=without) as gateway:
        assert (await loaded(gateway)) & set(IN_C) == expected
        async with gateway.agent() as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
