"""A store in a second process, for what awaits reads and writes: one short transaction at a time."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.engine import Connection

from atlas.database.beside import Beside
from atlas.database.choose import beside
from atlas.database.location import Location

Result = TypeVar("Result")


class Shared:
    """Reads and writes as a `Database` does, beside the gateways that run."""

    def __init__(self, store: Beside, *, is_new: bool = False) -> None:
        self._store = store
        self.is_new = is_new  # no gateway had kept anything there

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self._store.place

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Run work that changes nothing."""
        return self._store.look(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run work in one transaction; it is on disk when this returns."""
        return self._store.change(work)


def shared(location: Location) -> Shared:
    """The store of a location; one without tables is first made ready.

    Raises DataDirectoryInUse, DataDirectoryUnusable and DatabaseUnusable.
    """
    store = beside(location)
    is_new = not store.tables()
    store.make_ready()
    return Shared(store, is_new=is_new)
