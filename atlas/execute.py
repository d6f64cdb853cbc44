"""Stage 4: the approved call, exactly as approved, at most once.

If its tool or the policy has changed since it was judged, it goes back to a person.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from fastmcp import FastMCP
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from atlas import ledger
from atlas.agents.calling import ToolCaller
from atlas.agents.held_calls import WaitingAgents
from atlas.agents.holders import Holders
from atlas.background import in_background
from atlas.cases.begun import abandon, give_up_silent, is_elsewhere, left_by_the_dead
from atlas.cases.claims import refuse, take
from atlas.cases.endings import end_case, end_uncalled
from atlas.cases.outcomes import digest_of_result
from atlas.cases.store import CaseStore, hold, read_case
from atlas.database.known_policy import known_policy
from atlas.database.statements import is_passing
from atlas.errors import AnswerLost, ExecutionRefused, NotCalled, ProcessGivenUp
from atlas.grounds.authority import check_admission, check_approvals, check_authority, check_grounds
from atlas.grounds.present import tool_facts
from atlas.grounds.reopening import is_as_judged, send_back, what_changed
from atlas.models import Assessment, Case, Outcome, Status
from atlas.plans.using import why_plan_over
from atlas.reviews.undo import seconds_to_begin
from atlas.settings import Settings
from atlas.stop.covering import stop_of
from atlas.upstreams import unknown_tool

AGAIN_SECONDS = 1.0
LOOK_SECONDS = 2.0  # between two looks for what dead processes have left

TOO_LATE = "The tool of %s answered after this gateway was given up. The case is not changed by the answer."

logger = logging.getLogger(__name__)


class Judge(Protocol):
    """What says whether a call still stands as it was judged."""

    @property
    def policy_sha256(self) -> str:
        """The digest of the policy in force."""

    async def definition_sha256(self, case: Case) -> str | None:
        """The digest of the definition of the case's tool as it is now; None if there is no such tool."""

    async def rule(self, case: Case) -> Assessment:
        """What the policy in force says of a call, with its tool as it is now."""


