"""`python -m atlas.engine`, with one moment of the store at which the process kills itself.

ATLAS_TEST_DIE names it: `before`, `during` or `after`, and the number of the COMMIT since the start.
"""

import os
import signal
import sqlite3
import threading
import time
from typing import Any

from atlas.engine import store
from atlas.engine.__main__ import main

LONGEST_COMMIT = 0.004  # seconds; `during` dies within them, often while the file is being written


def die() -> None:
    """End without a goodbye."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_soon(seconds: float) -> None:
    """End from another thread, wherever this one is then."""

    def wait_and_die() -> None:
        time.sleep(seconds)
        die()

    threading.Thread(target=wait_and_die, daemon=True).start()


class MortalConnection:
    """A connection that dies around one of its commits."""

    def __init__(self, connection: sqlite3.Connection, when: str, number: int) -> None:
        self._connection = connection
        self._when = when
        self._left = number

    def __getattr__(self, name: str) -> Any:
        """Everything else is the connection's own."""
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> Any:
        """Run a statement, and die if it is the one."""
        if statement != "COMMIT":
            return self._connection.execute(statement, *values)
        self._left -= 1
        if self._left == 0 and self._when == "before":
            die()
        if self._left == 0 and self._when == "during":
            die_soon(LONGEST_COMMIT * (time.time_ns() % 100) / 100)
        result = self._connection.execute(statement, *values)
        if self._left == 0 and self._when == "after":
            die()
        return result


def arm(description: str) -> None:
    """Arm `during 12`: the store's next connection dies while it commits for the twelfth time."""
    when, number = description.split()
    connect = store.connect_store

    def connect_mortal(path: Any, **options: Any) -> Any:
        return MortalConnection(connect(path, **options), when, int(number))

    store.connect_store = connect_mortal


if __name__ == "__main__":
    if os.environ.get("ATLAS_TEST_DIE"):
        arm(os.environ["ATLAS_TEST_DIE"])
    main()
