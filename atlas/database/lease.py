"""The lease of a process: it says again and again that it lives, and knows when others may take over."""

from typing import Protocol


class Lease(Protocol):
    """What a process holds of the store as long as it lives."""

    @property
    def process_id(self) -> str:
        """Marks what this process has begun, and no other."""

    @property
    def is_shared(self) -> bool:
        """Whether there can be other processes."""

    @property
    def living(self) -> frozenset[str]:
        """The processes that share the store, this one among them, as they were seen last."""

    @property
    def is_lost(self) -> bool:
        """Whether others have taken over: this process can write nothing any more."""

    def silent(self) -> dict[str, str]:
        """Processes that say nothing any more, and since when; they are to be given up."""

    async def confirm(self) -> None:
        """Return when no other process can have taken over; raises ProcessGivenUp where one has.

        While the store cannot be asked this waits.
        """


class LoneLease:
    """Of the one process that a locked directory can have."""

    is_shared = False
    is_lost = False

    def __init__(self, process_id: str) -> None:
        self.process_id = process_id
        self.living = frozenset({process_id})

    def silent(self) -> dict[str, str]:
        """There is no other process."""
        return {}

    async def confirm(self) -> None:
        """The lock is held until the process ends."""