class Execution:
    """Executes authorized cases; the gate is the transaction in which it claims one."""

    def __init__(
        self,
        *,
        store: CaseStore,
        server: FastMCP,
        judge: Judge,
        tell: Callable[[Case], None],
        settings: Settings,
        waiting: WaitingAgents,
        unknown: Callable[[str], Exception] = unknown_tool,
    ) -> None:
        self._store = store
        self._server = server
        self._judge = judge
        self._waiting = waiting
        self._tell = tell  # the reviewers, of what waits for them or is of unknown outcome
        self._review_timeout = settings.atlas_review_timeout
        seconds = settings.atlas_execute_seconds
        self._tool = ToolCaller(server, waiting, store.database, seconds=seconds, unknown=unknown)
        self._running: dict[str, asyncio.Task[Case]] = {}
        self._stop_seconds = settings.atlas_stop_timeout.total_seconds()
        self._unrecorded: dict[str, Outcome] = {}
        self._holders = Holders(store, waiting, execute=self.execute, talks=self._talks)
        self._repeatable: set[str] = set()  # begun by a process that died, by tools that say it does no harm

    async def execute(self, case_id: str) -> Case:
        """Execute a case if it may be, and return it; a repeated request joins the first."""
        if case_id not in self._running:
            await self._leave_to_next(case_id)
        task = self._running.get(case_id)
        if task is None:
            task = asyncio.create_task(self._execute(case_id))
            self._running[case_id] = task
            task.add_done_callback(lambda _: self._running.pop(case_id, None))
        return await asyncio.shield(task)

    async def _leave_to_next(self, case_id: str) -> None:
        """Where a tool would have no time at a stop: wait for the end, after which the run goes on."""
        stop = self._store.draining
        if stop.is_over or (stop.is_closed and not self._waiting.is_held(case_id)):
            await asyncio.Event().wait()

    async def give_up(self, case_id: str) -> Case:
        """End what was begun and is not running any more, because its run has failed."""
        if case_id in self._running:
            return await self._store.read(case_id)
        return await self._abandon(case_id, "It was begun, and its answer could not be kept.")

    @asynccontextmanager
    async def recovering(self) -> AsyncIterator[None]:
        """Give up what dead processes had begun: at the start, and as long as what is inside runs."""
        await self.recover()
        async with in_background(self._look_after_others):
            yield

    async def _look_after_others(self) -> None:
        while self._store.database.lease.is_shared:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.recover()
            except SQLAlchemyError as error:
                logger.warning("What other gateways left cannot be taken over now: %s", type(error).__name__)

    async def recover(self) -> None:
        """Give up what dead processes had begun and no one may repeat; each is given up once."""
        await give_up_silent(self._store)
        for case in await left_by_the_dead(self._store):
            if not await self._is_repeatable(case):
                await self._abandon(case.case_id, "The gateway stopped while the tool was running.")

    async def _is_repeatable(self, case: Case) -> bool:
        """Whether a call that another process had begun may be made again: its tool says so, and is ours."""
        facts = await tool_facts(self._server, case.call.tool_name)
        if facts.is_idempotent and facts.upstream is None:
            self._repeatable.add(case.case_id)
        return case.case_id in self._repeatable

    async def _talks(self, case: Case) -> bool:
        """Whether the tool may talk to its agent while it runs: those that are built in do not."""
        return (await tool_facts(self._server, case.call.tool_name)).upstream is not None

    @property
    def is_busy(self) -> bool:
        """Whether a call is being executed here."""
        return bool(self._running)

    async def close(self) -> None:
        """Let running tools end if they had no time for it; what does not is of unknown outcome."""
        if self._running and not self._store.draining.is_over:
            await asyncio.wait(self._running.values(), timeout=self._stop_seconds)

    async def _execute(self, case_id: str) -> Case:
        if case_id not in self._unrecorded:
            await self._holders.hand_over(case_id)
            case = await self._claim_when_free(case_id)
            if case.status is not Status.EXECUTING or case.stop is not None:
                return case
            try:
                outcome = await self._tool.call(case)
            except NotCalled as refusal:
                return await self._keep(case_id, partial(self._end_uncalled, case_id, str(refusal)))
            except AnswerLost as lost:  # never repeated: it may have been done
                return await self._keep(case_id, partial(self._abandon, case_id, str(lost)))
            if outcome is None:
                detail = f"The tool did not answer within {self._tool.seconds:g} seconds."
                return await self._keep(case_id, partial(self._abandon, case_id, detail))
            self._unrecorded[case_id] = outcome
        try:
            case = await self._keep(case_id, partial(self._record, case_id, self._unrecorded[case_id]))
        except DBAPIError as error:
            if isinstance(error.orig, ProcessGivenUp):
                logger.error(TOO_LATE, case_id)
            raise
        del self._unrecorded[case_id]
        return case

    async def _keep(self, case_id: str, record: Callable[[], Awaitable[Case]]) -> Case:
        # What a tool did is done, and its run may fail before a full disk has room or a locked file is free.
        while True:
            try:
                return await record()
            except DBAPIError as error:
                if not is_passing(error.orig):
                    raise
                logger.error("The outcome of %s cannot be kept yet: %s", case_id, error.orig)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _claim_when_free(self, case_id: str) -> Case:
        """Take a case; while another process executes it this waits for its end, or for that process's."""
        while True:
            case = await self._claim(case_id)
            is_of_other = case.claimed_by != self._store.process_id and case.stop is None
            if case.status is not Status.EXECUTING or not is_of_other:
                return case
            with self._store.watch(case) as watch:
                has_ended = partial(_is_past, Status.EXECUTING)
                await watch.until(has_ended, seconds=LOOK_SECONDS)

    async def _claim(self, case_id: str) -> Case:
        """Take a case, in one transaction with all checks; what comes back EXECUTING is ours.

        Under a stop it comes back as it stands, with the stop; and so it does before the time of its begin.
        """
        before = await self._store.read_call(case_id)
        if before.status is Status.EXECUTING:
            await self._is_repeatable(before)
        present, ruled = await self._judge.definition_sha256(before), None

        def claim(connection: Connection) -> Case:
            case = read_case(connection, case_id)
            if is_elsewhere(connection, case, self._store.process_id):
                return case
            try:
                is_repeated = self._check(connection, case)
                if (stop := stop_of(connection, case)) is not None:
                    return hold(connection, case, stop)
                if seconds_to_begin(case) and not is_repeated:  # it can still be taken back
                    return case
                if ruled is not None:
                    return self._send_back(connection, case, ruled)
                is_over = not is_repeated and why_plan_over(connection, case) is not None
                if not is_over and is_as_judged(case, present, self._policy_sha256(connection)):
                    return take(connection, case, self._store.process_id, is_repeated=is_repeated)
                if is_repeated:  # what comes back EXECUTING would be run
                    raise ExecutionRefused(case_id=case_id, reason="its tool or the policy has changed")
                return case
            except ExecutionRefused as refusal:
                return refuse(connection, case, str(refusal.fields["reason"]))

        case = await self._store.change(case_id, claim)
        # Until the policy that is asked here is still in force there.
        while case.status is Status.AUTHORIZED and case.stop is None and not seconds_to_begin(case):
            ruled = await self._judge.rule(case)
            case = await self._store.change(case_id, claim)
        if case.status is Status.PENDING_REVIEW and case.round_number > before.round_number:
            self._tell(case)
        self._tell_if_unknown(case)
        return case

    def _check(self, connection: Connection, case: Case) -> bool:
        """Raise ExecutionRefused unless the case may run, and say whether it was begun before."""
        is_repeated = case.status is Status.EXECUTING and case.case_id in self._repeatable
        if not is_repeated:
            check_authority(case)
        check_grounds(case)
        check_approvals(connection, case)
        check_admission(connection, case)
        return is_repeated

    def _policy_sha256(self, connection: Connection) -> str:
        """The digest of the policy that is in force in this transaction, for all gateways or for this one."""
        return known_policy(connection) or self._judge.policy_sha256

    def _send_back(self, connection: Connection, case: Case, ruled: Assessment) -> Case:
        """Put a case before a person, with what changed; unchanged if another policy is in force by now."""
        if ruled.ruling is not None and ruled.ruling.policy_sha256 != self._policy_sha256(connection):
            return case
        reasons = (why_plan_over(connection, case), what_changed(connection, case, ruled))
        reason = " ".join(reason for reason in reasons if reason) or None
        if reason is None:  # it is again what it was
            return take(connection, case, self._store.process_id)
        return send_back(connection, case, ruled, self._review_timeout, reason=reason)

    async def _record(self, case_id: str, outcome: Outcome) -> Case:
        detail = {"is_error": outcome.is_error, "result_sha256": digest_of_result(outcome)}

        def record(connection: Connection) -> Case:
            return end_case(
                connection,
                read_case(connection, case_id),
                Status.EXECUTED,
                ledger.Action.EXECUTED,
                detail=detail,
                outcome=outcome,
                at=outcome.finished_at,
            )

        return await self._store.change(case_id, record)

    async def _end_uncalled(self, case_id: str, reason: str) -> Case:
        """End a case that was claimed, and whose tool was then not there, or another one."""
        if case_id in self._repeatable:  # the process that died may have called it
            return await self._abandon(case_id, f"It was begun, and not repeated: {reason}")

        def end(connection: Connection) -> Case:
            return end_uncalled(connection, read_case(connection, case_id), reason)

        return await self._store.change(case_id, end)

    async def _abandon(self, case_id: str, detail: str) -> Case:
        case = await abandon(self._store, case_id, detail)
        self._tell_if_unknown(case)
        return case

    def _tell_if_unknown(self, case: Case) -> None:
        if case.status is Status.OUTCOME_UNKNOWN:
            self._tell(case)


def _is_past(status: Status, case: Case) -> bool:
    return case.status is not status
