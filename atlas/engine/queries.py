"""The status API in GraphQL: that part of the schema of Inngest's server with which runs are looked up."""

import functools
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from atlas.engine.errors import EventRefused, NotJson
from atlas.engine.json_text import parse_json, write_json
from atlas.engine.runs import to_error
from atlas.engine.served import Served, is_authorised, read_body
from atlas.engine.times import to_iso

_SCHEMA = '''
"""A ULID."""
scalar ULID
"""A time in ISO 8601."""
scalar Time
"""A JSON text."""
scalar Bytes

type Query {
  event(query: EventQuery!): Event
  run(runID: String!): FunctionRunV2
  runTrigger(runID: String!): RunTraceTrigger
  runTraceSpanOutputByID(outputID: String!): RunTraceSpanOutput
}

input EventQuery { workspaceId: ID! = "local", eventId: ID! }

type Event {
  id: ULID!, externalID: String, name: String, createdAt: Time, raw: String, totalRuns: Int
  functionRuns: [FunctionRun!]
}

enum FunctionRunStatus { COMPLETED, FAILED, CANCELLED, RUNNING, QUEUED }

type FunctionRun {
  id: ID!, functionID: String!, eventID: ID!, status: FunctionRunStatus
  startedAt: Time, finishedAt: Time, output: String
}

type FunctionRunV2 {
  id: ULID!, functionID: String!, status: FunctionRunStatus!, eventName: String, triggerIDs: [ULID!]!
  queuedAt: Time!, startedAt: Time, endedAt: Time, output: Bytes, trace: RunTraceSpan
}

enum RunTraceSpanStatus { COMPLETED, FAILED, CANCELLED, RUNNING, WAITING }
enum StepOp { INVOKE, SLEEP, WAIT_FOR_EVENT }

type RunTraceSpan {
  runID: ULID!, name: String!, status: RunTraceSpanStatus!, isRoot: Boolean!
  stepID: String, stepOp: StepOp, outputID: String, startedAt: Time, endedAt: Time
  childrenSpans: [RunTraceSpan!]!
}

type RunTraceSpanOutput { data: Bytes, error: StepError }
type StepError { message: String!, name: String, stack: String }

type RunTraceTrigger {
  eventName: String, IDs: [ULID!]!, payloads: [Bytes!]!, timestamp: Time!, isBatch: Boolean!
}
'''
_LARGEST_QUERY = 100_000  # bytes
_MOST_TOKENS = 2000
_LARGEST_ANSWER = 16 * 2**20  # characters: by aliases a short query could ask for the same text 600 times
_TOO_MUCH = f"The query asks for more than {_LARGEST_ANSWER} characters of text at once."
_STEP_OPS = {"sleep": "SLEEP", "wait": "WAIT_FOR_EVENT", "invoke": "INVOKE"}
_RUN = (
    "SELECT run_id, function_id, event_id, status, output, started_at, ended_at, name, body"
    " FROM runs JOIN events USING (event_id)"
)


def query_routes(engine: Served) -> list[Route]:
    """The route of the GraphQL API."""

    async def answer(request: Request) -> Response:
        if not is_authorised(engine, request):
            return JSONResponse({"error": "Authentication failed"}, status_code=401)
        try:
            body = await read_body(request, most=_LARGEST_QUERY)
        except EventRefused as error:
            return _refuse(str(error))
        return _answer(body, engine.store.reader)

    return [Route("/v0/gql", answer, methods=["POST"])]


def _answer(body: bytes, reader: sqlite3.Connection) -> Response:
    import graphql  # 16 MB and 0.2 s, which only those who ask pay for

    try:
        asked = parse_json(body)
        document = graphql.parse(asked["query"], max_tokens=_MOST_TOKENS)
        variables, operation = dict(asked.get("variables") or {}), asked.get("operationName")
        if operation is not None and not isinstance(operation, str):
            raise ValueError("operationName is not a text")
    except (NotJson, KeyError, TypeError, ValueError, AttributeError, graphql.GraphQLError) as error:
        return _refuse(str(error))
    if mistakes := graphql.validate(_schema(), document):
        return _refuse(*[mistake.message for mistake in mistakes])
    result = graphql.execute_sync(
        _schema(),
        document,
        _Root(reader),
        variable_values=variables,
        operation_name=operation,
    )
    formatted = result.formatted
    return JSONResponse(formatted) if _text_size(formatted) <= _LARGEST_ANSWER else _refuse(_TOO_MUCH)


def _text_size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_text_size, value.values()))
    if isinstance(value, list):
        return sum(map(_text_size, value))
    return len(value) if isinstance(value, str) else 0


def _refuse(*messages: str) -> Response:
    return JSONResponse({"errors": [{"message": message} for message in messages]}, status_code=422)


@functools.cache
def _schema() -> Any:
    import graphql

    return graphql.build_schema(_SCHEMA)


