"""The gateway, with every statement that SQLite runs for it written to the file ATLAS_TEST_STATEMENTS."""

import os
import sqlite3
from typing import Any

LOG = open(os.environ["ATLAS_TEST_STATEMENTS"], "a", encoding="utf-8", buffering=1)  # noqa: SIM115
connect = sqlite3.connect


def note(statement: str) -> None:
    """Write a statement down, on one line."""
    LOG.write(" ".join(statement.split()) + "\n")


def connect_and_note(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    """A connection that notes what it runs."""
    connection = connect(*args, **kwargs)
    connection.set_trace_callback(note)
    return connection


if __name__ == "__main__":
    sqlite3.connect = sqlite3.dbapi2.connect = connect_and_note
    from serving_gateway import serve_gateway

    serve_gateway()
