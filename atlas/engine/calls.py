"""Call requests: what an app is asked to run, and what its answer means."""

import asyncio
import dataclasses
import functools
import re
import sqlite3
from typing import Any, cast

import httpx

from atlas.engine.errors import AppUnreachable, NotJson
from atlas.engine.functions import Function
from atlas.engine.json_text import canonicalise, parse_json, write_json
from atlas.engine.keys import EngineKeys
from atlas.engine.runs import DISCOVERY
from atlas.engine.times import parse_retry_after
from atlas.engine.ulids import new_ulid

# Ids of steps stand in URLs, headers and keys of JSON; SDKs send SHA-1 in hexadecimal.
_STEP_ID = re.compile(r"[!#-\[\]-~]{1,200}")
LARGEST_INLINE_STATE = 4 * 2**20
LARGEST_ANSWER = 8 * 2**20
CALL_TIMEOUT = 2 * 3600
_TIMEOUTS = {"connect": 10.0, "read": float(CALL_TIMEOUT), "write": 60.0, "pool": 60.0}


@dataclasses.dataclass(frozen=True)
class Call:
    """A queued call with the state of its run; memo_count tells which memos the app was given."""

    item_id: int
    run_id: str
    step_id: str
    attempt: int
    is_race: bool
    function_id: str
    memo_count: int
    event: str
    step_ids: tuple[str, ...]
    memos: tuple[str, ...]
    use_api: bool
    has_pending: bool


@dataclasses.dataclass(frozen=True)
class Steps:
    """The app ran or planned steps."""

    opcodes: list[dict[str, Any]]
    is_final: bool  # what failed must not be tried again


@dataclasses.dataclass(frozen=True)
class Completed:
    """The function returned."""

    output: str


@dataclasses.dataclass(frozen=True)
class Errored:
    """The function raised, or the call or its answer was lost."""

    error: str
    status: int | None = None  # of the answer, if one came that says that the function raised
    is_final: bool = False  # the answer asked for no retry, or none can help
    is_unreached: bool = False  # no connection could be made: the function did not run
    retry_at: int | None = None

    @property
    def reason(self) -> str | None:
        """Why the run fails, in the words of Inngest's server, or None: then the error's name says it."""
        if self.status is None:
            return None
        return "NonRetriableError" if self.is_final else f"invalid status code: {self.status}"


Answer = Steps | Completed | Errored


def load_call(reader: sqlite3.Connection, item_id: int) -> Call | None:
    """The call of a queue item, or None if it is no longer queued."""
    reader.execute("BEGIN")  # one state of the store for all that is read: the writer goes on meanwhile
    try:
        return _read_call(reader, item_id)
    finally:
        reader.rollback()


def _read_call(reader: sqlite3.Connection, item_id: int) -> Call | None:
    found = reader.execute(
        "SELECT run_id, step_id, attempt, is_race, function_id, memo_count, state_size, body"
        " FROM queue JOIN runs USING (run_id) JOIN events USING (event_id) WHERE item_id = ?",
        (item_id,),
    ).fetchone()
    if found is None:
        return None
    run_id, step_id, attempt, is_race, function_id, _, size, event = found
    use_api = size > LARGEST_INLINE_STATE
    columns = "step_id, ''" if use_api else "step_id, memo"
    memos = reader.execute(
        f"SELECT {columns} FROM memos WHERE run_id = ? ORDER BY position",  # noqa: S608 - one of two constants
        (run_id,),
    ).fetchall()
    return Call(
        item_id=item_id,
        run_id=run_id,
        step_id=step_id,
        attempt=attempt,
        is_race=bool(is_race),
        function_id=function_id,
        memo_count=len(memos),
        event=event,
        step_ids=tuple(step for step, _ in memos),
        memos=() if use_api else tuple(memo for _, memo in memos),
        use_api=use_api,
        has_pending=_has_pending(reader, run_id),
    )


def build_request(call: Call, function: Function, keys: EngineKeys | None) -> httpx.Request:
    """The request that has the app run the next part of the function."""
    url = _call_url(function.url, call.step_id)
    body = _build_body(call, function).encode()
    headers = {
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "Inngest",
        "x-run-id": call.run_id,
        "x-request-id": new_ulid(),
        "x-inngest-job-id": _job_id(call),
        "x-inngest-step-id": call.step_id,
        "x-inngest-req-version": "2",
    }
    if keys is not None:
        body = canonicalise(body.decode())  # sent as it is signed, as Inngest's servers do
        headers["x-inngest-signature"] = keys.sign(body)
    return httpx.Request("POST", url, headers=headers, content=body, extensions={"timeout": _TIMEOUTS})


async def call_app(
    transport: httpx.AsyncBaseTransport, call: Call, function: Function, keys: EngineKeys | None
) -> Answer:
    """The app's answer to a call; no retry mends a call that can't be written or signed."""
    try:
        request = build_request(call, function, keys)
    except (NotJson, ValueError, httpx.InvalidURL) as error:
        return Errored(_error("CallImpossible", str(error)), is_final=True)
    return await send_call(transport, request, keys)


def call_lost(error: Exception) -> Errored:
    """What becomes of a call that the engine itself could not carry out: an attempt that failed."""
    message = f"The engine could not carry out the call: {type(error).__name__}: {error}"
    return Errored(_error("CallFailed", message.encode("utf-8", "replace").decode()))


