"""Very many waiting runs, made as copies of one: for tests and measurements of the engine's file."""

import json
import sqlite3
from typing import Any

from atlas.engine.expressions import value_key
from atlas.engine.ulids import new_ulid

FIRST = 1_000_000  # the key in the event of the first copy
_OF_RUN = {
    "events": "SELECT events.* FROM events JOIN runs USING (event_id) WHERE run_id = ?",
    "runs": "SELECT * FROM runs WHERE run_id = ?",
    "memos": "SELECT * FROM memos WHERE run_id = ?",
    "pauses": "SELECT * FROM pauses WHERE run_id = ?",
}


def copy_waiting_run(connection: sqlite3.Connection, count: int) -> None:
    """Copy the newest waiting run so many times, each with ids and a `data.key` of its own."""
    found = connection.execute("SELECT run_id FROM pauses ORDER BY pause_id DESC LIMIT 1").fetchone()
    originals = {table: _rows(connection, query, found) for table, query in _OF_RUN.items()}
    connection.execute("BEGIN")
    for key in range(FIRST, FIRST + count):
        ids = {"run_id": new_ulid(), "event_id": new_ulid()}
        for table, rows in originals.items():
            for row in rows:
                _insert(connection, table, row | {name: ids[name] for name in ids if name in row}, key)
    connection.execute("COMMIT")


def _rows(connection: sqlite3.Connection, query: str, values: Any) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any], key: int) -> None:
    if table == "events":
        event = json.loads(row["body"])
        event["id"], event["data"]["key"] = row["event_id"], key
        row["body"] = json.dumps(event, separators=(",", ":"))
    if table == "pauses":
        del row["pause_id"]
        row["match_value"] = value_key(key)
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
