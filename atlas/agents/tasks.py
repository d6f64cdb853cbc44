"""Calls as tasks (extension `io.modelcontextprotocol/tasks`, SEP-2663), for clients that declare it.

The reference of a case is the id of its task, and the case store is the store of tasks, so they survive what
cases survive. Nothing is ever deleted: a task lives for ever (`ttlMs` is null).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fastmcp.server.context import Context
from fastmcp.server.extensions import MethodBinding, ServerExtension
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER
from mcp.types import CallToolResult, RequestParams
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY
from pydantic import ConfigDict, Field
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.agents.answers import answer, ending_text, progress_text
from atlas.agents.client_errors import error_beside
from atlas.agents.eliciting import form_of, takes_elicitations, text_in
from atlas.agents.give_information import keep_answer
from atlas.agents.held_calls import WaitingAgents
from atlas.agents.receipt import hand_over, own_case
from atlas.cases.endings import end_case
from atlas.cases.store import CaseStore, mark_collected, read_case
from atlas.errors import NoQuestion, RequestInvalid
from atlas.instants import instant_text
from atlas.models import Case, Status
from atlas.outbox import notices

TASKS = "io.modelcontextprotocol/tasks"
VERSIONS = frozenset({"2026-07-28"})
POLL_MILLISECONDS = 2000
QUESTIONS = "questions-"  # before a number, in the key of what a person asks


class TaskParams(RequestParams):
    """What tasks/get and tasks/cancel ask for."""

    model_config = ConfigDict(populate_by_name=True)

    task_id: str = Field(alias="taskId")


class UpdateParams(TaskParams):
    """What tasks/update brings."""

    input_responses: dict[str, Any] = Field(alias="inputResponses", default_factory=dict)


class Tasks(ServerExtension):
    """Serves the agent's own cases as tasks."""

    identifier = TASKS

    def __init__(self, store: CaseStore, waiting: WaitingAgents) -> None:
        self._store = store
        self._waiting = waiting

    def methods(self) -> Sequence[MethodBinding]:
        """The three methods of the extension."""
        return (
            MethodBinding("tasks/get", TaskParams, self._get, VERSIONS),
            MethodBinding("tasks/update", UpdateParams, self._update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, VERSIONS),
        )

    async def _get(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        case = await self._case(context, params)
        await hand_over(self._store, case)
        return detailed_task(case, asks=takes_elicitations(context.session))

    async def _update(self, context: ServerRequestContext[Any, Any], params: UpdateParams) -> dict[str, Any]:
        case = await self._case(context, params)
        for key, said in params.input_responses.items():
            await self._take(case, key, said if isinstance(said, dict) else {})
        return {"resultType": "complete"}  # answers to what no one asks any more are ignored

    async def _take(self, case: Case, key: str, said: dict[str, Any]) -> None:
        """Keep what the agent answers to the questions that stood under a key."""
        number, text = key.removeprefix(QUESTIONS), text_in(said.get("action"), said.get("content"))
        if text is None or not key.startswith(QUESTIONS) or not re.fullmatch(r"[0-9]{1,4}", number):
            return
        try:
            await keep_answer(self._store, case, text, way="task", known=int(number))
        except NoQuestion:
            return  # it was answered before, or decided
        except RequestInvalid as error:
            raise MCPError(code=INVALID_PARAMS, message=str(error)) from error

    async def _cancel(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        case = await self._case(context, params)
        if await withdraw(self._store, case):
            self._waiting.stop(case.case_id)
        return {"resultType": "complete"}  # whether it was in time, tasks/get says

    async def _case(self, context: ServerRequestContext[Any, Any], params: TaskParams) -> Case:
        if self.client_settings(context) is None:
            needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
            message = "This method is for clients that declare the tasks extension."
            raise MCPError(code=MISSING_REQUIRED_CLIENT_CAPABILITY, message=message, data=needed)
        named = context.request.headers.get(MCP_NAME_HEADER) if context.request is not None else None
        if named is not None and named.strip() != params.task_id:
            # A proxy on the way routes by the header (SEP-2243), and would route another task's request.
            raise MCPError(code=HEADER_MISMATCH, message=f"{MCP_NAME_HEADER} names another task")
        case = await own_case(self._store, params.task_id)
        if case is None:
            # Another agent's task is answered like one that never existed.
            raise MCPError(code=INVALID_PARAMS, message=f"Task {params.task_id} not found")
        return case


def takes_tasks(context: Context) -> bool:
    """Whether the client of the present request understands an answer that is a task."""
    request = context.request_context
    if request is None or request.protocol_version not in VERSIONS:
        return False
    return context.client_extension_settings(TASKS) is not None


def task_started(case: Case) -> dict[str, Any]:
    """What a held call answers to such a client; a pydantic model would lose the ttl of null."""
    return task(case) | {"resultType": "task"}


def detailed_task(case: Case, *, asks: bool = False) -> dict[str, Any]:
    """What tasks/get answers: the task, and its result or the protocol's error as soon as there is one.

    While a person asks, and where the client takes elicitations (`asks`), it is what they ask.
    """
    facts = task(case) | {"resultType": "complete"}
    if asks and case.open_questions:
        form = form_of(case).model_dump(mode="json", by_alias=True, exclude_none=True)
        asked = {f"{QUESTIONS}{len(case.questions)}": form}  # its number says which of them the agent read
        return facts | {"status": "input_required", "inputRequests": asked}
    if facts["status"] == "failed":
        return facts | {"error": _error(case)}
    return facts | {"result": _result(case)} if facts["status"] == "completed" else facts


def task(case: Case) -> dict[str, Any]:
    """A case as a task; what was refused completed with an error, an error of the protocol is a failure."""
    if case.status is Status.WITHDRAWN:
        status = "cancelled"
    elif _error(case) is not None:
        status = "failed"
    else:
        status = "completed" if case.status.is_final else "working"
    return {
        "taskId": case.case_id,
        "status": status,
        "statusMessage": ending_text(case) if case.status.is_final else progress_text(case),
        "createdAt": instant_text(case.opened_at),
        "lastUpdatedAt": instant_text(_changed_at(case)),
        "ttlMs": None,
        "pollIntervalMs": POLL_MILLISECONDS,
    }


def _changed_at(case: Case) -> Any:
    moments = (
        case.assessment and case.assessment.assessed_at,
        case.decision and case.decision.decided_at,
        case.finished_at,
        *(one.answered_at or one.asked_at for one in case.questions),
    )
    return max([case.opened_at, *(moment for moment in moments if moment)])


def _error(case: Case) -> dict[str, Any] | None:
    return error_beside(case.outcome.result) if case.outcome is not None else None


def _result(case: Case) -> dict[str, Any]:
    outcome = case.outcome
    is_own = outcome is not None and outcome.result is not None and not outcome.asks_for_input
    if outcome is not None and outcome.result is not None and is_own and case.edit is None:
        return outcome.result
    told = answer(case, as_text=True).to_mcp_result()
    assert isinstance(told, CallToolResult)  # noqa: S101  (as_text asks the agent for nothing)
    return told.model_dump(mode="json", by_alias=True, exclude_none=True)


async def withdraw(
    store: CaseStore, case: Case, *, unless: Callable[[Connection, Case], bool] = lambda *_: False
) -> bool:
    """Take back an agent's own call while no one has decided on it; later this changes nothing.

    Tells whether a tool is at work for it, which has to hear of the stop. `unless` is asked in the
    transaction: where it holds, nothing is changed, and no tool has to hear of it.
    """
    is_kept = False

    def take_back(connection: Connection) -> Case:
        nonlocal is_kept
        found = read_case(connection, case.case_id)
        is_kept = unless(connection, found)
        return found if is_kept or not found.status.is_undecided else _withdrawn(connection, found)

    found = await store.change(case.case_id, take_back)
    return found.status is Status.EXECUTING and not is_kept


def _withdrawn(connection: Connection, case: Case) -> Case:
    if case.status is Status.PENDING_REVIEW:  # people were asked
        notices.put(connection, notices.Kind.WITHDRAWN, case=case)
    actor, detail = case.call.principal, {"arguments_sha256": case.call.arguments_sha256}
    ended = end_case(connection, case, Status.WITHDRAWN, ledger.Action.WITHDRAWN, actor=actor, detail=detail)
    return mark_collected(connection, ended)
