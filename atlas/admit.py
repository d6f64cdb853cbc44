"""Stage 1: every tool call, on every transport, becomes a case and an event, and waits for its answer."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import anyio
from fastmcp.exceptions import ToolError, ValidationError
from fastmcp.server.context import Context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import Tool, ToolResult
from mcp.types import CallToolRequestParams, ListToolsRequest
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.agents.answers import GET_OUTCOME, USUAL_WAIT_SECONDS, answer
from atlas.agents.arguments import check_arguments, not_checked
from atlas.agents.eliciting import elicit
from atlas.agents.held_calls import WaitingAgents, has_left
from atlas.agents.keys import current_principal
from atlas.agents.progress import Progress
from atlas.agents.receipt import hand_over, hand_over_stored
from atlas.agents.results import for_version
from atlas.agents.same_call import stored_answer, take_stored
from atlas.agents.session_of_call import session_of
from atlas.agents.stopping import Stop, stop_of
from atlas.agents.tasks import takes_tasks, task_started, withdraw
from atlas.assessors.policy.rules import NEVER_GOVERNED
from atlas.canonical import NotCanonical, digest_of_call, without_a_form
from atlas.cases.definitions import LONGEST_DEFINITION
from atlas.cases.limits import Limits
from atlas.cases.opening import open_case, unfinished_case
from atlas.cases.store import CaseStore, hold_at
from atlas.cases.watch import Watch, is_held, is_settled
from atlas.database.failures import CommitUnknown
from atlas.database.processes import lives
from atlas.grounds.present import Present, as_it_is
from atlas.models import UPSTREAM_META, Case, Status, ToolCall
from atlas.settings import Settings
from atlas.stop.words import refusal_of
from atlas.upstreams import unknown_tool

INTENT, USER_REQUEST = "io.atlas/intent", "io.atlas/user_request"  # in `_meta` of a call
LONGEST_CLAIM = 4000  # characters
CONTINUATION = ("inputResponses", "requestState")  # MCP 2026-07-28; the state as the tool wrote it, unsealed

logger = logging.getLogger(__name__)


class Checked(NamedTuple):
    """A call with valid arguments, and what its tool says of itself."""

    call: ToolCall
    present: Present

    @property
    def is_read_only(self) -> bool:
        """Whether the tool says that it only reads."""
        hints = self.present.tool.annotations if self.present.tool else None
        return hints is not None and hints.read_only_hint is True

    @property
    def server(self) -> str | None:
        """The server behind the gateway whose tool it is."""
        return ((self.present.tool.meta if self.present.tool else None) or {}).get(UPSTREAM_META)


class Admission(Middleware):
    """The gate on the root server. Only the gateway's own two tools pass without a case."""

    def __init__(
        self,
        *,
        store: CaseStore,
        announce: Callable[[Case], None],
        settings: Settings,
        waiting: WaitingAgents,
        unknown: Callable[[str], Exception] = unknown_tool,
    ) -> None:
        self._store = store
        self._announce = announce
        self._waiting = waiting
        self._unknown = unknown
        self._limits = Limits(settings)
        self._trusts_client = settings.atlas_trust_user_request
        self._grace_seconds = settings.atlas_grace_seconds
        self._review_grace_seconds = settings.atlas_review_grace_seconds

    async def on_list_tools(
        self,
        context: MiddlewareContext[ListToolsRequest],
        call_next: CallNext[ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        """List the tools without output schemas: a pending notice fits none, and clients would raise."""
        return [tool.model_copy(update={"output_schema": None}) for tool in await call_next(context)]

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Hold the call, and answer with its result or with its reference."""
        assert context.fastmcp_context is not None  # noqa: S101  (FastMCP sets it for every tools/call)
        if context.message.name in NEVER_GOVERNED:
            await self._checked_tool(context.message, context.fastmcp_context)
            return await call_next(context)
        checked = await self._checked_call(context.message, context.fastmcp_context)
        with anyio.CancelScope(shield=True):  # a stop that comes meanwhile finds the case
            case, is_new = await self._open_case(checked)
        if case.status.is_final:  # the same call ended before, and its agent never got the ending
            await hand_over_stored(self._store, case, context.fastmcp_context)
            return for_version(stored_answer(case), version_of(context.fastmcp_context))
        is_task = takes_tasks(context.fastmcp_context)
        review_seconds = 0 if is_task else self._review_grace_seconds
        with self._store.watch(case) as watch, self._waiting.hold(case, checked.present if is_new else None):
            if is_new:
                self._announce(case)
            progress = Progress(context.fastmcp_context)
            try:
                case = await self._held(
                    watch, progress, context.fastmcp_context, review_seconds=review_seconds
                )
            except asyncio.CancelledError:
                await self._stop(context.fastmcp_context, case, is_new=is_new)
                raise
        if not await has_left(context.fastmcp_context):
            await hand_over(self._store, case, is_call=True, is_read_only=checked.is_read_only)
        if not case.status.is_final:
            self._waiting.note_told(case)
        if is_task and not case.status.is_final:
            # FastMCP passes anything but a ToolResult on as it is, and calls it the result of an extension.
            return cast(ToolResult, task_started(case))
        return for_version(answer(case), version_of(context.fastmcp_context))

    async def _stop(self, context: Context, case: Case, *, is_new: bool) -> None:
        """Take the call back if its agent stopped it and no one has decided; a server at work is told.

        A closed connection can be a broken one: it takes nothing back of which the agent has a reference.
        """
        with anyio.CancelScope(shield=True):
            stop = await stop_of(context)
            is_known = not is_new or self._waiting.is_told(case)
            if stop is None or (stop is Stop.CLOSED and is_known) or self._waiting.is_shared(case):
                return
            try:
                is_at_work = await withdraw(self._store, case, unless=self._is_waited_for_elsewhere)
            except SQLAlchemyError:
                logger.exception("A call was stopped, and could not be taken back: %s", case.case_id)
                return  # it waits, and a person decides
            if is_at_work:
                self._waiting.stop(case.case_id)

    def _is_waited_for_elsewhere(self, connection: Connection, case: Case) -> bool:
        """Whether the same call came later at another gateway: it is the one that counts."""
        return case.held_by != self._store.process_id and lives(connection, case.held_by)

    async def _held(
        self, watch: Watch, progress: Progress, context: Context, *, review_seconds: float
    ) -> Case:
        """The case when the agent has to be answered: ended, asked by a person, or time is up.

        A client that takes elicitations is asked in its call, which is then held on.
        """
        case = await watch.until(is_settled, seconds=self._grace_seconds, tell=progress.tell)
        now = asyncio.get_running_loop().time
        end, asked = now() + review_seconds, 0
        while case.status is Status.PENDING_REVIEW and now() < end:
            if not is_held(case):
                case = await watch.until(is_held, seconds=end - now(), tell=progress.tell)
            if len(case.questions) == asked or not case.open_questions:
                break
            asked = len(case.questions)
            case = await elicit(context, self._store, watch, seconds=end - now())
        return case

    async def _checked_tool(self, message: CallToolRequestParams, context: Context) -> Tool:
        tool = await context.fastmcp.get_tool(message.name)
        if tool is None:
            # Raised here and not by call_next, which would run a tool that appears in the meantime.
            raise self._unknown(message.name)
        await check_arguments(tool, message.arguments or {})
        return tool

    async def _checked_call(self, message: CallToolRequestParams, context: Context) -> Checked:
        name, arguments = message.name, message.arguments or {}
        tool = await self._checked_tool(message, context)
        present = present_to_judge(tool)
        continuation = continuation_of(context)
        principal = current_principal()
        try:
            call = ToolCall(
                principal=principal,
                tool_name=name,
                arguments=arguments,
                arguments_sha256=digest_of_call(arguments, continuation),
                intent=claim(context, INTENT),
                user_request=claim(context, USER_REQUEST),
                continuation=continuation,
                session=session_of(context, principal=principal, trusts_client=self._trusts_client),
            )
        except NotCanonical as error:
            raise ValidationError(_without_a_form(arguments, continuation)) from error
        return Checked(call, present)

    async def _open_case(self, checked: Checked) -> tuple[Case, bool]:
        ended: list[str] = []  # the case of the same call that was found

        def find_or_open(connection: Connection) -> tuple[Case, bool] | str:
            # A call that only reads has to read again what is there now.
            stored = None if checked.is_read_only else take_stored(connection, checked.call)
            if stored is not None:
                ended[:] = [stored.case_id]
                return stored, False
            unfinished = unfinished_case(connection, checked.call)
            if unfinished is not None:
                return hold_at(connection, unfinished, self._store.process_id), False
            # What opens no case is not counted: a call that may run already is never told "nothing was done".
            stopped = refusal_of(connection, checked.call, server=checked.server)
            if stopped is not None:
                return stopped
            too_much = self._limits.meet(connection, checked.call)
            if too_much is not None:
                return str(too_much)
            held_by = self._store.process_id
            case = open_case(connection, checked.call, checked.present.definition, held_by=held_by)
            note_admission(connection, case, not_checked=not_checked(checked.present.tool))
            return case, True

        try:
            opened = await self._store.database.write(find_or_open)
        except CommitUnknown as error:
            logger.exception("It is not known whether a call was recorded")
            raise ToolError(_not_known(*ended, is_read_only=checked.is_read_only)) from error
        except SQLAlchemyError as error:
            logger.exception("A call was refused because it cannot be recorded")
            raise ToolError(
                "This call was refused: the gateway cannot record it. Nothing was done."
            ) from error
        if isinstance(opened, str):
            raise ToolError(opened)
        return opened


def _not_known(ended: str | None = None, *, is_read_only: bool) -> str:
    """What an agent is told of a call that may be on record, or may not; `ended` is the same call before.

    That one must not be made again: its ending may count as handed over. What only reads reads again.
    """
    said = "It is not known whether the gateway recorded this call: its store did not answer."
    if ended is not None:
        wait = f'{GET_OUTCOME}(ref="{ended}", wait_seconds={USUAL_WAIT_SECONDS})'
        return f"{said} The same call has ended before (Ref: {ended}). For its outcome call {wait}."
    again = "Make the same call again, with the same arguments"
    if is_read_only:
        return f"{said} It only reads. {again}."
    known = "if it was recorded, that brings its reference or its result, and it is not done twice"
    return f"{said} It may still be executed. {again}: {known}."


def _without_a_form(arguments: dict[str, Any], continuation: dict[str, Any] | None) -> str:
    """Why a call is refused whose very arguments could not be approved; it never goes out altered."""
    what, _, advice = without_a_form(arguments | (continuation or {})).partition(". ")
    said = f"These arguments have no canonical form (RFC 8785): {what.rstrip('.')}. Nothing was done."
    return f"{said} {advice}" if advice else said


def note_admission(connection: Connection, case: Case, *, not_checked: tuple[str, ...] = ()) -> None:
    """Put into the ledger that a case was opened, for which call, and what of its schema was not checked."""
    call = case.call
    detail: dict[str, Any] = {
        "tool_name": call.tool_name,
        "arguments_sha256": call.arguments_sha256,
        "definition_sha256": case.definition_sha256,
    }
    if call.claims:
        detail["agent_claims"] = call.claims  # what it says, which can be false
    if not_checked:
        detail["not_checked"] = list(not_checked)
    if case.waiting_before:
        detail["waiting_before"] = list(case.waiting_before)
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.ADMITTED,
        actor=call.principal,
        detail=detail,
        at=case.opened_at,
    )


def continuation_of(context: Context) -> dict[str, Any] | None:
    """What the agent adds to its call because the tool asked for it (`inputResponses`, `requestState`)."""
    request = context.request_context
    params = (request._srctx.params if request else None) or {}
    said = {name: params[name] for name in CONTINUATION if params.get(name) is not None}
    return said or None


def present_to_judge(tool: Tool) -> Present:
    """A tool whose definition is short enough to be kept and shown. Raises ToolError."""
    present = as_it_is(tool)
    if present.definition is not None and present.definition.is_too_long:
        raise ToolError(
            f"This call was refused: the definition of {tool.name} is longer than "
            f"{LONGEST_DEFINITION // 1024} KB. Nothing was done."
        )
    return present


def version_of(context: Context) -> str | None:
    """The version of the protocol that the agent of the present request speaks; None within the process."""
    return context.request_context.protocol_version if context.request_context else None


def claim(context: Context, name: str) -> str | None:
    """What the agent says of its call in `_meta`, if it is a text; of a long text only the beginning."""
    request = context.request_context  # FastMCP hands middleware a message without what clients put there
    said = (request.meta or {}).get(name) if request else None
    # A lone surrogate, which no file can hold, becomes a question mark.
    return said[:LONGEST_CLAIM].encode("utf-8", "replace").decode() if isinstance(said, str) else None
