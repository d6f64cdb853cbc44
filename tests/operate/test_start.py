"""The start: what a gateway that is ready has not loaded, because it does not need it yet."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gateway_process import GatewayProcess

SCRIPT = Path(__file__).with_name("telling_gateway.py")


@pytest.fixture
async def loaded(tmp_path: Path) -> AsyncIterator[frozenset[str]]:
    """The modules of a gateway with the default settings, once it is ready."""
    gateway = GatewayProcess(tmp_path, SCRIPT)
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            assert (await client.get("/readyz")).is_success
            yield frozenset((await client.get("/modules")).json())
    finally:
        await gateway.kill()


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
    ("numpy", "never: `evaluate` is a command of its own"),
    ("scipy", "never"),
    ("sklearn", "never"),
]


async def test_a_start_loads_nothing_that_it_does_not_need(loaded: frozenset[str]) -> None:
    """A start costs at most 1.6 times the CPU of importing FastMCP: see benchmarks/start.py."""
    too_early = {package: when for package, when in NOT_NEEDED_YET if package in loaded}
    assert not too_early
    assert "fastmcp" in loaded and "sqlalchemy" in loaded, "the names are those of modules"
