"""What the engine does for each opcode an app answers with; one answer is one transaction."""

import dataclasses
import sqlite3
from collections.abc import Callable
from typing import Any

from atlas.engine.calls import LARGEST_ANSWER, Answer, Call, Completed, Errored
from atlas.engine.errors import ExpressionInvalid, NotJson
from atlas.engine.functions import Function
from atlas.engine.json_text import write_json
from atlas.engine.pauses import add_invocation, add_sleep, add_wait, has_pause
from atlas.engine.runs import (
    DISCOVERY,
    Status,
    continue_run,
    end_run,
    enqueue,
    fail_run,
    has_memo,
    has_pending,
    is_running,
    memoise,
    start_run,
    to_error,
)
from atlas.engine.times import LONGEST_WAIT, now, parse_moment, parse_wait, retry_at
from atlas.engine.transaction import Transaction
from atlas.engine.ulids import new_ulid

LARGEST_OUTPUT = 4 * 2**20  # of a step; that of a function is bounded by its answer alone
_MALFORMED = (
    *(KeyError, TypeError, ValueError, AttributeError, OverflowError, NotJson, ExpressionInvalid),
    *(sqlite3.InterfaceError, sqlite3.ProgrammingError),  # an object where a text belongs
)


@dataclasses.dataclass(frozen=True)
class _Answered:
    tx: Transaction
    call: Call
    function: Function
    is_final: bool

    @property
    def is_last_attempt(self) -> bool:
        return self.is_final or self.call.attempt + 1 >= self.function.max_attempts


def apply_answer(tx: Transaction, call: Call, function: Function, answer: Answer) -> None:
    """Change the run as the answer says; do nothing if the run has ended or the answer came before."""
    queued = tx.execute("SELECT attempt FROM queue WHERE item_id = ?", call.item_id).fetchone()
    if queued is None or queued[0] != call.attempt:
        return
    if isinstance(answer, Completed):
        _complete(tx, call, answer.output)
    elif isinstance(answer, Errored):
        answered = _Answered(tx, call, function, answer.is_final)
        if answered.is_last_attempt:
            end_run(tx, call.run_id, Status.FAILED, answer.error, reason=answer.reason)
        else:
            _retry(tx, call, answer.retry_at)
    else:
        _apply_opcodes(_Answered(tx, call, function, answer.is_final), answer.opcodes)


def put_off(tx: Transaction, call: Call, wait: int) -> None:
    """Have a call that did not reach its app made again after some milliseconds; it is no attempt."""
    tx.execute(
        "UPDATE queue SET due_at = ? WHERE item_id = ? AND attempt = ?",
        *(now() + wait, call.item_id, call.attempt),
    )


def _complete(tx: Transaction, call: Call, output: str) -> None:
    if len(output.encode()) > LARGEST_ANSWER:  # numbers such as 1E9 grow when they are written
        fail_run(tx, call.run_id, "OutputTooLarge", f"The output is larger than {LARGEST_ANSWER} bytes.")
    else:
        end_run(tx, call.run_id, Status.COMPLETED, output)


def _retry(tx: Transaction, call: Call, due_at: int | None) -> None:
    due_at = retry_at(call.attempt) if due_at is None else max(due_at, now())
    tx.execute("UPDATE queue SET attempt = attempt + 1, due_at = ? WHERE item_id = ?", due_at, call.item_id)


def _apply_opcodes(answered: _Answered, opcodes: list[dict[str, Any]]) -> None:
    tx, call = answered.tx, answered.call
    try:
        for opcode in opcodes:
            if not is_running(tx, call.run_id):  # a step before this one was one too many, or too large
                return
            handle = _HANDLERS.get(opcode["op"])
            if handle is None:
                fail_run(tx, call.run_id, "OpcodeUnsupported", f"The engine does not support {opcode['op']}.")
                return
            # In a race another part of the run may have ended this step since this call was given its memos.
            if not has_memo(tx, call.run_id, opcode["id"]) and handle(answered, opcode):
                return
    except _MALFORMED as error:
        fail_run(tx, call.run_id, "StepInvalid", f"A step can't be carried out: {error}")
        return
    _advance(tx, call)


def _advance(tx: Transaction, call: Call) -> None:
    (memo_count,) = tx.execute("SELECT memo_count FROM runs WHERE run_id = ?", call.run_id).fetchone()
    if call.step_id == DISCOVERY and memo_count > call.memo_count:
        # Either this call ran a step, or another part of the run ended one that this call had not been given.
        tx.execute("UPDATE queue SET attempt = 0, due_at = min(due_at, 0) WHERE item_id = ?", call.item_id)
        return
    tx.execute("DELETE FROM queue WHERE item_id = ?", call.item_id)
    if call.step_id != DISCOVERY:
        continue_run(tx, call.run_id, is_race=call.is_race)
    elif not has_pending(tx, call.run_id):
        fail_run(tx, call.run_id, "NoProgress", "The app answered without a new step and without an end.")


