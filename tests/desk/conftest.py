"""What the tests of the desk share: a browser, and a gateway in open mode, whose person is called Sarah."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from desk_browser import browser
from gateway_process import GatewayProcess
from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for the tests of a module, which run in one event loop."""
    async with browser() as running:
        yield running


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode, whose agent is called anybody and whose person is called Sarah."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    yield process
    await process.kill()