async def send_call(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, keys: EngineKeys | None
) -> Answer:
    """The app's answer; if none comes, or it can't be trusted, that is an error to retry."""
    try:
        status, headers, body = await asyncio.wait_for(send(transport, request), CALL_TIMEOUT)
    except AnswerTooLarge as error:
        return Errored(_error("AnswerTooLarge", str(error)), is_final=True)
    except AppUnreachable as error:
        return Errored(_error("AppUnreachable", str(error)), is_unreached=True)
    except Exception as error:  # an app in this process can raise anything: the call is lost
        return Errored(_error("CallFailed", f"The app could not be called: {type(error).__name__}: {error}"))
    if keys is not None and not keys.is_signature(headers.get("x-inngest-signature", ""), body):
        return Errored(_error("AnswerUnsigned", f"The app answered {status} without our signature."))
    try:
        return parse_answer(status, headers, body)
    except (NotJson, KeyError, TypeError, ValueError, AttributeError) as error:
        return Errored(_error("AnswerMalformed", f"The app's answer can't be read: {error}"))


class AnswerTooLarge(Exception):
    """The answer of an app exceeds the limit."""


async def send(
    transport: httpx.AsyncBaseTransport, request: httpx.Request
) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and body of an answer of bounded size."""
    response = await transport.handle_async_request(request)
    try:
        body = bytearray()
        # As it came: packed was not asked for, and a few packed bytes could unfold to more than the memory.
        async for chunk in cast("httpx.AsyncByteStream", response.stream):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise AnswerTooLarge(f"The app's answer is larger than {LARGEST_ANSWER} bytes.")
        return response.status_code, response.headers, bytes(body)
    finally:
        await response.aclose()


def parse_answer(status: int, headers: httpx.Headers, body: bytes) -> Answer:
    """What an answer means (https://github.com/inngest/inngest/blob/main/docs/SDK_SPEC.md)."""
    if status == 201:
        status, headers, body = _open_envelope(headers, body)
    is_final = headers.get("x-inngest-no-retry") == "true"
    if status < 300 and "x-inngest-sdk" not in headers:
        return Errored(_error("AnswerForeign", f"Something that is not an SDK answered {status}."))
    if status == 206:
        return Steps(opcodes=_parse_opcodes(body), is_final=is_final)
    if status == 200:
        return Completed(output=write_json(parse_json(body)))
    if headers.get("x-inngest-sdk-handled") != "true":
        message = f"The app answered {status} before its SDK saw the call."
        return Errored(_error("CallFailed", message), status=status)
    retry_after = headers.get("retry-after")
    return Errored(
        error=write_json(parse_json(body)),
        status=status,
        is_final=is_final,
        retry_at=parse_retry_after(retry_after) if retry_after else None,
    )


def _open_envelope(headers: httpx.Headers, body: bytes) -> tuple[int, httpx.Headers, bytes]:
    # A streamed answer is keep-alive spaces, then the answer in an envelope.
    envelope = parse_json(body)
    status, merged = envelope["status"], {**headers, **envelope["headers"]}
    if not isinstance(status, int) or status == 201:
        raise ValueError(f"a streamed answer can't have the status {status}")
    return status, httpx.Headers(merged), envelope["body"].encode()


def _parse_opcodes(body: bytes) -> list[dict[str, Any]]:
    given = parse_json(body)
    opcodes = given if isinstance(given, list) else [given]
    for opcode in opcodes:
        if not all(isinstance(opcode[field], str) and opcode[field] for field in ("op", "id")):
            raise ValueError("an opcode must have an op and an id")
        if not _STEP_ID.fullmatch(opcode["id"]):
            raise ValueError("the id of a step must be 1 to 200 printable ASCII characters without quotes")
    return opcodes


@functools.lru_cache(maxsize=1024)
def _call_url(url: str, step_id: str) -> httpx.URL:
    return httpx.URL(url).copy_set_param("stepId", step_id)


def _build_body(call: Call, function: Function) -> str:
    # Only what SDKs read (Python's server_lib/execution_request.py): it canonicalises all of it in Python.
    # Event and memos are stored as JSON: parsing them only to write them again would cost the most.
    is_planned = call.step_id != DISCOVERY
    context = {
        "attempt": call.attempt,
        "disable_immediate_execution": is_planned or call.has_pending,
        "fn_id": call.function_id,
        "max_attempts": function.max_attempts,
        "run_id": call.run_id,
        "stack": {"current": len(call.step_ids), "stack": list(call.step_ids)},
        "step_id": call.step_id,
        "use_api": call.use_api,
    }
    steps = ",".join(f'"{step_id}":{memo}' for step_id, memo in zip(call.step_ids, call.memos, strict=False))
    return (
        f'{{"ctx":{write_json(context)},"event":{call.event},"events":[{call.event}],"steps":{{{steps}}},'
        f'"use_api":{"true" if call.use_api else "false"}}}'
    )


def _job_id(call: Call) -> str:
    position = call.memo_count if call.step_id == DISCOVERY else 0
    return f"{call.run_id}-{call.step_id[:12]}-{position}"


def _has_pending(reader: sqlite3.Connection, run_id: str) -> bool:
    found = reader.execute(
        "SELECT EXISTS (SELECT 1 FROM queue WHERE run_id = ? AND step_id != 'step')"
        " OR EXISTS (SELECT 1 FROM pauses WHERE run_id = ? AND kind != 'cancel')",
        (run_id, run_id),
    ).fetchone()
    return bool(found[0])


def _error(name: str, message: str) -> str:
    return write_json({"name": name, "message": message, "stack": message})
