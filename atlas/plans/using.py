"""A plan lets a call pass, in the transaction that decides on it; and whether it still does when it begins.

Each use is counted once, beside the entry in the ledger, so that N calls are N however many come at once.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.endings import GATEWAY
from atlas.cases.rounds import round_of
from atlas.errors import NotPermitted
from atlas.frozen import Frozen
from atlas.grounds.refused_before import refused_at, refused_before, why_refused
from atlas.instants import now
from atlas.models import Assessment, Case, PlanUse, Verdict
from atlas.people.owners import NO_OWNERS
from atlas.people.votes import Vote
from atlas.plans.fitting import Fit, may_pass
from atlas.plans.plan import Plan, read_plan, why_over
from atlas.plans.tables import plan_uses
from atlas.reviews.permission import check_may_approve
from atlas.stop.covering import stop_of


class Passed(Frozen):
    """What plans said to a call: the case with the use of one, or why none let it pass."""

    case: Case
    reasons: tuple[str, ...] = ()  # sentences


def pass_by_plan(
    connection: Connection,
    case: Case,
    fits: Sequence[Fit],
    *,
    owners: Mapping[str, frozenset[str]] = NO_OWNERS,
) -> Passed:
    """Use the first plan that lets a judged call pass, and count it."""
    reasons: list[str] = []
    for fit in fits:
        plan = read_plan(connection, fit.plan_id)
        reason = fit.why_not and f"The plan {fit.plan_id} does not let it pass: {fit.why_not}."
        reason = reason or _why_not(connection, case, plan, owners.get(case.call.principal, frozenset()))
        if reason is None and plan is not None:
            return Passed(case=_use(connection, case, plan))
        reasons.append(str(reason))
    return Passed(case=case, reasons=tuple(reasons))


def why_plan_over(connection: Connection, case: Case) -> str | None:
    """Why a call that only a plan approved may not begin, in sentences for a reviewer; None: it may."""
    if case.plan is None or case.decision is not None:
        return None
    reason = why_over(connection, read_plan(connection, case.plan.plan_id))
    return reason and f"{reason} It had let this call pass, and the call had not begun."


def _why_not(connection: Connection, case: Case, plan: Plan | None, owners: frozenset[str]) -> str | None:
    """Why a plan does not let a call pass, in a sentence; None: it does."""
    judged = case.assessment
    if (over := why_over(connection, plan)) is not None or plan is None or judged is None:
        return over
    if not may_pass(judged) or not _is_about(plan, case, judged):
        return f"{plan.whose} was made for other calls, or under another policy."
    if plan.is_used_up:
        return f"{plan.whose} is used up: it let {plan.used} calls pass."
    refused = refused_before(connection, case)
    if refused is not None and plan.made_at <= refused_at(refused):
        return f"{plan.whose} was made before that. {why_refused(refused)}"
    if stop_of(connection, case) is not None:
        return f"{plan.whose} does not count under a stop."
    try:
        vote = check_may_approve(connection, case, _vote(plan, case), owners)
    except NotPermitted as refusal:  # a rule of the policy keeps the maker from approving this call
        return f"{plan.whose} does not count: {refusal.fields['reason']}"
    is_for_another = vote.on_behalf_of is not None
    return f"{plan.whose} does not count: a plan is made for no other person." if is_for_another else None


def _is_about(plan: Plan, case: Case, judged: Assessment) -> bool:
    """Whether it was made for this tool, agent and policy; names are compared as they are written."""
    return (
        plan.tool_name == case.call.tool_name
        and plan.principal in (None, case.call.principal)
        and judged.ruling is not None
        and plan.policy_sha256 == judged.ruling.policy_sha256
        and plan.definition_sha256 == judged.definition_sha256 == case.definition_sha256
        and judged.arguments_sha256 == case.call.arguments_sha256
    )


def _vote(plan: Plan, case: Case) -> Vote:
    """The approval that the maker gave beforehand, as the rules are asked about it."""
    return Vote(
        Verdict.APPROVED,
        reviewer=plan.made_by,
        reason=plan.reason,
        is_signed=plan.is_signed,
        round_number=case.round_number,
        groups=plan.groups,
    )


def _use(connection: Connection, case: Case, plan: Plan) -> Case:
    used_at = now()
    use = PlanUse(
        plan_id=plan.plan_id,
        made_by=plan.made_by,
        reason=plan.reason,
        arguments_sha256=case.call.arguments_sha256,
        used_at=used_at,
    )
    row = use.model_dump(include={"plan_id", "arguments_sha256", "used_at"}) | round_of(case)
    connection.execute(plan_uses.insert().values(row))
    _append(connection, case, plan, at=used_at)
    return case.model_copy(update={"plan": use})


def _append(connection: Connection, case: Case, plan: Plan, *, at: datetime) -> None:
    detail = {
        **{name: getattr(plan, name) for name in ("plan_id", "made_by", "reason")},
        "use": plan.used + 1,
        "of": plan.most_calls,
        "arguments_sha256": case.call.arguments_sha256,
        "definition_sha256": case.definition_sha256,
    }
    ledger.append(connection, case.case_id, ledger.Action.PLAN_USED, actor=GATEWAY, detail=detail, at=at)
