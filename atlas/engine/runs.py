"""The life of a run: started by an event, given memos, called again, and ended once."""

import enum
import json
from typing import Any

from atlas.engine.expressions import evaluate, value_key
from atlas.engine.functions import Function
from atlas.engine.json_text import write_json
from atlas.engine.pauses import add_cancels, drop_pause, find_invocations
from atlas.engine.times import DAY, now
from atlas.engine.transaction import Transaction
from atlas.engine.ulids import new_ulid

DISCOVERY = (
    "step"  # the step id of a call that finds out what comes next, as opposed to running a planned step
)
AT_ONCE, AFTER_WHAT_IS_NEW = 0, -1  # when a queued call is due; else a moment
MOST_STEPS = 1000
LARGEST_STATE = 32 * 2**20


class Status(enum.Enum):
    """Where a run is; all but RUNNING are final."""

    RUNNING = "RUNNING"  # -> COMPLETED, FAILED or CANCELLED
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


def start_runs(tx: Transaction, event_id: str, event: dict[str, Any], *, has_own_id: bool) -> None:
    """Start a run of every function the event triggers, unless it is a repetition."""
    for function in tx.functions.values():
        if function.is_triggered_by(event) and not _is_repetition(tx, function, event, has_own_id=has_own_id):
            start_run(tx, function, event_id, event)


def start_run(tx: Transaction, function: Function, event_id: str, event: dict[str, Any]) -> str:
    """Start a run and queue its first call; returns the id of the run."""
    run_id, moment = new_ulid(), now()
    size, lane = len(write_json(event).encode()), function.lane(event)
    tx.execute(
        "INSERT INTO runs (run_id, function_id, event_id, status, lane, state_size, started_at)"
        " VALUES (?, ?, ?, 'RUNNING', ?, ?, ?)",
        *(run_id, function.function_id, event_id, lane, size, moment),
    )
    add_cancels(tx, run_id, function, event)
    enqueue(tx, run_id, DISCOVERY, due_at=event["ts"] if event["ts"] > moment else AT_ONCE)
    return run_id


def enqueue(
    tx: Transaction, run_id: str, step_id: str, *, is_race: bool = False, due_at: int = AT_ONCE
) -> None:
    """Queue a call of a run that has not ended, unless the same call is queued already."""
    tx.execute(
        "INSERT INTO queue (run_id, step_id, lane, attempt, is_race, due_at)"
        " SELECT run_id, ?, lane, 0, ?, ? FROM runs WHERE run_id = ? AND status = 'RUNNING'"
        " ON CONFLICT (run_id, step_id) DO NOTHING",
        *(step_id, is_race, due_at, run_id),
    )


def memoise(tx: Transaction, run_id: str, step_id: str, name: str, memo: str) -> None:
    """Keep the first memo of a step; a run that has grown past the limits fails."""
    inserted = tx.execute(
        "INSERT INTO memos (run_id, position, step_id, name, memo)"
        " SELECT run_id, memo_count, ?, ?, ? FROM runs WHERE run_id = ? AND status = 'RUNNING'"
        " ON CONFLICT (run_id, step_id) DO NOTHING",
        *(step_id, name, memo, run_id),
    )
    if inserted.rowcount != 1:
        return
    tx.execute(
        "UPDATE runs SET memo_count = memo_count + 1, state_size = state_size + ? WHERE run_id = ?",
        *(len(memo.encode()), run_id),
    )
    count, size = tx.execute("SELECT memo_count, state_size FROM runs WHERE run_id = ?", run_id).fetchone()
    if count > MOST_STEPS:
        fail_run(tx, run_id, "TooManySteps", f"The run has more than {MOST_STEPS} steps.")
    elif size > LARGEST_STATE:
        fail_run(tx, run_id, "StateTooLarge", f"The state of the run is larger than {LARGEST_STATE} bytes.")


def is_running(tx: Transaction, run_id: str) -> bool:
    """Whether the run has not ended."""
    found = tx.execute("SELECT 1 FROM runs WHERE run_id = ? AND status = 'RUNNING'", run_id)
    return found.fetchone() is not None


def has_memo(tx: Transaction, run_id: str, step_id: str) -> bool:
    """Whether the step has ended."""
    found = tx.execute("SELECT 1 FROM memos WHERE run_id = ? AND step_id = ?", run_id, step_id)
    return found.fetchone() is not None


def continue_run(tx: Transaction, run_id: str, *, is_race: bool, due_at: int = AT_ONCE) -> None:
    """Queue a discovery call, in a race at once, else when no other part of the run is pending."""
    if is_race or not has_pending(tx, run_id):
        enqueue(tx, run_id, DISCOVERY, due_at=due_at)


