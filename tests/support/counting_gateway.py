"""The gateway, which counts what a call makes it do, and writes it into ATLAS_TEST_COUNTS at SIGUSR1."""

import asyncio
import functools
import json
import os
import runpy
import signal
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastmcp import FastMCP
from inngest._internal.function import Function

from atlas.database.writer import Writer

WRITERS = {"database-writer": "the case store", "atlas-engine-store": "the engine"}
AROUND = ("BEGIN", "SAVEPOINT", "RELEASE", "SELECT coalesce(max(")  # of a batch, whose size varies

counts: Counter[str] = Counter()


def count_statement(statement: str) -> None:
    """Count what a writer runs for a change, and apart from it what it commits."""
    store = WRITERS.get(threading.current_thread().name)
    if store is None or statement.startswith(AROUND):
        return
    if statement.startswith("COMMIT"):
        counts[f"commits of {store}"] += 1
    else:
        counts[f"statements of {store}"] += 1


def connecting(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """The function, whose connections tell of their statements."""

    @functools.wraps(connect)
    def connected(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(count_statement)
        return connection

    return connected


def counted(owner: type, name: str, what: str) -> None:
    """Count how often a method is called."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def counting(*args: Any, **kwargs: Any) -> Any:
        counts[what] += 1
        return method(*args, **kwargs)

    setattr(owner, name, counting)


def tell(*_: object) -> None:
    """Write the counts so far, whole."""
    told = Path(os.environ["ATLAS_TEST_COUNTS"])
    told.with_suffix(".new").write_text(json.dumps(counts))
    told.with_suffix(".new").rename(told)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    sqlite3.connect = sqlite3.dbapi2.connect = connecting(sqlite3.connect)  # type: ignore[attr-defined]
    counted(Writer, "_hand_over", "changes handed to a writer")
    counted(Function, "call", "calls of Inngest's SDK")
    counted(FastMCP, "get_tool", "look-ups of a tool")
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # whose turns cannot be counted
    counted(asyncio.BaseEventLoop, "_run_once", "turns of the event loop")
    runpy.run_path(str(Path(__file__).parents[2] / "gateway.py"), run_name="__main__")
