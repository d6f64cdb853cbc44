"""Very many waiting runs, made as copies of one: for tests and measurements of the engine's file."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from atlas.engine.expressions import value_key
from atlas.engine.times import DAY, now
from atlas.engine.ulids import new_ulid

FIRST = 1_000_000  # the key in the event of the first copy
_OF_RUN = {
    "events": "SELECT events.* FROM events JOIN runs USING (event_id) WHERE run_id = ?",
    "runs": "SELECT * FROM runs WHERE run_id = ?",
    "memos": "SELECT * FROM memos WHERE run_id = ?",
    "pauses": "SELECT * FROM pauses WHERE run_id = ?",
}

Rows = list[dict[str, Any]]


def copy_waiting_run(connection: sqlite3.Connection, count: int) -> None:
    """Copy the newest waiting run so many times, each with a `data.key` of its own."""
    copy_run(connection, ({"key": key} for key in range(FIRST, FIRST + count)), match="key")


def copy_run(connection: sqlite3.Connection, data: Iterable[dict[str, Any]], *, match: str) -> None:
    """Copy the newest waiting run once for each of the data of events, told apart by the field `match`.

    Where the event had an id of its sender, that of a copy is the value of that field.
    """
    found = connection.execute("SELECT run_id FROM pauses ORDER BY pause_id DESC LIMIT 1").fetchone()
    originals = {table: _rows(connection, query, found) for table, query in _OF_RUN.items()}
    connection.execute("BEGIN")
    for fields in data:
        _copy(connection, originals, fields, str(fields[match]), value_key(fields[match]))
    connection.execute("COMMIT")


def _copy(
    connection: sqlite3.Connection, originals: dict[str, Rows], fields: dict[str, Any], key: str, value: str
) -> None:
    (event,), (run,) = originals["events"], originals["runs"]
    run_id, event_id, body = new_ulid(), new_ulid(), json.loads(event["body"])
    is_own_id = body["id"] != event["event_id"]
    body |= {"id": key if is_own_id else event_id, "data": body["data"] | fields}
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    _insert(connection, "events", event | {"event_id": event_id, "body": text})
    _insert(connection, "runs", run | {"run_id": run_id, "event_id": event_id})
    for memo in originals["memos"]:
        _insert(connection, "memos", memo | {"run_id": run_id})
    for pause in originals["pauses"]:
        copied = pause | {"run_id": run_id, "match_value": value}
        del copied["pause_id"]
        _insert(connection, "pauses", copied)
    if is_own_id:
        skip = {"function_id": run["function_id"], "key": f"id {key}", "until": now() + DAY}
        _insert(connection, "skips", skip)


def _rows(connection: sqlite3.Connection, query: str, values: Any) -> Rows:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
