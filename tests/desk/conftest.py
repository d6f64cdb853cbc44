"""What the tests of the desk share: a gateway in open mode, whose person is called Sarah."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from gateway_process import GatewayProcess


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode, whose agent is called anybody and whose person is called Sarah."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    yield process
    await process.kill()
