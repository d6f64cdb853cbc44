"""What a command does in a process of its own, beside the gateways that run, or where none does.

The newest entry of the ledger is read in each change, so the chain goes on whichever process wrote it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Connection

Result = TypeVar("Result")
ANOTHER_VERSION = "the gateway that runs is of another version than this command. Restart it."
KEPT_ELSEWHERE = (
    "it is not there, and a gateway runs. If that keeps its cases in PostgreSQL, give this command its"
    " ATLAS_DATABASE_URL."
)

NO_GATEWAY = (
    "No gateway has kept anything in {place}. Give this command the ATLAS_DATA_DIR and the ATLAS_DATABASE_URL"
    " of your gateway, or type it in the folder of its .env."
)


class Moment(Protocol):
    """A store in one transaction."""

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on the connection of the transaction."""

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement as they come, in the transaction."""


class Target(Moment, Protocol):
    """A store that is filled, in one transaction."""

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
        """Put rows into a table as they come; returns how many had a character that the store cannot hold.

        U+FFFD stands in its place.
        """


class Beside(Protocol):
    """A store whose gateways may run meanwhile; what cannot be used raises DatabaseUnusable."""

    @property
    def place(self) -> str:
        """Where it is, for people; without a password."""

    @property
    def setting(self) -> str:
        """The line of `.env` with which a gateway keeps its cases there."""

    def make_ready(self) -> None:
        """Make the tables where there are none; raises DatabaseUnusable where they are of another version."""

    def bring_up_to_date(self) -> None:
        """Bring the tables, new or old, to the newest version."""

    def change(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns."""

    def look(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which changes nothing and sees one moment; the tables must be of this version."""

    def tables(self) -> frozenset[str]:
        """The names of the tables that are there, whichever version they have; none of what is not there."""

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement at one moment, as they come, whichever version the tables have."""

    def findings(self) -> Iterator[str]:
        """What an operator may want to know of it, in sentences; what keeps a gateway from it is raised."""

    def try_out(self) -> None:
        """Raise DatabaseUnusable for what keeps a gateway from it, which renews old tables itself."""

    def moment(self) -> AbstractContextManager[Moment]:
        """All that is read inside is of one moment; the tables must be of this version."""

    def back_up(self, path: Path) -> None:
        """Write all that the store holds at one moment into a new SQLite file."""

    def as_source(self) -> AbstractContextManager[None]:
        """While this is entered nothing changes it; raises where a gateway works on it."""

    def as_target(self) -> AbstractContextManager[Target]:
        """Make its tables and fill them, as a whole or not at all; raises where a gateway works on it."""

    def retire(self) -> str:
        """See to it that no gateway goes on with a source that was copied, and say how that is undone."""