class _Root:
    """What the fields of Query are read from; the names are those of Inngest's schema."""

    def __init__(self, reader: sqlite3.Connection) -> None:
        self._reader = reader
        self._left = _LARGEST_ANSWER

    def event(self, info: object, *, query: dict[str, str]) -> dict[str, Any] | None:
        rows = self._rows("SELECT name, body, received_at FROM events WHERE event_id = ?", query["eventId"])
        for name, body, received_at in rows:
            runs = self._rows(f"{_RUN} WHERE event_id = ? ORDER BY run_id", query["eventId"])
            return {
                "id": query["eventId"],
                "externalID": json.loads(body)["id"],
                "name": name,
                "createdAt": to_iso(received_at),
                "raw": body,
                "totalRuns": len(runs),
                "functionRuns": [_describe_run(row) for row in runs],
            }
        return None

    def run(self, info: object, *, runID: str) -> dict[str, Any] | None:
        rows = self._rows(f"{_RUN} WHERE run_id = ?", runID)
        return _describe_run(rows[0]) | {"trace": lambda info: self._trace(rows[0])} if rows else None

    def runTrigger(self, info: object, *, runID: str) -> dict[str, Any] | None:
        for _, _, event_id, _, _, _, _, name, body in self._rows(f"{_RUN} WHERE run_id = ?", runID):
            at = to_iso(json.loads(body)["ts"])
            return {
                "eventName": name,
                "IDs": [event_id],
                "payloads": [body],
                "timestamp": at,
                "isBatch": False,
            }
        return None

    def runTraceSpanOutputByID(self, info: object, *, outputID: str) -> dict[str, Any] | None:
        run_id, _, step_id = outputID.partition("/")
        if not step_id:
            found = self._rows("SELECT status, output FROM runs WHERE run_id = ? AND output NOT NULL", run_id)
            return next((_describe_output(status, output) for status, output in found), None)
        found = self._rows("SELECT memo FROM memos WHERE run_id = ? AND step_id = ?", run_id, step_id)
        return next((_describe_memo(json.loads(memo)) for (memo,) in found), None)

    def _trace(self, row: tuple[Any, ...]) -> dict[str, Any]:
        run_id, function_id, _, status, output, started_at, ended_at, *_ = row
        return {
            "runID": run_id,
            "name": function_id,
            "status": status,
            "isRoot": True,
            "outputID": run_id if output is not None else None,
            "startedAt": to_iso(started_at),
            "endedAt": None if ended_at is None else to_iso(ended_at),
            "childrenSpans": [*self._ended_steps(run_id), *self._waiting_steps(run_id)],
        }

    def _ended_steps(self, run_id: str) -> Iterator[dict[str, Any]]:
        memos = self._rows(
            "SELECT step_id, name, substr(memo, 1, 9) FROM memos WHERE run_id = ? ORDER BY position", run_id
        )
        for step_id, name, begin in memos:
            status = "FAILED" if begin == '{"error":' else "COMPLETED"
            yield _describe_step(run_id, step_id, name, status) | {"outputID": f"{run_id}/{step_id}"}

    def _waiting_steps(self, run_id: str) -> Iterator[dict[str, Any]]:
        pauses = self._rows(
            "SELECT step_id, step_name, kind FROM pauses WHERE run_id = ? AND kind != 'cancel'"
            " ORDER BY pause_id",
            run_id,
        )
        for step_id, name, kind in pauses:
            yield _describe_step(run_id, step_id, name, "WAITING") | {"stepOp": _STEP_OPS[kind]}

    def _rows(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        if self._left < 0:
            raise ValueError(_TOO_MUCH)
        rows = self._reader.execute(statement, values).fetchall()
        self._left -= sum(len(value) for row in rows for value in row if isinstance(value, str))
        return rows


def _describe_run(row: tuple[Any, ...]) -> dict[str, Any]:
    run_id, function_id, event_id, status, output, started_at, ended_at, event_name, _ = row
    ended = None if ended_at is None else to_iso(ended_at)
    return {
        "id": run_id,
        "functionID": function_id,
        "eventID": event_id,
        "eventName": event_name,
        "triggerIDs": [event_id],
        "status": status,
        "queuedAt": to_iso(started_at),
        "startedAt": to_iso(started_at),
        "finishedAt": ended,
        "endedAt": ended,
        "output": output,
    }


def _describe_step(run_id: str, step_id: str, name: str, status: str) -> dict[str, Any]:
    return {
        "runID": run_id,
        "name": name,
        "status": status,
        "isRoot": False,
        "stepID": step_id,
        "childrenSpans": [],
    }


def _describe_output(status: str, output: str) -> dict[str, Any]:
    if status == "FAILED":
        return {"data": None, "error": to_error(json.loads(output))}
    return {"data": output, "error": None}


def _describe_memo(memo: Any) -> dict[str, Any]:
    if _is_error(memo):
        return {"data": None, "error": memo["error"]}
    is_wrapped = isinstance(memo, dict) and memo.keys() == {"data"}
    return {"data": write_json(memo["data"] if is_wrapped else memo), "error": None}


def _is_error(memo: Any) -> bool:
    return isinstance(memo, dict) and memo.keys() == {"error"}
