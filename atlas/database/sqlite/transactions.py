"""Transactions of SQLite, for the one writer of a file."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Handle = TypeVar("Handle", covariant=True)


class SqliteTransactions(Generic[Handle]):
    """Of a connection in autocommit mode that any thread may use, and of what stands for it.

    `number` says what a commit has come to, and `acknowledge` is told so when it is on disk.
    """

    def __init__(
        self,
        handle: Handle,
        driver: sqlite3.Connection,
        *,
        number: Callable[[sqlite3.Connection], int],
        acknowledge: Callable[[int], None],
    ) -> None:
        self.handle = handle
        self._driver = driver
        self._number = number
        self._acknowledge = acknowledge
        self._has_savepoint = False  # none for the first change of a transaction

    def begin(self) -> None:
        """Begin, and wait for other processes."""
        self._has_savepoint = False
        self._driver.execute("BEGIN IMMEDIATE")

    def commit(self, *, is_changed: bool) -> None:
        """Commit, and note what is on disk by now."""
        number = self._number(self._driver) if is_changed else None
        self._driver.execute("COMMIT")
        if number is not None:
            self._acknowledge(number)

    def undo(self) -> None:
        """Roll back, also what a failed COMMIT leaves open."""
        with suppress(sqlite3.Error):  # the next BEGIN will say so
            self._driver.rollback()

    def begin_change(self) -> None:
        """Begin one more change; the one before stands."""
        if self._has_savepoint:
            self._driver.execute("RELEASE SAVEPOINT change")
        self._driver.execute("SAVEPOINT change")
        self._has_savepoint = True

    def undo_change(self) -> None:
        """Roll back to where the newest change began; the first has the whole transaction for that."""
        if self._has_savepoint:
            self._driver.execute("ROLLBACK TO SAVEPOINT change")
        else:
            self._driver.execute("ROLLBACK")
            self.begin()

    @property
    def is_begun(self) -> bool:
        """Whether SQLite has not undone it."""
        return self._driver.in_transaction
