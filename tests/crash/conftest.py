"""What the crash tests share: a gateway whose clock can be set."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from shifted_clock import set_clock

from crash.gateway_load import noting_gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A running gateway whose clock the test can set, with `set_clock`."""
    clock = tmp_path / "clock"
    set_clock(clock)
    gateway = noting_gateway(tmp_path, ATLAS_TEST_CLOCK=str(clock))
    await gateway.start()
    yield gateway
    await gateway.kill()
