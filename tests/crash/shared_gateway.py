"""A gateway that shares a database with others, with tools that note in a file of all that they ran.

ATLAS_TEST_LEASE makes the leases shorter: so many seconds of silence, after which a process is given up.
ATLAS_TEST_DIE names a moment at which it kills itself, as mortal_gateway has it.
"""

import asyncio
import os
from pathlib import Path

from acceptance.mortal_gateway import arm
from fastmcp import FastMCP
from mcp.types import ToolAnnotations

import atlas.database.postgresql.shared_lease
from atlas import welfare
from crash.noting_tools import add_look_and_change, note

RAN, RELEASE = "ran.txt", "release"  # in the folder that all share


def shared() -> Path:
    """The folder of all gateways of the test."""
    return Path(os.environ["ATLAS_TEST_SHARED"])


def ran() -> Path:
    """The file in which the tools note."""
    return shared() / RAN


async def released() -> None:
    """Wait for the test."""
    while not (shared() / RELEASE).exists():  # noqa: ASYNC110  (another process makes it)
        await asyncio.sleep(0.02)


def add_tools(server: FastMCP, office: welfare.WelfareOffice) -> None:
    """Offer tools of which the policy lets all pass but `change`."""

    add_look_and_change(server, ran)

    @server.tool
    async def hold(n: int) -> str:
        """Change something, which takes as long as the test wants."""
        note(ran(), "hold", n)
        await released()
        return f"held {n}"

    @server.tool(annotations=ToolAnnotations(idempotentHint=True))
    async def put(n: int) -> str:
        """Make something as it has to be, which takes as long as the test wants and may be done twice."""
        note(ran(), "put", n)
        await released()
        return f"put {n}"


def shorten(seconds: float) -> None:
    """Have leases of another length."""
    atlas.database.postgresql.shared_lease.LEASE_SECONDS = seconds
    atlas.database.postgresql.shared_lease.BEAT_SECONDS = seconds / 3
    atlas.database.postgresql.shared_lease.SURE_SECONDS = seconds * 2 / 3


def main() -> None:
    """Serve."""
    welfare.add_welfare_tools = add_tools
    if "ATLAS_TEST_LEASE" in os.environ:
        shorten(float(os.environ["ATLAS_TEST_LEASE"]))
    if moment := os.environ.get("ATLAS_TEST_DIE"):
        arm(moment)
    from atlas.operate.serving import serve
    from gateway import app, settings

    serve(app, settings, app.state.banner)


if __name__ == "__main__":
    main()
