"""What the tests share: a gateway in a process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_process import GatewayProcess


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A running gateway with keys and the embedded engine."""
    process = GatewayProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()
