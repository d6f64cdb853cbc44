"""Stage 4: the approved call, exactly as approved, at most once."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, ToolError
from fastmcp.tools import InputRequiredToolResult
from mcp.types import CallToolResult, InputRequiredResult
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.assess import tool_facts
from atlas.canonical import digest, digest_of_call
from atlas.case_tables import cases
from atlas.cases import (
    CaseStore,
    add_outcome,
    claim_again,
    read_approvals,
    read_case,
    transition,
)
from atlas.client_errors import error_result
from atlas.database import now
from atlas.errors import AnswerLost, ExecutionRefused
from atlas.models import Case, Outcome, Status, ToolCall, Verdict
from atlas.notifications import Notifier
from atlas.settings import Settings
from atlas.upstreams import unknown_tool
from atlas.waiting import WaitingAgents

SHUTDOWN_SECONDS = 1.5
ADMITTED = ("tool_name", "arguments_sha256")

logger = logging.getLogger(__name__)


class Executor:
    """Executes authorized cases; the gate is the transaction in which it claims one."""

    def __init__(
        self,
        *,
        store: CaseStore,
        server: FastMCP,
        notifier: Notifier,
        settings: Settings,
        waiting: WaitingAgents,
        unknown: Callable[[str], Exception] = unknown_tool,
    ) -> None:
        self._store = store
        self._server = server
        self._waiting = waiting
        self._unknown = unknown
        self._notifier = notifier
        self._seconds = settings.atlas_execute_seconds
        self._running: dict[str, asyncio.Task[Case]] = {}
        self._unrecorded: dict[str, Outcome] = {}
        self._repeatable: set[str] = set()  # begun by a process that died, by tools that say it does no harm

    async def execute(self, case_id: str) -> Case:
        """Execute a case if it may be, and return it; a repeated request joins the first."""
        task = self._running.get(case_id)
        if task is None:
            task = asyncio.create_task(self._execute(case_id))
            self._running[case_id] = task
            task.add_done_callback(lambda _: self._running.pop(case_id, None))
        return await asyncio.shield(task)

    async def give_up(self, case_id: str) -> Case:
        """End what was begun and is not running any more, because its run has failed."""
        if case_id in self._running:
            return await self._store.read(case_id)
        return await self._abandon(case_id, "It was begun, and its answer could not be kept.")

    async def recover(self) -> None:
        """Give up, at start, what a dead process had begun and nobody may repeat."""
        begun = cases.c.status == Status.EXECUTING.value
        for case in await self._store.select(begun, cases.c.claimed_by != self._store.process_id):
            if (await tool_facts(self._server, case.call.tool_name)).is_idempotent:
                self._repeatable.add(case.case_id)
            else:
                await self._abandon(case.case_id, "The gateway stopped while the tool was running.")

    async def close(self) -> None:
        """Let running tools end for a moment; what does not is of unknown outcome at the next start."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=SHUTDOWN_SECONDS)

    async def _execute(self, case_id: str) -> Case:
        if case_id not in self._unrecorded:
            case = await self._claim(case_id)
            if case.status is not Status.EXECUTING:
                return case
            try:
                outcome = await self._call_tool(case)
            except AnswerLost as lost:  # never repeated: it may have been done
                return await self._abandon(case_id, str(lost))
            if outcome is None:
                detail = f"The tool did not answer within {self._seconds:g} seconds."
                return await self._abandon(case_id, detail)
            self._unrecorded[case_id] = outcome
        case = await self._record(case_id, self._unrecorded[case_id])
        del self._unrecorded[case_id]
        return case

    async def _claim(self, case_id: str) -> Case:
        """Take a case, in one transaction with all checks; what comes back EXECUTING is ours."""

        def claim(connection: Connection) -> Case:
            case = read_case(connection, case_id)
            try:
                if case.status is Status.EXECUTING and case_id in self._repeatable:
                    check_grounds(case)
                    check_approvals(connection, case)
                    return _take_again(connection, case, self._store.process_id)
                check_authority(case)
                check_approvals(connection, case)
                check_admission(connection, case)
                return _take(connection, case, self._store.process_id)
            except ExecutionRefused as refusal:
                return _refuse(connection, case, str(refusal.fields["reason"]))

        case = await self._store.change(case_id, claim)
        self._tell_if_unknown(case)
        return case

    async def _call_tool(self, case: Case) -> Outcome | None:
        """The tool's answer, an error of its own included; None if it did not answer in time."""
        try:
            # In the context of the agent that waits, so that what the tool sends reaches it.
            called = self._waiting.context_of(case).run(asyncio.create_task, self._tool_result(case.call))
            result = await asyncio.wait_for(called, self._seconds)
        except asyncio.TimeoutError:
            return None
        except Exception as error:
            if isinstance(error.__cause__, AnswerLost):
                raise error.__cause__ from None
            # An error is an answer.
            result = error_result(error)
        dumped = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        # A lone surrogate, which no UTF-8 holds and no client reads, becomes a question mark.
        text = json.dumps(dumped, ensure_ascii=False).encode("utf-8", "replace")
        return Outcome(result=json.loads(text), detail=None, finished_at=now())

    async def _tool_result(self, call: ToolCall) -> CallToolResult | InputRequiredResult:
        try:
            result = await self._server.call_tool(call.tool_name, call.arguments, run_middleware=False)
        except NotFoundError as error:
            raise self._unknown(call.tool_name) from error
        except SystemExit as error:  # which would end the gateway, and not only the tool
            raise ToolError(f"The tool {call.tool_name} tried to end the process.") from error
        if isinstance(result, InputRequiredToolResult):
            return result.input_required
        return _wire_result(result.to_mcp_result())

    async def _record(self, case_id: str, outcome: Outcome) -> Case:
        detail = {"is_error": outcome.is_error, "result_sha256": digest_of_result(outcome)}

        def record(connection: Connection) -> Case:
            case = read_case(connection, case_id)
            case = add_outcome(connection, case, outcome)
            ledger.append(
                connection,
                case_id,
                ledger.Action.EXECUTED,
                actor="gateway",
                detail=detail,
                at=outcome.finished_at,
            )
            return transition(connection, case, Status.EXECUTED, reported_at=now())

        return await self._store.change(case_id, record)

    async def _abandon(self, case_id: str, detail: str) -> Case:
        def abandon(connection: Connection) -> Case:
            case = read_case(connection, case_id)
            return _end_unknown(connection, case, detail) if case.status is Status.EXECUTING else case

        case = await self._store.change(case_id, abandon)
        self._tell_if_unknown(case)
        return case

    def _tell_if_unknown(self, case: Case) -> None:
        if case.status is Status.OUTCOME_UNKNOWN:
            self._notifier.outcome_unknown(case)


