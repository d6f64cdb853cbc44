"""Pauses: what a run sleeps or waits for, each ended by its event, its time-out or the end of the run."""

import json
from collections.abc import Iterator
from typing import Any

from atlas.engine.expressions import Scope, index_key, parse_expression
from atlas.engine.functions import Function
from atlas.engine.times import now
from atlas.engine.transaction import Transaction

# Invocations are found by the id of the run they started; no event has an empty name.
_INVOCATION = ("", "run")


def add_sleep(tx: Transaction, run_id: str, step_id: str, name: str, *, due_at: int, is_race: bool) -> None:
    """Pause a run until a moment."""
    _add(tx, run_id, step_id, "sleep", name, ("", "", None, ""), due_at=due_at, is_race=is_race)


def add_wait(
    tx: Transaction,
    run_id: str,
    step_id: str,
    name: str,
    *,
    event: str,
    expression: str,
    due_at: int,
    is_race: bool,
) -> None:
    """Pause a run until an event that matches arrives, or until a moment."""
    match = _match_columns(event, expression, _trigger_of(tx, run_id))
    _add(tx, run_id, step_id, "wait", name, match, due_at=due_at, is_race=is_race)


def add_invocation(
    tx: Transaction, run_id: str, step_id: str, name: str, *, child_id: str, due_at: int, is_race: bool
) -> None:
    """Pause a run until another one ends, or until a moment."""
    _add(tx, run_id, step_id, "invoke", name, (*_INVOCATION, child_id, ""), due_at=due_at, is_race=is_race)


def add_cancels(tx: Transaction, run_id: str, function: Function, event: dict[str, Any]) -> None:
    """Let the events of a function's cancel configuration end the run."""
    for position, cancel in enumerate(function.cancels):
        match = _match_columns(cancel.event, cancel.expression, event)
        due_at = None if cancel.timeout is None else now() + cancel.timeout
        _add(tx, run_id, f"cancel {position}", "cancel", "", match, due_at=due_at, is_race=False)


def has_pause(tx: Transaction, run_id: str, step_id: str) -> bool:
    """Whether the step is waiting already."""
    return (
        tx.execute("SELECT 1 FROM pauses WHERE run_id = ? AND step_id = ?", run_id, step_id).fetchone()
        is not None
    )


def find_matches(tx: Transaction, event: dict[str, Any]) -> list[tuple[int, str, str, str, str, bool]]:
    """Each pause that the event ends, as (pause_id, run_id, step_id, kind, step_name, is_race)."""
    matches = []
    for path in list(_paths_waited_for(tx, event["name"])):
        key = index_key(f"async.{path}", {"async": event}) if path else ""
        rows = tx.execute(
            "SELECT pause_id, run_id, step_id, kind, step_name, is_race, expression FROM pauses"
            " WHERE event_name = ? AND match_path = ? AND match_value = ? ORDER BY pause_id",
            *(event["name"], path, key),
        )
        matches += [row[:6] for row in rows.fetchall() if _is_match(tx, row[1], row[6], event)]
    return matches


def find_due(tx: Transaction, moment: int, most: int) -> list[tuple[int, str, str, str, str, bool]]:
    """The same of pauses whose moment has come."""
    return tx.execute(
        "SELECT pause_id, run_id, step_id, kind, step_name, is_race FROM pauses"
        " WHERE due_at <= ? ORDER BY due_at LIMIT ?",
        *(moment, most),
    ).fetchall()


def drop_pause(tx: Transaction, pause_id: int) -> bool:
    """End a pause; tells whether it was still there."""
    return tx.execute("DELETE FROM pauses WHERE pause_id = ?", pause_id).rowcount == 1


def find_invocations(tx: Transaction, child_id: str) -> list[tuple[int, str, str, str, str, bool]]:
    """The same of pauses that wait for the end of a run."""
    return tx.execute(
        "SELECT pause_id, run_id, step_id, kind, step_name, is_race FROM pauses"
        " WHERE event_name = ? AND match_path = ? AND match_value = ?",
        *(*_INVOCATION, child_id),
    ).fetchall()


def _add(
    tx: Transaction,
    run_id: str,
    step_id: str,
    kind: str,
    name: str,
    match: tuple[str, str, str | None, str],
    *,
    due_at: int | None,
    is_race: bool,
) -> None:
    tx.execute(
        "INSERT INTO pauses (run_id, step_id, kind, step_name, event_name, match_path, match_value,"
        " expression, is_race, due_at)"
        " SELECT run_id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM runs WHERE run_id = ? AND status = 'RUNNING'"
        " ON CONFLICT (run_id, step_id) DO NOTHING",
        *(step_id, kind, name, *match, is_race, due_at, run_id),
    )


def _match_columns(
    event_name: str, expression: str, trigger: dict[str, Any]
) -> tuple[str, str, str | None, str]:
    path, operand, rest = parse_expression(expression).split_index()
    value = index_key(operand, {"event": trigger}) if path else ""
    return event_name, path, value, rest


def _is_match(tx: Transaction, run_id: str, expression: str, event: dict[str, Any]) -> bool:
    if not expression:
        return True
    scope: Scope = {"event": _trigger_of(tx, run_id), "async": event}
    return parse_expression(expression).is_match(scope)


def _trigger_of(tx: Transaction, run_id: str) -> dict[str, Any]:
    (body,) = tx.execute(
        "SELECT body FROM runs JOIN events USING (event_id) WHERE run_id = ?", run_id
    ).fetchone()
    trigger: dict[str, Any] = json.loads(body)
    return trigger


def _paths_waited_for(tx: Transaction, event_name: str) -> Iterator[str]:
    # One index look-up per path, however many runs wait: SELECT DISTINCT would walk over all of them.
    statement = "SELECT min(match_path) FROM pauses WHERE event_name = ? AND match_path "
    (path,) = tx.execute(statement + ">= ''", event_name).fetchone()
    while path is not None:
        yield path
        (path,) = tx.execute(statement + "> ?", event_name, path).fetchone()
