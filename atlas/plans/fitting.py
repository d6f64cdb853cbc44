"""Which plans could let a call pass: asked before the transaction that decides, as a condition takes time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from atlas.assessors import Question
from atlas.cases.store import CaseStore
from atlas.errors import PlanRefused
from atlas.frozen import Frozen
from atlas.grounds.model_score import PROHIBITED
from atlas.models import Assessment, Case, Ruling
from atlas.plans.conditions import why_not_held
from atlas.plans.plan import Plan, plans_about


class Fit(Frozen):
    """A plan that is about a call, and why its condition does not let it pass; None: it does."""

    plan_id: str
    why_not: str | None = None


class Plans:
    """Finds the plans for calls that a person would decide on; others are not looked at."""

    def __init__(self, store: CaseStore, question: Callable[[Case], Awaitable[Question]]) -> None:
        self._store = store
        self._question = question  # about the call alone

    async def about(self, case_id: str, judged: object) -> tuple[Fit, ...]:
        """The plans that are about a call as it was judged just now."""
        if not isinstance(judged, Assessment) or not may_pass(judged):
            return ()
        case = await self._store.read_call(case_id)
        named = {"tool_name": case.call.tool_name, "principal": case.call.principal}
        found = await self._store.database.read(lambda connection: plans_about(connection, **named))
        if not found:
            return ()
        question = await self._question(case)
        return tuple([await self._fit(plan, question, judged) for plan in found])

    async def _fit(self, plan: Plan, question: Question, judged: Assessment) -> Fit:
        made_for = plan.definition_sha256
        if not made_for == judged.definition_sha256 == question.tool.definition_sha256:
            return Fit(plan_id=plan.plan_id, why_not="the tool has changed since it was made")
        try:
            why_not = await asyncio.to_thread(partial(why_not_held, plan.condition, question))
        except PlanRefused:  # a later version of the gateway may know other conditions
            why_not = "its condition cannot be read any more"
        return Fit(plan_id=plan.plan_id, why_not=why_not)


def may_pass(judged: Assessment) -> bool:
    """Whether a plan may take the place of the person who would decide on a call that was judged so."""
    ruling = judged.ruling
    if ruling is None or judged.is_denied or judged.has_failed or not judged.needs_person:
        return False
    if judged.classification.strip().lower().startswith(PROHIBITED):
        return False
    review = ruling.review
    looks = review.needs_passkey or review.hides_score or review.min_seconds
    if looks or asks_for_reason(ruling, score=judged.risk_score):
        return False
    return review.allows_plans and ruling.approvals == 1


def asks_for_reason(ruling: Ruling, *, score: int) -> bool:
    """Whether a rule asks for a reason that is typed for each such call, which that of a plan is not."""
    return ruling.review.reason_from is not None and score >= ruling.review.reason_from
