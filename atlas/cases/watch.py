"""Waits for the changes of one case."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from atlas.cases.draining import Draining
from atlas.database.hints import Hints
from atlas.models import Case, Status

WAKE_SECONDS = 1.0  # after so long a condition is asked again, and an agent told that its call still waits

Read = Callable[[str], Awaitable[Case]]

logger = logging.getLogger(__name__)


class Watch:
    """Sees the changes of one case as they are made; looks by itself for what was not told."""

    def __init__(self, case: Case, *, read: Read, hints: Hints, draining: Draining) -> None:
        self._read = read
        self._hints = hints
        self._draining = draining
        self.case = case
        self._is_told = False
        self._woken = asyncio.Event()
        self._looked_at = monotonic()

    def tell(self, case: Case) -> None:
        """The case has changed."""
        self.case = case
        self._is_told = True
        self._looked_at = monotonic()
        self._woken.set()

    def wake(self) -> None:
        """Look again: the case may be another, or there is no more time for it."""
        self._looked_at = -math.inf
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
            await self._next(loop, seconds=min(left, WAKE_SECONDS))
            if deadline - loop.time() <= 0 and not condition(self.case):
                await self._look()  # its agent is answered with what is there now
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
        if not self._is_told and monotonic() - self._looked_at >= self._hints.seconds_between_looks:
            await self._look()

    async def _look(self) -> None:
        self._is_told = False
        try:
            case = await self._read(self.case.case_id)
        except SQLAlchemyError as error:  # as it was: who waits is not told an error
            logger.warning("A case that is waited for cannot be read now: %s", type(error).__name__)
            return
        if not self._is_told:  # else what was read is older
            self.case, self._looked_at = case, monotonic()


class Watches:
    """All that are open."""

    def __init__(self, *, read: Read, hints: Hints, draining: Draining) -> None:
        self._read = read
        self._hints = hints
        self._draining = draining
        self._open: dict[str, set[Watch]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def wake(self) -> None:
        """Have all of them look again."""
        for watches in self._open.values():
            for watch in watches:
                watch.wake()

    def follows(self, case_id: str) -> bool:
        """Whether a case is watched."""
        return case_id in self._open

    def followed(self) -> Iterable[str]:
        """The cases that are watched."""
        return self._open

    def tell(self, case: Case) -> None:
        """A case has changed."""
        for watch in self._open.get(case.case_id, ()):
            watch.tell(case)

    def of(self, case_id: str) -> Watch | None:
        """One of those of a case."""
        return next(iter(self._open.get(case_id, ())), None)

    @contextmanager
    def watch(self, case: Case) -> Iterator[Watch]:
        """Watch a case from here on."""
        watch = Watch(case, read=self._read, hints=self._hints, draining=self._draining)
        self._open.setdefault(case.case_id, set()).add(watch)
        try:
            yield watch
        finally:
            self._open[case.case_id].discard(watch)
            if not self._open[case.case_id]:
                del self._open[case.case_id]


def is_told(case: Case) -> bool:
    """Whether its agent has something to hear: the ending, or what a person asks."""
    return case.status.is_final or bool(case.open_questions)


def is_held(case: Case) -> bool:
    """Whether a case has ended, goes on only when a person has lifted a stop, or its agent is asked."""
    return case.status.is_final or case.stop is not None or bool(case.open_questions)


def is_settled(case: Case) -> bool:
    """Whether an agent's waiting call is answered now: it is held, or a person must decide."""
    return is_held(case) or case.status is Status.PENDING_REVIEW
