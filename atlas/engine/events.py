"""Events: checked at the door, kept, and delivered to the runs that wait and the functions they trigger."""

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from atlas.engine.errors import EventRefused, NotJson
from atlas.engine.functions import Function
from atlas.engine.json_text import parse_json, write_json
from atlas.engine.pauses import drop_pause, find_due, find_matches
from atlas.engine.runs import AFTER_WHAT_IS_NEW, Status, continue_run, end_run, memoise, start_runs
from atlas.engine.times import now
from atlas.engine.transaction import Transaction
from atlas.engine.ulids import new_ulid

T = TypeVar("T")

MOST_EVENTS = 5000
LARGEST_EVENT = 512 * 2**10
_LONGEST_NAME = 512
_MOST_DUE = 100
_TIMED_OUT = write_json(None)
_INVOKE_TIMED_OUT = write_json(  # the words by which the SDK's users know it
    {
        "error": {
            "name": "InngestInvokeTimeoutError",
            "message": "Timed out waiting for invoked function to complete",
        }
    }
)
_EARLIEST, _LATEST = 315_532_800_000, 4_102_444_800_000  # 1980 and 2100


@dataclasses.dataclass(frozen=True)
class Event:
    """An event that passed the checks; event_id is ours, the id in its body may be the sender's."""

    event_id: str
    body: dict[str, Any]
    has_own_id: bool


def parse_events(text: bytes, event_ids: Callable[[int], list[str]]) -> list[Event]:
    """The events of a request; raises EventRefused, with what is wrong, for all of them."""
    try:
        given = parse_json(text)
    except NotJson as error:
        raise EventRefused(str(error)) from error
    bodies = given if isinstance(given, list) else [given]
    if not all(isinstance(body, dict) for body in bodies):
        raise EventRefused("Request body must contain an event object or an array of event objects")
    if len(bodies) > MOST_EVENTS:
        raise EventRefused(f"a request may hold at most {MOST_EVENTS} events")
    return [
        _parse_event(body, event_id) for body, event_id in zip(bodies, event_ids(len(bodies)), strict=True)
    ]


def receive_events(tx: Transaction, events: list[Event]) -> None:
    """Keep and deliver the events; one that is there already was sent before and is left alone."""
    for event in events:
        _receive(tx, event)


def fire_due(tx: Transaction) -> None:
    """End some of the pauses whose moment has come."""
    for pause_id, run_id, step_id, kind, name, is_race in find_due(tx, now(), _MOST_DUE):
        if drop_pause(tx, pause_id) and kind != "cancel":
            memoise(tx, run_id, step_id, name, _INVOKE_TIMED_OUT if kind == "invoke" else _TIMED_OUT)
            continue_run(tx, run_id, is_race=bool(is_race), due_at=AFTER_WHAT_IS_NEW)


def transact(
    work: Callable[[Transaction], T], functions: Mapping[str, Function]
) -> Callable[[sqlite3.Connection], T]:
    """The work for the store: what `work` does, then the delivery of the events it emitted."""

    def run(connection: sqlite3.Connection) -> T:
        tx = Transaction(connection, functions)
        result = work(tx)
        while tx.emitted:
            _receive(tx, _server_event(tx.emitted.pop(0)))
        return result

    return run


def _server_event(body: dict[str, Any]) -> Event:
    event_id = new_ulid()
    return Event(event_id, {**body, "id": event_id, "ts": now(), "user": {}}, has_own_id=False)


def _receive(tx: Transaction, event: Event) -> None:
    body = write_json(event.body)
    kept = tx.execute(
        "INSERT INTO events (event_id, name, body, received_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        *(event.event_id, event.body["name"], body, now()),
    )
    if kept.rowcount == 1:
        _resume_runs(tx, event.body, body)
        start_runs(tx, event.event_id, event.body, has_own_id=event.has_own_id)


def _resume_runs(tx: Transaction, event: dict[str, Any], body: str) -> None:
    for pause_id, run_id, step_id, kind, name, is_race in find_matches(tx, event):
        if not drop_pause(tx, pause_id):
            continue
        if kind == "cancel":
            end_run(tx, run_id, Status.CANCELLED, "null")
        else:
            memoise(tx, run_id, step_id, name, body)
            continue_run(tx, run_id, is_race=bool(is_race))


def _parse_event(given: dict[str, Any], event_id: str) -> Event:
    name, data, user, own_id = (given.get(field) for field in ("name", "data", "user", "id"))
    if not isinstance(name, str) or not name:
        raise EventRefused("event name is empty")
    if len(name) > _LONGEST_NAME:
        raise EventRefused(f"event name is longer than {_LONGEST_NAME} characters")
    if name.lower().startswith("inngest/"):
        raise EventRefused(f"event name is reserved for internal use: {name}")
    for field, value in (("data", data), ("user", user)):
        if value is not None and not isinstance(value, dict):
            raise EventRefused(f"json: cannot unmarshal {json.dumps(value)[:40]} into event field {field}")
    if own_id is not None and not (isinstance(own_id, str) and len(own_id) <= _LONGEST_NAME):
        raise EventRefused("event id is not a text of at most 512 characters")
    body = {
        "data": {field: value for field, value in (data or {}).items() if field != "_inngest"},
        "id": own_id or event_id,
        "name": name,
        "ts": _parse_ts(given),
        "user": user or {},
    }
    if isinstance(given.get("v"), str):
        body["v"] = given["v"]
    return Event(event_id, _checked_size(body), has_own_id=bool(own_id))


def _parse_ts(given: dict[str, Any]) -> int:
    ts = given.get("ts") or now()
    if isinstance(ts, bool) or not isinstance(ts, int):
        raise EventRefused(f"json: cannot unmarshal {json.dumps(ts)[:40]} into event field ts")
    if not _EARLIEST <= ts <= _LATEST:
        raise EventRefused("event ts is not a time, in milliseconds, between 1980 and 2100")
    return ts


def _checked_size(body: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(write_json(body).encode())
    except NotJson as error:
        raise EventRefused(str(error)) from error
    if size > LARGEST_EVENT:
        raise EventRefused(f"event is {size} bytes long, more than {LARGEST_EVENT}")
    return body
