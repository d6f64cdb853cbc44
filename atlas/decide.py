"""Stage 3: below the threshold the score approves a call; from there a person decides, or time does.

A person can decide on a bounded set of calls beforehand: a plan.
What the policy denies, no one can approve. Where it asks for several approvals, each counts for itself until
the last one makes the decision. An approval of what has changed since it was judged does not count: the case
is judged again, and the reviewer is told what has changed. A rejection always counts: it is about the call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.hiding import is_score_hidden
from atlas.cases.endings import end_case
from atlas.cases.judgements import record_assessment
from atlas.cases.reviews import deny, request_review
from atlas.cases.rounds import adopt_definition, other_round_error
from atlas.cases.store import (
    CaseStore,
    mark_reported,
    read_approvals,
    read_case,
    transition,
)
from atlas.database.known_policy import check_judged_by
from atlas.errors import (
    AtlasError,
    CallChanged,
    CaseFinished,
    PolicyReplaced,
    RuleRefuses,
)
from atlas.grounds.refused_before import refused_before, why_refused
from atlas.grounds.reopening import is_missing, send_back, what_changed
from atlas.grounds.seen import check_seen
from atlas.instants import instant_text
from atlas.models import NO_TOOL, Assessment, Case, Status, Verdict
from atlas.outbox import notices
from atlas.people.owners import NO_OWNERS, check_owner, not_of
from atlas.people.votes import TAKEN_BACK, Vote, note_key
from atlas.plans.fitting import Fit
from atlas.plans.using import pass_by_plan
from atlas.reviews.asking import ask_agent
from atlas.reviews.editing import (
    Accepts,
    Editing,
    begin_edit,
    check_edit_allowed,
    check_may_edit,
    in_new_round,
    is_said_again,
    needs_second_look,
    no_edits,
    read_too_early,
)
from atlas.reviews.permission import ask_again
from atlas.reviews.recording import (
    check_not_stopped,
    check_open,
    is_overdue,
    note_refusal,
    record_approval,
    reject,
)
from atlas.reviews.undo import (
    check_may_take_back,
    is_taken_back,
    take_back,
)


def decide_by_score(
    connection: Connection,
    case: Case,
    *,
    timeout: timedelta,
    plans: Sequence[Fit] = (),
    owners: Mapping[str, frozenset[str]] = NO_OWNERS,
) -> Case:
    """Approve a queued case whose score is below the threshold, or put it before a person.

    A plan among `plans` that holds takes the person's place: what the policy denies comes before it.
    A score approves nothing to which a person said no before.
    """
    if case.status is Status.REJECTED:
        return mark_reported(connection, case)
    if case.status is not Status.QUEUED:
        return case
    assessment = case.assessment
    if assessment is None:
        return request_review(connection, case, timeout, reason="The call was not assessed.")
    if assessment.is_denied:
        return deny(connection, case, assessment)
    if assessment.needs_person:
        passed = pass_by_plan(connection, case, plans, owners=owners)
        if passed.case.plan is not None:
            return transition(connection, passed.case, Status.AUTHORIZED)
        reason = f"Risk Score [{assessment.risk_score}] is not below {assessment.threshold}."
        return request_review(connection, case, timeout, reason=" ".join([reason, *passed.reasons]))
    if (refused := refused_before(connection, case)) is not None:
        reason = f"Risk Score [{assessment.risk_score}] is below {assessment.threshold}, but does not count."
        return request_review(connection, case, timeout, reason=f"{reason} {why_refused(refused)}")
    text = f"Auto-approved based on Risk Score [{assessment.risk_score}] per Article 14 Compliance."
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.AUTO_APPROVED,
        actor=assessment.assessor,
        detail={"text": text, "arguments_sha256": assessment.arguments_sha256},
    )
    return transition(connection, case, Status.AUTHORIZED)


async def decide_after_wait(case_id: str, *, store: CaseStore, is_woken: bool) -> Case:
    """See what the case store says after the wait; an event alone decides nothing."""

    def look(connection: Connection) -> Case:
        case = read_case(connection, case_id)
        if case.status is Status.PENDING_REVIEW and is_overdue(case):
            return _expire(connection, case)
        # The run of a case that was judged again is replayed through here with the event of an earlier round.
        if case.status is Status.PENDING_REVIEW and is_woken and case.round_number == 1:
            detail = {"reason": "A decision event came, but no decision is recorded; the wait goes on."}
            ledger.append(
                connection, case_id, ledger.Action.UNSUPPORTED_DECISION, actor="workflow", detail=detail
            )
        return mark_reported(connection, case) if case.status is Status.REJECTED else case

    return await store.change(case_id, look)


def _expire(connection: Connection, case: Case) -> Case:
    detail = {"expires_at": instant_text(case.expires_at)} if case.expires_at else {}
    notices.put(connection, notices.Kind.EXPIRED, case=case)
    return end_case(connection, case, Status.EXPIRED, ledger.Action.EXPIRED, detail=detail)


class Decisions:
    """Writes what people decide; from the moment it is on disk it holds, even if the workflow fails."""

    def __init__(
        self,
        *,
        store: CaseStore,
        rule: Callable[[Case], Awaitable[Assessment]],
        timeout: timedelta,
        tell: Callable[[Case], None],
        owners: Mapping[str, frozenset[str]] = NO_OWNERS,
        accepts: Accepts = no_edits,
    ) -> None:
        self._store = store
        self._editing = Editing(rule=rule, accepts=accepts)
        self._owners = owners  # of agents, whose calls they cannot approve
        self._rule = rule  # the policy alone
        self._timeout = timeout
        self._tell = tell  # the reviewers, that a case waits for them

    async def record(self, case_id: str, vote: Vote) -> Case:
        """Record a decision, or one of the approvals that together are one.

        The same decision of the same reviewer again changes nothing. Raises CaseNotFound, AlreadyDecided,
        ContraryDecision, KeyUsed, ReviewExpired, CaseFinished, NotPermitted, CallChanged and, for an
        approval, Stopped.
        """
        if vote.verdict is Verdict.REJECTED:
            return await self._store.change(case_id, partial(reject, case_id=case_id, vote=vote))
        try:
            return await self._approve(case_id, vote)
        except RuleRefuses as refusal:
            await self._store.change(
                case_id, partial(note_refusal, case_id=case_id, vote=vote, refusal=refusal)
            )
            raise

    async def take_back(self, case_id: str, vote: Vote) -> Case:
        """Take an approval back before the call begins; the same again changes nothing.

        Raises CaseNotFound, KeyUsed, NotPermitted, and TakeBackRefused where it is too late.
        """

        def work(connection: Connection) -> Case:
            case = read_case(connection, case_id)
            note_key(connection, case_id, vote, said=TAKEN_BACK)
            if is_taken_back(connection, case, vote):
                return case
            check_may_take_back(connection, case, vote)
            return take_back(connection, case, vote, self._timeout)

        case = await self._store.change(case_id, work)
        self._tell(case)
        return case

    async def _approve(self, case_id: str, vote: Vote) -> Case:
        while True:
            with suppress(PolicyReplaced):  # since it was asked, and nothing was written
                return await self._approve_now(case_id, vote)

    async def _approve_now(self, case_id: str, vote: Vote) -> Case:
        """An approval counts in its own round only: what was judged again is not what was approved."""
        before, ruled = await self._store.read(case_id), None
        again: AtlasError | None = None
        owners = self._owners.get(before.call.principal, frozenset())
        check_owner(before, vote, owners)
        if before.decision is None or before.round_number != vote.round_number:
            # The policy says who may approve it, if anyone may: also a policy that came into force while
            # the call waited. No model need be asked for that.
            ruled = await self._rule(before)
        wanted = await self._editing.wanted(before, vote)
        may_edit = await self._editing.allowed(before, ruled)

        def approve(connection: Connection) -> Case:
            nonlocal again
            case = read_case(connection, case_id)
            check_not_stopped(connection, case)
            if is_said_again(case, vote):
                return case
            if case.round_number != vote.round_number:
                check_open(case)
                return case
            if vote.arguments is not None and before.round_number != case.round_number:
                raise read_too_early(case)  # what the person changed was not judged for this round
            is_hidden = is_score_hidden(connection, case, vote.reviewer)
            check_seen(case, vote.seen_sha256, is_score_hidden=is_hidden)
            if ruled is not None and case.status.is_not_begun:
                check_judged_by(connection, ruled.ruling.policy_sha256 if ruled.ruling else None)
                case = self._apply(connection, case, ruled)  # which may send it back
            if case.round_number != vote.round_number or case.status is Status.DENIED:
                return case
            note_key(connection, case_id, vote)
            own = vote
            if wanted is not None:
                check_open(case)
                check_may_edit(connection, case, vote, owners, wanted=wanted, may_edit=may_edit)
                if (again := ask_again(connection, case, vote)) is not None:
                    return case
                case, own = begin_edit(connection, case, vote, self._timeout, wanted, may_edit)
                if needs_second_look(case):
                    return case
            elif case.edit is not None and case.decision is None:
                check_edit_allowed(case, may_edit)
            recorded = record_approval(connection, case, own, owners)
            again = recorded if isinstance(recorded, AtlasError) else None
            if again is not None and wanted is not None:
                again = in_new_round(again, case)
            return case if isinstance(recorded, AtlasError) else recorded

        case = await self._store.change(case_id, approve)
        if case.round_number != before.round_number and case.status is Status.PENDING_REVIEW:
            self._tell(case)
        if again is not None:
            raise again
        if is_said_again(case, vote):
            return case
        # What was just written stays written, so that it is refused only here.
        if case.status is Status.DENIED and (case.decision is None or not case.is_seeded):
            raise CaseFinished(case_id=case_id, status=case.status.value)
        if case.round_number != vote.round_number:
            raise other_round_error(case, vote.round_number)
        return case

    async def rule(self, case: Case) -> Assessment:
        """What the policy in force says of a call."""
        return await self._rule(case)

    async def ask(
        self, case_id: str, *, by: str, text: str, way: str | None = None, idempotency_key: str | None = None
    ) -> Case:
        """Put a question to the agent, which decides nothing; raises what `ask_agent` raises, and KeyUsed."""
        asked = Vote(Verdict.REJECTED, by, text, idempotency_key=idempotency_key, way=way)

        def ask(connection: Connection) -> Case:
            if note_key(connection, case_id, asked, said="ASKED"):
                return read_case(connection, case_id)
            return ask_agent(connection, case_id=case_id, by=by, text=text, way=way)

        return await self._store.change(case_id, ask)

    async def approvals_of(self, case: Case) -> int:
        """How many reviewers have approved a case so far."""
        given = await self._store.database.read(partial(read_approvals, case=case))
        return len(not_of(self._owners.get(case.call.principal, frozenset()), given))

    def _apply(self, connection: Connection, case: Case, ruled: Assessment) -> Case:
        """The case under the policy in force, with its tool as it is now, before a vote counts."""
        reason = what_changed(connection, case, ruled)
        if reason is not None:
            check_open(case)
            if is_missing(case, ruled) and not ruled.is_denied:
                # Nothing to look at, and nothing to approve, until it is back.
                then = "It can be approved when the tool is back."
                raise CallChanged(case_id=case.case_id, reason=reason, then=then)
            return send_back(connection, case, ruled, self._timeout, reason=reason)
        present = ruled.definition_sha256
        if case.definition_sha256 is None and present not in (None, NO_TOOL):
            case = adopt_definition(connection, case, present)
        if case.status is Status.AUTHORIZED:
            return case
        if case.assessment is None:
            case = record_assessment(connection, case, ruled)
        if ruled.is_denied:
            return deny(connection, case, ruled)
        if case.status is Status.PENDING_REVIEW:
            return case
        reason = "A person decides before the call is assessed."
        return request_review(connection, case, self._timeout, reason=reason)
