"""Waits for the changes of one case."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from atlas.cases.draining import Draining
from atlas.models import Case, Status

POLL_SECONDS = 1.0  # a change made by another process is seen after this long

logger = logging.getLogger(__name__)


class Watch:
    """Sees the changes of one case as they are made, and once a second those made by another process."""

    def __init__(self, case: Case, *, read: Callable[[str], Awaitable[Case]], draining: Draining) -> None:
        self._read = read
        self._draining = draining
        self.case = case
        self._is_told = False
        self._woken = asyncio.Event()

    def tell(self, case: Case) -> None:
        """The case has changed."""
        self.case = case
        self._is_told = True
        self._woken.set()

    def wake(self) -> None:
        """Look again: the case may be another, or there is no more time for it."""
        self._woken.set()

    async def until(
        self,
        condition: Callable[[Case], bool],
        *,
        seconds: float,
        tell: Callable[[Case], Awaitable[None]] | None = None,
    ) -> Case:
        """The case as soon as the condition holds, or as it is after so many seconds or at a stop.

        While it does not hold, `tell` is called at each change, and about once a second.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self._is_over(condition) and (left := deadline - loop.time()) > 0:
            if tell is not None:
                await tell(self.case)
                if self._is_over(condition):  # the case has changed meanwhile
                    break
            await self._next(loop, seconds=min(left, POLL_SECONDS))
        return self.case

    def _is_over(self, condition: Callable[[Case], bool]) -> bool:
        return condition(self.case) or self._draining.ends_wait(self.case)

    async def _next(self, loop: asyncio.AbstractEventLoop, *, seconds: float) -> None:
        self._is_told = False
        self._woken.clear()
        alarm = loop.call_later(seconds, self._woken.set)  # wait_for would start a task for every wait
        try:
            await self._woken.wait()
        finally:
            alarm.cancel()
        if not self._is_told:
            self.case = await self._read_again()

    async def _read_again(self) -> Case:
        """The case as it is; while the store cannot be read, as it was: who waits is not told an error."""
        try:
            return await self._read(self.case.case_id)
        except SQLAlchemyError as error:
            logger.warning("A case that is waited for cannot be read now: %s", type(error).__name__)
            return self.case


def is_final(case: Case) -> bool:
    """Whether a case has ended."""
    return case.status.is_final


def is_told(case: Case) -> bool:
    """Whether its agent has something to hear: the ending, or what a person asks."""
    return case.status.is_final or bool(case.open_questions)


def is_held(case: Case) -> bool:
    """Whether a case has ended, goes on only when a person has lifted a stop, or its agent is asked."""
    return case.status.is_final or case.stop is not None or bool(case.open_questions)


def is_settled(case: Case) -> bool:
    """Whether an agent's waiting call is answered now: it is held, or a person must decide."""
    return is_held(case) or case.status is Status.PENDING_REVIEW
