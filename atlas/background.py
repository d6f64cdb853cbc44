"""Work that runs beside the rest, and how it is ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

AGAIN_SECONDS = 5.0  # after which a cancellation counts as lost; what was cancelled has these to clear up


@asynccontextmanager
async def in_background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Let something run beside what is inside, and end with it."""
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        await end(task)


async def end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task, and return when it has ended, however that was.

    Up to Python 3.11 `asyncio.wait_for` loses a cancellation where what it waits for ends in the same moment.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
    await asyncio.gather(task, return_exceptions=True)
