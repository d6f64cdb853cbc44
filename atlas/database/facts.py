"""What a change did, as those hear of it who watch the gateway: once it is on disk, and behind the answer."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from time import perf_counter
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.engine import Connection

_FACTS = "atlas.facts"  # in what SQLAlchemy lets others keep with a connection

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """One who watches changes. What it does wrong is logged, and harms no change."""

    def join(self, connection: Connection, facts: Sequence[Any]) -> None:
        """Take part in the transaction of a change, in its thread, with the context of who asked for it."""

    def hear(self, facts: Sequence[Any], result: Any, seconds: float) -> None:
        """Hear, in the loop, of a change that is on disk: what it did, returned, and how long that took."""


class Noting(Generic[Result]):
    """A change, with what it notes while it is made; made again, it begins with none."""

    def __init__(self, work: Callable[[Connection], Result], listeners: Sequence[Listener]) -> None:
        self._work = work
        self._listeners = listeners
        self._began = perf_counter()
        self._context = copy_context()
        self._facts: list[Any] = []
        self._result: Result | None = None

    def __call__(self, connection: Connection) -> Result:
        """Make the change."""
        kept = connection.info
        kept[_FACTS] = self._facts = []
        try:
            self._result = self._work(connection)
        finally:
            del kept[_FACTS]
        for listener in self._listeners if self._facts else ():
            self._context.run(_carefully, listener.join, connection, self._facts)
        return self._result

    def tell(self) -> None:
        """Tell those who listen; the change is on disk."""
        seconds = perf_counter() - self._began
        for listener in self._listeners:
            _carefully(listener.hear, self._facts, self._result, seconds)


def note(connection: Connection, facts: Sequence[Any]) -> None:
    """Note what the present change does, if someone listens."""
    noted = connection.info.get(_FACTS)
    if noted is not None:
        noted.extend(facts)


@contextmanager
def only_if_kept(connection: Connection) -> Iterator[None]:
    """Of what is noted inside nothing stays if it raises, because it is undone then."""
    noted = connection.info.get(_FACTS, [])
    before = len(noted)
    try:
        yield
    except BaseException:
        del noted[before:]
        raise


def noting(
    work: Callable[[Connection], Result], listeners: Sequence[Listener]
) -> Callable[[Connection], Result]:
    """A change as it is, or so that those hear of it who listen."""
    return Noting(work, listeners) if listeners else work


def tell(work: Callable[[Connection], Any]) -> None:
    """Tell those who listen of a change that is on disk."""
    if isinstance(work, Noting):
        work.tell()


def _carefully(tell: Callable[..., None], *what: Any) -> None:
    try:
        tell(*what)
    except Exception:
        logger.exception("What watches the gateway has failed; the change stands")
