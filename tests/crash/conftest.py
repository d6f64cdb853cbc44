"""What the crash tests share: gateways that start quickly, since they start often."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from shifted_clock import set_clock

from crash.nursery import ForkedGateway, Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where gateways are forked from."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
async def gateway(tmp_path: Path, nursery: Nursery) -> AsyncIterator[ForkedGateway]:
    """A running gateway whose clock the test can set, with `set_clock`."""
    clock = tmp_path / "clock"
    set_clock(clock)
    gateway = ForkedGateway(tmp_path, nursery, ATLAS_TEST_CLOCK=str(clock))
    await gateway.start()
    yield gateway
    await gateway.kill()