def has_pending(tx: Transaction, run_id: str) -> bool:
    """Whether a planned step, sleep, wait or invocation of the run has yet to end."""
    found = tx.execute(
        "SELECT EXISTS (SELECT 1 FROM queue WHERE run_id = ? AND step_id != 'step')"
        " OR EXISTS (SELECT 1 FROM pauses WHERE run_id = ? AND kind != 'cancel')",
        *(run_id, run_id),
    ).fetchone()
    return bool(found[0])


def fail_run(tx: Transaction, run_id: str, name: str, message: str) -> None:
    """End a run that the engine itself has to fail."""
    error = {"name": name, "message": message, "stack": message}
    end_run(tx, run_id, Status.FAILED, write_json(error))


def end_run(tx: Transaction, run_id: str, status: Status, output: str, *, reason: str | None = None) -> bool:
    """End a run that has not ended yet, drop what it waited for and tell those that wait for its end."""
    ended = tx.execute(
        "UPDATE runs SET status = ?, output = ?, ended_at = ? WHERE run_id = ? AND status = 'RUNNING'",
        *(status.value, output, now(), run_id),
    )
    if ended.rowcount != 1:
        return False
    tx.execute("DELETE FROM queue WHERE run_id = ?", run_id)
    tx.execute("DELETE FROM pauses WHERE run_id = ?", run_id)
    for pause_id, parent_id, step_id, _, name, is_race in find_invocations(tx, run_id):
        drop_pause(tx, pause_id)
        memoise(tx, parent_id, step_id, name, write_json(_outcome_memo(status, output)))
        continue_run(tx, parent_id, is_race=is_race)
    _announce_end(tx, run_id, status, output, reason)
    return True


def _outcome_memo(status: Status, output: str) -> dict[str, Any]:
    if status is Status.COMPLETED:
        return {"data": json.loads(output)}
    if status is Status.CANCELLED:
        return {"error": {"name": "Cancelled", "message": "The invoked function was cancelled.", "stack": ""}}
    return {"error": to_error(json.loads(output))}


def to_error(output: Any) -> dict[str, Any]:
    """The error that a function or step ended with, in the form of a memo."""
    given = output if isinstance(output, dict) else {"message": str(output)}
    name = str(given.get("name") or "Error")
    return {
        "name": name,
        "message": str(given.get("message") or name),
        "stack": str(given.get("stack") or ""),
    }


def _announce_end(tx: Transaction, run_id: str, status: Status, output: str, reason: str | None) -> None:
    # Event and output may be large: they are read only if something listens.
    if not any(tx.is_heard(f"inngest/function.{ending}") for ending in ("failed", "cancelled", "finished")):
        return
    function_id, body = tx.execute(
        "SELECT function_id, body FROM runs JOIN events USING (event_id) WHERE run_id = ?", run_id
    ).fetchone()
    event = json.loads(body)
    data = {
        "_inngest": {"status": status.value.capitalize()},
        "event": event,
        "events": [event],
        "function_id": function_id,
        "run_id": run_id,
    }
    result = json.loads(output)
    if status is Status.FAILED:
        error = to_error(result)
        data |= {"result": result, "error": {"error": reason or error["name"], **error}}
        tx.emit("inngest/function.failed", data)
    elif status is Status.CANCELLED:
        tx.emit("inngest/function.cancelled", data)
    else:
        data |= {"result": result}
    tx.emit("inngest/function.finished", data)


def _is_repetition(tx: Transaction, function: Function, event: dict[str, Any], *, has_own_id: bool) -> bool:
    keys = ["id " + event["id"]] if has_own_id else []
    if function.idempotency:
        value = evaluate(function.idempotency, {"event": event})
        # Without a key there is nothing to tell two events apart by, and a run too many beats a lost one.
        keys += [] if value is None else ["idempotency " + _text_key(value)]
    # Each key is marked, whether or not another one is known already.
    return [_is_first(tx, function.function_id, key) for key in keys].count(False) > 0


def _text_key(value: Any) -> str:
    # Keys are compared as texts, as Inngest's server does: 1 is "1", and true is "true".
    return value_key(value if isinstance(value, str) else value_key(value))


def _is_first(tx: Transaction, function_id: str, key: str) -> bool:
    moment = now()
    marked = tx.execute(
        "INSERT INTO skips (function_id, key, until) VALUES (?, ?, ?)"
        " ON CONFLICT (function_id, key) DO UPDATE SET until = excluded.until WHERE until <= ?",
        *(function_id, key, moment + DAY, moment),
    )
    return marked.rowcount == 1
