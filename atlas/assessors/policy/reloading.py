"""Reads the policy again on SIGHUP: beside the event loop, one reading at a time, the last signal last."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from atlas.assessors.policy.in_force import PolicyInForce


@asynccontextmanager
async def reloading_on_hangup(policy: PolicyInForce) -> AsyncIterator[None]:
    """While this is entered a SIGHUP has the file read again; many at once are as good as the last one."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, asked.set)
    except (RuntimeError, ValueError):  # not the main thread, as under a test client: no one signals it
        yield
        return
    reloads = asyncio.create_task(_reload_when(asked, policy))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reloads.cancel()
        with suppress(asyncio.CancelledError):
            await reloads


async def _reload_when(asked: asyncio.Event, policy: PolicyInForce) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await asyncio.to_thread(policy.reload)
