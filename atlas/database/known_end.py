"""What a change knows of the end of the ledger without asking for it: a server is far away.

It is read where a transaction begins, holds within it, and is forgotten with what is undone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy.engine import Connection

from atlas.database.facts import only_if_kept

# For the end of a statement that a transaction begins with: the newest number and hash, or NULL.
READ = (
    "(SELECT seq FROM ledger ORDER BY seq DESC LIMIT 1),"
    " (SELECT entry_hash FROM ledger ORDER BY seq DESC LIMIT 1)"
)
FIRST = (0, "0" * 64)
_KEY = "end of the ledger"

End = tuple[int, str]


def begin(connection: Connection, read: Sequence[Any]) -> None:
    """Note what READ has read."""
    connection.info[_KEY] = FIRST if read[0] is None else (read[0], read[1])


def known(connection: Connection) -> End | None:
    """The number and the hash of the newest entry; None: it has to be asked for."""
    end: End | None = connection.info.get(_KEY)
    return end


def note(connection: Connection, end: End) -> None:
    """An entry was written behind it; where it has to be asked for, that stays so."""
    if _KEY in connection.info:
        connection.info[_KEY] = end


def forget(connection: Connection) -> None:
    """Something was undone."""
    connection.info.pop(_KEY, None)


@contextmanager
def as_a_whole(connection: Connection) -> Iterator[None]:
    """What is done inside, in a change, is done as a whole, or not at all."""
    connection.exec_driver_sql("SAVEPOINT whole")
    try:
        with only_if_kept(connection):
            yield
    except BaseException:
        forget(connection)
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT whole")
        raise
    finally:
        connection.exec_driver_sql("RELEASE SAVEPOINT whole")
