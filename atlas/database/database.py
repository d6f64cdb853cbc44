"""What every store of cases, ledger and people does, whichever one it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy.engine import Connection

from atlas.database.facts import Listener
from atlas.database.hints import Hints
from atlas.database.lease import Lease
from atlas.database.writer import Change

Result = TypeVar("Result")


class Database(Protocol):
    """A store: each change happens as a whole or not at all, after the one before, in all processes.

    Work is a plain function of a connection and runs in a thread. What it reads first does not change before
    it writes.
    """

    @property
    def hints(self) -> Hints:
        """What other gateways are heard to have changed."""

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""

    @property
    def lease(self) -> Lease:
        """What tells this process and the others that share the store of each other."""

    @property
    def place(self) -> str:
        """Where it is, for people; without a password."""

    @property
    def problem(self) -> str | None:
        """Why the last change could not be kept, in the words of the store; None: it could."""

    @property
    def directory(self) -> Path:
        """The data directory of this gateway."""

    @property
    def listeners(self) -> list[Listener]:
        """Who hears of each change that is on disk."""

    async def open(self) -> None:
        """Bring the tables up to date and connect; raises a sentence for operators."""

    async def close(self) -> None:
        """Finish what was begun, and disconnect."""

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns.

        Once handed over it is carried to its end, also when the caller is cancelled.
        """

    async def write_ahead(self, work: Callable[[Connection], Result]) -> Change[Result]:
        """The same, but return when the changes are made, which the disk will have a moment later."""

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work on a connection that sees what this process wrote before."""

    def read_here(self, work: Callable[[Connection], Result]) -> Result | None:
        """Run short work in the caller's thread, where that costs less; None: it does not."""

    async def look(self, work: Callable[[Connection], Result]) -> Result:
        """The same as `read` for what may take long: no call of an agent stands behind it."""

    async def check(self) -> str | None:
        """Why the store cannot be read or written at the moment, or None; what has failed is tried again."""
