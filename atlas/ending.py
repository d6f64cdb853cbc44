"""How work in the background is ended."""

import asyncio
from typing import Any

AGAIN_SECONDS = 0.1  # after which a cancellation that was lost is repeated


async def end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task, and return when it has ended, however that was.

    Up to Python 3.11 `asyncio.wait_for` loses a cancellation where what it waits for ends in the same moment.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
    await asyncio.gather(task, return_exceptions=True)
