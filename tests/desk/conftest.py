"""What the tests of the desk share: a gateway in open mode, and one with keys and a server behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from desk_case import Desk, desk
from gateway_process import GatewayProcess


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode, whose agent is called anybody and whose person is called Sarah."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A gateway with a server behind it; some modules have one of their own."""
    async with desk(tmp_path_factory.mktemp("desk")) as made:
        yield made
