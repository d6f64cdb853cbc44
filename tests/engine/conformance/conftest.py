"""What protocol cases share: an app without an SDK, and the rows that say where our server differs."""

import contextlib
import os
import re

import httpx
import pytest
from raw_app import RawApp

import atlas.engine


def rows():
    """The table of differences: what, here, Inngest's server."""
    lines = [line for line in atlas.engine.__doc__.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
    return {what: (here, theirs) for what, here, theirs in cells[1:]}


@pytest.fixture(scope="session")
def is_ours(inngest_server):
    """Whether the server under test is the embedded engine."""
    if not os.environ.get("ATLAS_TEST_INNGEST_URL"):
        return True
    return httpx.get(f"{inngest_server[0]}/health", timeout=60).json().get("version") == "atlas"


@pytest.fixture
def differs(is_ours):
    """Marks a case that holds for our server only, by the row of the table that says so."""

    def check(row):
        _, theirs = rows()[row]
        if not is_ours:
            pytest.skip(f"{row}, Inngest's server: {theirs}")

    return check


@pytest.fixture
def retry_seconds(is_ours):
    """How long a first retry may take: 15 to 45 seconds at Inngest's server."""
    return 10 if is_ours else 90


@pytest.fixture
def make_raw(served):
    """Makes apps without an SDK; `async with app.running()` serves and registers one."""

    def make(url, keys):
        app = RawApp(url, keys)
        run = app.running

        @contextlib.asynccontextmanager
        async def running(**overrides):
            async with run(served, **overrides):
                yield app

        app.running = running
        return app

    return make


@pytest.fixture
async def look(inngest_server):
    """Looks up what the server knows of the runs of other apps."""
    app = RawApp(*inngest_server)
    async with app.http:
        yield app


@pytest.fixture
def raw(inngest_server, make_raw):
    """An app without an SDK, of the server under test."""
    return make_raw(*inngest_server)
