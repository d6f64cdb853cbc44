"""Runs a program whose clock a test sets: `python shifted_clock.py gateway`, or `atlas.engine --port …`.

The file named by ATLAS_TEST_CLOCK holds by how many seconds its clock is wrong, and can change at any time.
"""

import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any

CLOCK = Path(os.environ.get("ATLAS_TEST_CLOCK", os.devnull))
true_time = time.time


def shifted_time() -> float:
    """What the clock shows."""
    return true_time() + float(CLOCK.read_text() or 0)


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


def main(program: str) -> None:
    """Run the program."""
    time.time = shifted_time
    time.time_ns = lambda: int(shifted_time() * 1e9)
    if program == "atlas.engine":
        from atlas.engine.__main__ import main as run_engine

        return run_engine()
    import atlas.database

    atlas.database.datetime = ShiftedDatetime  # type: ignore[misc]
    from atlas.serve import serve
    from gateway import app, settings

    return serve(app, settings, app.state.banner)


if __name__ == "__main__":
    main(sys.argv.pop(1) if len(sys.argv) > 1 else "gateway")
