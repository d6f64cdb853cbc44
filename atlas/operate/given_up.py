"""A gateway whose work others have taken over says so and ends, and what started it starts it again."""

import logging
import os
import threading
from typing import Any

import uvicorn

from atlas.database.lease import Lease

GIVEN_UP_STATUS = 75  # with which it ends: "try again", for systemd and the like
LONGEST_END = 60.0  # seconds, if something keeps it from its end, such as a database that does not answer
GIVEN_UP = (
    "This gateway was frozen, or cut off from the database: the others have taken over its work."
    " It ends with status 75. What started it has to start it again."
)

logger = logging.getLogger(__name__)


class EndsWhenGivenUp(uvicorn.Server):
    """A server that stops by itself, as on a signal, when it can write nothing any more."""

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: say whether it is to stop."""
        app: Any = self.config.app
        if is_given_up(app) and not self.should_exit:
            logger.critical(GIVEN_UP)
            self.should_exit = True
            end_at_last()
        return await super().on_tick(counter)


def is_given_up(app: Any) -> bool:
    """Whether others have taken over the work of an app's process."""
    lease: Lease = app.state.lease
    return lease.is_lost


def end_at_last() -> None:
    """End the process after a while, if it has not ended by then."""
    alarm = threading.Timer(LONGEST_END, os._exit, [GIVEN_UP_STATUS])
    alarm.daemon = True
    alarm.start()
