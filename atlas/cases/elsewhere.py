"""What other gateways change: the cases that agents wait for or follow here are read again.

Only what shows a case is told. What acts on a change, such as the reviewers' notices, is the part of the
gateway that made it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from atlas.database.hints import Hints
from atlas.models import Case

Read = Callable[[Collection[str]], Awaitable[list[Case]]]

logger = logging.getLogger(__name__)


class Shows(Protocol):
    """One who shows cases to agents or people."""

    def follows(self, case_id: str) -> bool:
        """Whether it wants to hear of a case now."""

    def followed(self) -> Iterable[str]:
        """All of them."""

    def tell(self, case: Case) -> None:
        """A case has changed."""


class Elsewhere:
    """Reads again what is shown here and was changed by another gateway."""

    def __init__(self, hints: Hints, read: Read) -> None:
        self.shows: list[Shows] = []
        self._read = read
        self._asked: set[str] = set()  # for which a look is to come
        self._own: set[str] = set()  # changed by this gateway during a look
        self._work: asyncio.Task[None] | None = None
        hints.listeners.append(self._changed)

    def note_own(self, case_id: str) -> None:
        """This gateway has changed a case, and has told so: a look that began before is not told."""
        self._own.add(case_id)

    def _changed(self, case_ids: frozenset[str] | None) -> None:
        if case_ids is None:
            asked = {case_id for one in self.shows for case_id in one.followed()}
        else:
            asked = {case_id for case_id in case_ids if any(one.follows(case_id) for one in self.shows)}
        self._asked |= asked
        if self._asked and (self._work is None or self._work.done()):
            self._work = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Read what was asked for, until nothing more is: one look after the other."""
        while self._asked:
            asked, self._asked, self._own = self._asked, set(), set()
            try:
                found = await self._read(asked)
            except SQLAlchemyError as error:  # who waits looks by itself later
                logger.warning("What another gateway changed cannot be read: %s", type(error).__name__)
                continue
            self._asked |= asked & self._own
            self._tell(case for case in found if case.case_id not in self._own)

    def _tell(self, found: Iterable[Case]) -> None:
        for case in found:
            for one in self.shows:
                if one.follows(case.case_id):
                    one.tell(case)
