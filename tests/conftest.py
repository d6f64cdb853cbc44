"""What the tests share: a gateway in a process of its own, and a browser."""

import contextlib
import gc
import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

import pytest
import pytest_asyncio
from desk_browser import browser, close_all
from gateway_process import GatewayProcess
from kept import STORE, forget_all, forget_below
from one_certificate import one_certificate
from playwright.async_api import Browser
from reach import reaches_store

from tests.support.postgres import PostgresServer, postgres_server, shared_run

RUN_BY_HAND = ("soak", "frameworks")
MEMORY = "/dev/shm"  # noqa: S108  (a file system in memory, on Linux)
LEAST_MEMORY = 8 * 2**30  # bytes; a run of all tests writes one


def pytest_addoption(parser: pytest.Parser) -> None:
    """The store that the tests run on."""
    parser.addoption(
        "--store",
        choices=("sqlite", "postgresql"),
        default=os.environ.get(STORE, "sqlite"),
        help="Where the gateways of the tests keep their cases.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Files of tests lie in memory, where there is room and programs may be started from there.

    A process that is killed leaves the same files there as on a disk, and no test waits for the disk.
    """
    with contextlib.suppress(OSError):
        there = os.statvfs(MEMORY)
        if there.f_bavail * there.f_frsize >= LEAST_MEMORY and not there.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)
    os.environ[STORE] = config.option.store
    if not hasattr(config, "workerinput"):
        run = ExitStack()
        run.enter_context(shared_run())
        run.callback(forget_all)
        config.add_cleanup(run.close)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What a test keeps goes with it."""
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    try:
        return (yield)
    finally:
        if directory is not None:
            forget_below(directory)


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
    """Leave long runs out, unless `-m` asks for them; on PostgreSQL also what has nothing to do with it."""
    left_out = [marker for marker in RUN_BY_HAND if marker not in str(config.option.markexpr)]
    on_sqlite = config.option.store == "sqlite"
    chosen, others = [], []
    for item in items:
        is_long = any(map(item.get_closest_marker, left_out))
        (others if is_long or not (on_sqlite or reaches_store(item)) else chosen).append(item)
        of_a_file = item.get_closest_marker("sqlite")
        if of_a_file and not on_sqlite:
            item.add_marker(pytest.mark.skip(reason=f"Of a SQLite file: {of_a_file.args[0]}"))
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


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


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own for the module."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    """The address of an empty database on it."""
    return server.new_database(f"test_{token_hex(8)}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_chromium() -> AsyncIterator[Browser]:
    """One browser for all tests that need one, in one event loop: its start takes 0.7 s of CPU."""
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chromium(one_chromium: Browser) -> AsyncIterator[Browser]:
    """The browser, from which the people of a module are gone when it ends."""
    yield one_chromium
    await close_all(one_chromium)


@pytest_asyncio.fixture(loop_scope="session")
async def running(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser, from which the people of a test are gone when it ends."""
    yield chromium
    await close_all(chromium)
