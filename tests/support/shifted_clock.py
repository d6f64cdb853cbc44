"""Runs `python -m atlas.engine` with a clock that a test sets.

The file named by ATLAS_TEST_CLOCK holds by how many seconds the clock is wrong, and can change at any time.
"""

import datetime
import os
import time
from pathlib import Path
from typing import Any

true_time = time.time


def shifted_time() -> float:
    """What the clock shows."""
    return true_time() + float(Path(os.environ["ATLAS_TEST_CLOCK"]).read_text())


class ShiftedDatetime(datetime.datetime):
    """A datetime whose present is the clock's."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:  # type: ignore[override]
        """The present moment."""
        return datetime.datetime.fromtimestamp(shifted_time(), tz)


def set_clock(path: Path, **wrong_by: float) -> None:
    """Set the clock that a file stands for, at once: `hours=-1`."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(str(datetime.timedelta(**wrong_by).total_seconds()))
    fresh.rename(path)


def shift_clock() -> None:
    """Let this process see the clock of the test."""
    time.time = shifted_time
    time.time_ns = lambda: int(shifted_time() * 1e9)


def main() -> None:
    """Run the engine."""
    shift_clock()
    from atlas.engine.__main__ import main as run_engine

    run_engine()


if __name__ == "__main__":
    main()
