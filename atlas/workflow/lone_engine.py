"""Says it where gateways share a database and this one has an engine of its own, which holds its own runs."""

import asyncio
import logging

from atlas.database.lease import Lease

LOOK_SECONDS = 5.0
NOT_ALONE = (
    "This gateway runs calls in its embedded engine, and shares its database: {count} gateways are there now."
    " What another one decides reaches a run here late or never."
    " Give all of them one engine: docs/how-to/inngest.md"
)

logger = logging.getLogger(__name__)


async def watch_alone(lease: Lease) -> None:
    """Log it once, each time that another gateway comes."""
    before = 1
    while True:
        count = len(lease.living)
        if count > max(before, 1):
            logger.error("%s", NOT_ALONE.format(count=count))
        before = count
        await asyncio.sleep(LOOK_SECONDS)
