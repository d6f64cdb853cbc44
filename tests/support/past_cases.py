"""A store with many calls of the past, each with different arguments, written in large pieces."""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection
from store import open_store

from atlas.cases.tables import assessments, cases, outcomes
from atlas.instants import instant_text
from atlas.ledger import Action, entries
from atlas.models import Ruling
from atlas.traces import Found, How, Origin, Trace

TOOLS = ("read_mail", "send_mail", "send_money", "request_extension", "update_record", "search_web")
BEGAN = datetime(2026, 10, 1, tzinfo=timezone.utc)
PIECE = 5000
AGENTS = 7
SESSION = 350  # calls of all agents, after which each begins another session


def _arguments(number: int) -> dict[str, Any]:
    tool = TOOLS[number % len(TOOLS)]
    if tool == "request_extension":
        return {"days": number % 30, "documents": [f"D-{number}"], "reason": f"a stay in hospital {number}"}
    return {
        "recipient": f"person{number}@example.{'com' if number % 3 else 'org'}",
        "amount": number % 1000,
        "text": f"Number {number}: " + "some words of a usual letter " * 6,
    }


def _trace(number: int) -> Trace:
    places = ("recipient", "amount", "text")
    found = Found(case_id=None, tool_name="read_mail", is_outside=True, how=How.EXACT, passage="write to me")
    origins = tuple(
        Origin(path=path, is_target=path == "recipient", found=(found,) * (number % 2)) for path in places
    )
    return Trace(
        origins=origins, deed="sends", calls=number % SESSION // AGENTS, read_outside=bool(number % 2)
    )


def _rows(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    case_id = f"evt_{number:016x}"
    arguments = json.dumps(_arguments(number))
    sha256 = hashlib.sha256(arguments.encode()).hexdigest()
    tool, agent = TOOLS[number % len(TOOLS)], f"agent{number % AGENTS}"
    opened_at = BEGAN + timedelta(seconds=30 * number)
    ruling = Ruling(
        policy_sha256="0" * 64,
        rules=("a rule",),
        score=number % 101,
        floor=0,
        classification="test",
        rationale="A test.",
    )
    case = {
        "case_id": case_id,
        "principal": agent,
        "tool_name": tool,
        "arguments": arguments,
        "arguments_sha256": sha256,
        "status": "EXECUTED",
        "opened_at": opened_at,
        "session": f"{number // SESSION:032x}",
        "reported_at": opened_at,
        "collected_at": opened_at,
    }
    assessment = {
        "case_id": case_id,
        "round_number": 1,
        "risk_score": number % 101,
        "classification": "test",
        "action": tool,
        "rationale": "A test.",
        "assessor": "policy 000000000000",
        "threshold": 70,
        "arguments_sha256": sha256,
        "assessed_at": opened_at,
        "ruling": ruling.model_dump_json(),
        "trace": _trace(number).model_dump_json(exclude_defaults=True),
    }
    return case, assessment


def _outcome(case: dict[str, Any]) -> dict[str, Any]:
    text = f"The answer to {case['arguments']}. " + "What is told of it takes some lines. " * 20
    result = json.dumps({"content": [{"type": "text", "text": text}]})
    return {"case_id": case["case_id"], "result": result, "finished_at": case["opened_at"]}


def _entries(case: dict[str, Any]) -> list[dict[str, Any]]:
    """That it came, and that its tool answered; without a chain of digests, which no reader here needs."""
    number = int(case["case_id"][4:], 16)
    kinds = ((Action.ADMITTED, case["principal"]), (Action.EXECUTED, "atlas"))
    return [
        {
            "seq": 2 * number + place,
            "at": instant_text(case["opened_at"]),
            "case_id": case["case_id"],
            "action": action.value,
            "actor": actor,
            "detail": "{}",
            "previous_hash": "0" * 64,
            "entry_hash": "0" * 64,
        }
        for place, (action, actor) in enumerate(kinds, start=1)
    ]


async def write_past(directory: Path, calls: int) -> None:
    """Write so many calls, one each half minute from 1 October 2026 on."""
    async with open_store(directory) as store:
        for begin in range(0, calls, PIECE):
            rows = [_rows(number) for number in range(begin, min(calls, begin + PIECE))]

            def write(connection: Connection, rows: Any = rows) -> None:
                connection.execute(cases.insert(), [case for case, _ in rows])
                connection.execute(assessments.insert(), [assessment for _, assessment in rows])
                connection.execute(outcomes.insert(), [_outcome(case) for case, _ in rows])
                connection.execute(entries.insert(), [one for case, _ in rows for one in _entries(case)])

            await store.database.write(write)


def last_instant(calls: int) -> str:
    """When the last of so many calls came."""
    return instant_text(BEGAN + timedelta(seconds=30 * (calls - 1)))