def check_authority(case: Case) -> None:
    """Raise ExecutionRefused unless the case stands approved, on grounds that hold."""
    if case.status is not Status.AUTHORIZED:
        raise ExecutionRefused(case_id=case.case_id, reason="it is not authorized")
    check_grounds(case)


def check_grounds(case: Case) -> None:
    """Raise ExecutionRefused unless a person or the score approved the very arguments that are stored."""
    if case.assessment is not None and case.assessment.is_denied:
        raise ExecutionRefused(case_id=case.case_id, reason="the policy denies it")
    if case.decision is not None:
        if case.decision.decision is not Verdict.APPROVED:
            raise ExecutionRefused(case_id=case.case_id, reason="a person rejected it")
        approved = case.decision.arguments_sha256
    elif case.assessment is not None and not case.assessment.needs_person:
        approved = case.assessment.arguments_sha256
    else:
        raise ExecutionRefused(case_id=case.case_id, reason="nobody approved it")
    if not approved == case.call.arguments_sha256 == _digest_of(case.call):
        raise ExecutionRefused(case_id=case.case_id, reason="its arguments are not those that were approved")


def check_approvals(connection: Connection, case: Case) -> None:
    """Raise ExecutionRefused unless as many reviewers approved as the policy asked for."""
    needed = case.assessment.approvals if case.assessment else 1
    if case.decision is None or needed == 1:
        return
    given = read_approvals(connection, case)
    if sum(approval.arguments_sha256 == case.call.arguments_sha256 for approval in given) < needed:
        raise ExecutionRefused(case_id=case.case_id, reason="it has too few approvals")


def check_admission(connection: Connection, case: Case) -> None:
    """Raise ExecutionRefused unless tool, agent and arguments are those the ledger says were admitted."""
    admitted = ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
    stored = (case.call.principal, case.call.tool_name, case.call.arguments_sha256)
    if admitted is None or stored != (admitted[0], *(admitted[1].get(name) for name in ADMITTED)):
        raise ExecutionRefused(case_id=case.case_id, reason="it is not the call that was admitted")


def _take(connection: Connection, case: Case, process_id: str) -> Case:
    _append(connection, case, ledger.Action.EXECUTING, arguments_sha256=case.call.arguments_sha256)
    return transition(connection, case, Status.EXECUTING, claimed_by=process_id)


def _take_again(connection: Connection, case: Case, process_id: str) -> Case:
    arguments_sha256 = case.call.arguments_sha256
    _append(connection, case, ledger.Action.EXECUTING, arguments_sha256=arguments_sha256, repeated=True)
    return claim_again(connection, case, process_id)


def _refuse(connection: Connection, case: Case, reason: str) -> Case:
    if case.status is Status.EXECUTING:
        return _end_unknown(connection, case, "It was begun, and its answer was not kept.")
    if case.status in (Status.EXECUTED, Status.OUTCOME_UNKNOWN, Status.FAILED):
        return case  # a repeated request: the ending is on record
    logger.error("An execution was refused: %s", case.case_id)
    _append(connection, case, ledger.Action.EXECUTION_REFUSED, status=case.status.value, reason=reason)
    if case.status is not Status.AUTHORIZED:
        return case
    outcome = Outcome(result=None, detail=f"Not executed: {reason}.", finished_at=now())
    case = add_outcome(connection, case, outcome)
    return transition(connection, case, Status.FAILED, reported_at=now())


def _end_unknown(connection: Connection, case: Case, detail: str) -> Case:
    case = add_outcome(connection, case, Outcome(result=None, detail=detail, finished_at=now()))
    _append(connection, case, ledger.Action.OUTCOME_UNKNOWN, reason=detail)
    return transition(connection, case, Status.OUTCOME_UNKNOWN, reported_at=now())


def _append(connection: Connection, case: Case, action: ledger.Action, **detail: Any) -> None:
    ledger.append(connection, case.case_id, action, actor="gateway", detail=detail)


def _digest_of(call: ToolCall) -> str:
    return digest_of_call(call.arguments, call.continuation)


def digest_of_result(outcome: Outcome) -> str | None:
    """The SHA-256 of a result, or None where it has no canonical form."""
    try:
        return digest(outcome.result)
    except ValueError:
        return None


def _wire_result(result: Any) -> CallToolResult:
    if isinstance(result, CallToolResult):
        return result
    content, structured = result if isinstance(result, tuple) else (result, None)
    return CallToolResult(content=content, structured_content=structured)