def _completed(answered: _Answered, opcode: dict[str, Any]) -> bool:
    _complete(answered.tx, answered.call, write_json(opcode.get("data")))
    return True


def _ran(answered: _Answered, opcode: dict[str, Any]) -> bool:
    data = write_json(opcode.get("data"))
    if len(data.encode()) > LARGEST_OUTPUT:
        message = f"The output of step {_name(opcode)} is larger than {LARGEST_OUTPUT} bytes."
        fail_run(answered.tx, answered.call.run_id, "OutputTooLarge", message)
        return True
    memoise(answered.tx, answered.call.run_id, opcode["id"], _name(opcode), f'{{"data":{data}}}')
    return False


def _raised(answered: _Answered, opcode: dict[str, Any]) -> bool:
    if answered.is_last_attempt:
        return _failed(answered, opcode)
    _retry(answered.tx, answered.call, None)
    return True


def _failed(answered: _Answered, opcode: dict[str, Any]) -> bool:
    memo = write_json({"error": to_error(opcode.get("error"))})
    memoise(answered.tx, answered.call.run_id, opcode["id"], _name(opcode), memo)
    return False


def _planned(answered: _Answered, opcode: dict[str, Any]) -> bool:
    if opcode["id"] == answered.call.step_id:  # asked to run a step, the app says that it is to be run
        fail_run(answered.tx, answered.call.run_id, "NoProgress", f"Step {_name(opcode)} plans itself.")
        return True
    enqueue(answered.tx, answered.call.run_id, opcode["id"], is_race=_is_race(opcode))
    return False


def _slept(answered: _Answered, opcode: dict[str, Any]) -> bool:
    due_at = _wake_at((opcode.get("opts") or {}).get("duration") or opcode["name"])
    run_id, is_race = answered.call.run_id, _is_race(opcode)
    add_sleep(answered.tx, run_id, opcode["id"], _name(opcode), due_at=due_at, is_race=is_race)
    return False


def _wake_at(text: str) -> int:
    try:
        return now() + parse_wait(text)  # TypeScript's SDK says how long, Python's until when
    except ValueError:
        return parse_moment(text)


def _waited(answered: _Answered, opcode: dict[str, Any]) -> bool:
    options = opcode["opts"]
    add_wait(
        answered.tx,
        answered.call.run_id,
        opcode["id"],
        _name(opcode),
        event=options.get("event") or opcode["name"],
        expression=options.get("if") or "",
        due_at=now() + parse_wait(options["timeout"]),
        is_race=_is_race(opcode),
    )
    return False


def _invoked(answered: _Answered, opcode: dict[str, Any]) -> bool:
    tx, call, options = answered.tx, answered.call, opcode["opts"]
    if has_pause(tx, call.run_id, opcode["id"]):
        return False
    function = tx.functions.get(options["function_id"])
    if function is None:
        error = {"name": "FunctionNotFound", "message": f"There is no function {options['function_id']}."}
        return _failed(answered, {**opcode, "error": error})
    due_at = now() + (parse_wait(options["timeout"]) if options.get("timeout") else LONGEST_WAIT)
    child_id = start_run(tx, function, *_invocation_event(tx, call, opcode))
    run_id, is_race = call.run_id, _is_race(opcode)
    add_invocation(tx, run_id, opcode["id"], _name(opcode), child_id=child_id, due_at=due_at, is_race=is_race)
    return False


def _invocation_event(tx: Transaction, call: Call, opcode: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    event_id = new_ulid()
    source = {
        "fn_id": opcode["opts"]["function_id"],
        "source_fn_id": call.function_id,
        "source_run_id": call.run_id,
    }
    data = {**(opcode["opts"]["payload"].get("data") or {}), "_inngest": source}
    event = {"data": data, "id": event_id, "name": "inngest/function.invoked", "ts": now(), "user": {}}
    tx.execute(
        "INSERT INTO events (event_id, name, body, received_at) VALUES (?, ?, ?, ?)",
        *(event_id, event["name"], write_json(event), event["ts"]),
    )
    return event_id, event


def _name(opcode: dict[str, Any]) -> str:
    return str(opcode.get("displayName") or opcode.get("name") or opcode["id"])


def _is_race(opcode: dict[str, Any]) -> bool:
    return (opcode.get("opts") or {}).get("parallelMode") == "race"


# Each returns whether the rest of the answer is void: the run has ended, or the call is repeated.
_HANDLERS: dict[str, Callable[[_Answered, dict[str, Any]], bool]] = {
    "StepRun": _ran,
    "Step": _ran,
    "StepError": _raised,
    "StepFailed": _failed,
    "StepPlanned": _planned,
    "Sleep": _slept,
    "WaitForEvent": _waited,
    "InvokeFunction": _invoked,
    "RunComplete": _completed,  # TypeScript's SDK ends with an opcode, Python's with the status 200
}
