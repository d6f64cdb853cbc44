"""Tools that note on disk that they ran: one that needs no person, and one for which a person decides."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from fastmcp import FastMCP


def note(ran: Path, tool: str, n: int) -> None:
    """Remember that a tool ran, in one write, which a killed process has done or not done."""
    descriptor = os.open(ran, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{tool} {n}\n".encode())
    finally:
        os.close(descriptor)


def add_look_and_change(server: FastMCP, ran: Callable[[], Path]) -> None:
    """Offer both; `ran` says in which file they note."""

    @server.tool
    async def look(n: int) -> str:
        """Read something, which the policy lets pass."""
        note(ran(), "look", n)
        await asyncio.sleep(0.01)
        return f"looked at {n}"

    @server.tool
    async def change(n: int) -> str:
        """Change something, for which a person decides."""
        note(ran(), "change", n)
        await asyncio.sleep(0.01)
        return f"changed {n}"
