"""What an error of the store means for who asked for a change: nothing was changed, or no one knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import sqlalchemy as sa

from atlas.errors import AtlasError, RecordUnknown, StoreUnavailable

# Whether the request that is being served has changed something, which is on disk.
_has_changed: ContextVar[bool] = ContextVar("has_changed", default=False)


class CommitUnknown(sa.exc.DBAPIError):
    """A commit was sent, and it could not be found out whether it was made. Its `orig` says what broke."""


@contextmanager
def one_request() -> Iterator[None]:
    """What is changed inside is changed by one request."""
    token = _has_changed.set(False)
    try:
        yield
    finally:
        _has_changed.reset(token)


def note_change() -> None:
    """Note that a change is on disk: what fails after it in the same request has not changed nothing."""
    _has_changed.set(True)


def as_told(error: sa.exc.SQLAlchemyError) -> AtlasError:
    """What a change that has failed with this error is told to be."""
    return RecordUnknown() if isinstance(error, CommitUnknown) else StoreUnavailable()


def as_told_of_request(error: sa.exc.SQLAlchemyError, *, is_reading: bool) -> AtlasError:
    """The same for a whole request, of which something may have been recorded before."""
    if is_reading:
        return StoreUnavailable()
    return RecordUnknown() if _has_changed.get() else as_told(error)
