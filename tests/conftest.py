"""What the tests share: a gateway in a process of its own."""

import gc
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from gateway_process import GatewayProcess
from one_certificate import one_certificate

RUN_BY_HAND = ("soak", "frameworks")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end, so the collector of garbage never has to look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long runs out, unless `-m` asks for them."""
    for marker in RUN_BY_HAND:
        if marker not in str(config.option.markexpr):
            long = [item for item in items if item.get_closest_marker(marker)]
            items[:] = [item for item in items if item not in long]
            config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session", autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients of the tests are made in a moment."""
    with one_certificate(tmp_path_factory.mktemp("authority")):
        yield


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A running gateway with keys and the embedded engine."""
    process = GatewayProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()
