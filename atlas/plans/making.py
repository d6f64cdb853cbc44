"""Makes plans and stops them: each is one transaction with its entry in the ledger.

A plan that could let no call pass is refused when it is made. Each call asks all of the rules once more.
"""

import json
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.assessors import ToolFacts
from atlas.assessors.policy import Policy
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.canonical import digest
from atlas.database.database import Database
from atlas.errors import NotPermitted, PlanNotFound, PlanRefused
from atlas.frozen import Frozen
from atlas.instants import instant_text, now
from atlas.models import Assessment, Case, Ruling, Status, ToolCall, Verdict, plain_text
from atlas.people.person import Person
from atlas.people.votes import Vote
from atlas.plans.conditions import LONGEST_CONDITION, compiled
from atlas.plans.fitting import asks_for_reason
from atlas.plans.plan import Plan, calls_of, newest_plans, read_plan
from atlas.plans.tables import plans
from atlas.reviews.permission import check_may_approve

LONGEST_PLAN = timedelta(days=30)
MOST_CALLS = 1000
MOST_OF_TOOL = 50  # plans that go on: each call asks about all of them
LONGEST_REASON = 1000  # characters


class Wish(Frozen):
    """What a person wants to approve beforehand."""

    tool: str
    agent: str | None = None  # None: every agent
    condition: str | None = None
    most_calls: int
    ends_at: datetime
    reason: str


class Standing(Frozen):
    """A plan, whether it lets calls pass now, and which ones it did."""

    plan: Plan
    is_in_force: bool
    why_not: str | None  # in a sentence
    calls: tuple[str, ...]  # references, the newest first; of many, some


class PlanBook:
    """What people approve beforehand, and stop."""

    def __init__(
        self,
        database: Database,
        *,
        policy: PolicyInForce,
        tool: Callable[[str], Awaitable[ToolFacts]],
        owners: Mapping[str, frozenset[str]],
        agents: Collection[str],
    ) -> None:
        self.agents = agents  # that can call
        self._database = database
        self._policy = policy
        self._tool = tool  # as it is now
        self._owners = owners  # of agents

    async def make(self, person: Person, wish: Wish) -> Plan:
        """Make a plan that could let a call pass; raises PlanRefused, PolicyNotTaken, and NotPermitted."""
        await self._policy.renew()
        wish, policy = _fit(wish), self._policy.policy
        if wish.agent is not None and wish.agent not in self.agents:
            raise PlanRefused(reason=f"There is no agent {wish.agent}. Agents: {', '.join(self.agents)}.")
        tool = await self._tool(wish.tool)
        if tool.definition_sha256 is None:
            raise PlanRefused(reason=f"There is no tool {wish.tool} now.")
        plan = _plan(wish, person, policy=policy.sha256, definition=tool.definition_sha256)
        ruling = policy.at_least(tool)
        _check_ruling(ruling, plan, policy)
        owners = self._owners.get(wish.agent or "", frozenset())
        await self._database.write(partial(_make, plan=plan, ruling=ruling, owners=owners))
        return plan

    async def stop(self, plan_id: str, person: Person) -> Plan:
        """Stop a plan; one that was stopped before stays as it is. Raises PlanNotFound."""
        return await self._database.write(partial(_stop, plan_id=plan_id, person_name=person.name))

    async def newest(self) -> tuple[Standing, ...]:
        """The plans, first those that are neither stopped nor over, the newest first."""
        found = await self._database.look(newest_plans)
        ids = [plan.plan_id for plan in found]
        calls = await self._database.look(lambda connection: calls_of(connection, ids))
        return tuple([await self._standing(plan, calls[plan.plan_id]) for plan in found])

    async def _standing(self, plan: Plan, calls: tuple[str, ...]) -> Standing:
        why_not = why_spent(plan)
        if why_not is None and plan.policy_sha256 != self._policy.sha256:
            why_not = "The policy has changed since it was made."
        if why_not is None and (await self._tool(plan.tool_name)).definition_sha256 != plan.definition_sha256:
            why_not = "The tool has changed since it was made, or is not there."
        return Standing(plan=plan, is_in_force=why_not is None, why_not=why_not, calls=calls)


def why_spent(plan: Plan) -> str | None:
    """Why a plan lets no more calls pass by its own bounds, in a sentence; None: it may."""
    if plan.stopped_at is not None:
        return f"{plan.stopped_by} stopped it."
    if plan.ends_at <= now():
        return "Its time is over."
    return "It is used up." if plan.is_used_up else None


def _fit(wish: Wish) -> Wish:
    """The wish within its bounds; raises PlanRefused."""
    reason = plain_text(wish.reason).strip()
    condition = (wish.condition or "").strip() or None
    if not 0 < len(reason) <= LONGEST_REASON:
        raise PlanRefused(reason=f"A plan needs a reason of 1 to {LONGEST_REASON} characters.")
    if not 1 <= wish.most_calls <= MOST_CALLS:
        raise PlanRefused(reason=f"A plan is for 1 to {MOST_CALLS} calls.")
    if not now() < wish.ends_at <= now() + LONGEST_PLAN:
        raise PlanRefused(reason=f"A plan ends at most {LONGEST_PLAN.days} days from now.")
    if len(condition or "") > LONGEST_CONDITION:
        raise PlanRefused(reason=f"A condition has at most {LONGEST_CONDITION} characters.")
    if condition is not None:
        compiled(condition)
    return wish.model_copy(update={"reason": reason, "condition": condition, "agent": wish.agent or None})


def _plan(wish: Wish, person: Person, *, policy: str, definition: str) -> Plan:
    return Plan(
        plan_id=f"plan_{secrets.token_hex(6)}",
        tool_name=wish.tool,
        principal=wish.agent,
        condition=wish.condition,
        most_calls=wish.most_calls,
        ends_at=wish.ends_at,
        reason=wish.reason,
        made_by=person.name,
        made_at=now(),
        is_signed=person.is_signed,
        groups=person.groups,
        policy_sha256=policy,
        definition_sha256=definition,
    )


def _check_ruling(ruling: Ruling, plan: Plan, policy: Policy) -> None:
    """Raise PlanRefused where the policy lets no plan take a person's place for any call of the tool."""
    calls = f"calls of {plan.tool_name}"
    if ruling.is_denied:
        raise PlanRefused(reason=f"The policy denies all {calls}, and no plan lifts that.")
    if ruling.approvals > 1:
        raise PlanRefused(reason=f"The policy asks for {ruling.approvals} approvals of {calls}.")
    if ruling.floor >= policy.threshold and not ruling.review.allows_plans:
        raise PlanRefused(
            reason=f"The policy leaves all {calls} to a person. A rule with plans = true allows plans."
        )
    asks = asks_for_reason(ruling, score=ruling.score)
    if asks or ruling.review.hides_score or ruling.review.min_seconds:
        raise PlanRefused(reason=f"The policy wants a person to look at each of the {calls}.")


def _make(connection: Connection, *, plan: Plan, ruling: Ruling, owners: frozenset[str]) -> None:
    _check_maker(connection, plan, ruling, owners)
    going_on = (plans.c.tool_name == plan.tool_name, plans.c.ends_at > now(), plans.c.stopped_at.is_(None))
    count = sa.select(sa.func.count()).select_from(plans).where(*going_on)
    if (connection.scalar(count) or 0) >= MOST_OF_TOOL:
        raise PlanRefused(reason=f"{MOST_OF_TOOL} plans for {plan.tool_name} go on. Stop one of them first.")
    row = plan.model_dump(exclude={"used"}) | {"groups": json.dumps(plan.groups)}
    connection.execute(plans.insert().values(row))
    named = ("plan_id", "tool_name", "principal", "condition", "most_calls", "reason")
    detail = {name: getattr(plan, name) for name in (*named, "policy_sha256", "definition_sha256")}
    detail["ends_at"] = instant_text(plan.ends_at)
    action = ledger.Action.PLAN_MADE
    ledger.append(connection, ledger.NO_CASE, action, actor=plan.made_by, detail=detail, at=plan.made_at)


def _check_maker(connection: Connection, plan: Plan, ruling: Ruling, owners: frozenset[str]) -> None:
    """Raise NotPermitted where the rules keep the maker from approving such a call."""
    vote = Vote(
        Verdict.APPROVED,
        reviewer=plan.made_by,
        reason=plan.reason,
        is_signed=plan.is_signed,
        groups=plan.groups,
    )
    try:
        said = check_may_approve(connection, _such_a_call(plan, ruling), vote, owners)
    except NotPermitted as refusal:
        reason = str(refusal.fields["reason"]).replace(f"case {plan.plan_id}", f"calls of {plan.tool_name}")
        raise NotPermitted(reason=f"{reason} No plan was made.") from refusal
    if said.on_behalf_of is not None:
        raise PlanRefused(reason=f"You can approve calls of {plan.tool_name} for {said.on_behalf_of} alone.")


def _such_a_call(plan: Plan, ruling: Ruling) -> Case:
    """A call as the plan is about, to ask the rules about; there is no such case."""
    call = ToolCall(
        principal=plan.principal or "",
        tool_name=plan.tool_name,
        arguments={},
        arguments_sha256=digest({}),
    )
    judged = Assessment(
        risk_score=ruling.score,
        classification=ruling.classification,
        action=plan.tool_name,
        rationale=ruling.rationale,
        assessor="",
        threshold=0,
        arguments_sha256=call.arguments_sha256,
        assessed_at=plan.made_at,
        ruling=ruling,
        definition_sha256=plan.definition_sha256,
    )
    waits = {"status": Status.PENDING_REVIEW, "opened_at": plan.made_at}
    return Case(case_id=plan.plan_id, call=call, assessment=judged, **waits)


def _stop(connection: Connection, *, plan_id: str, person_name: str) -> Plan:
    plan = read_plan(connection, plan_id)
    if plan is None:
        raise PlanNotFound(plan_id=plan_id)
    if plan.stopped_at is not None:
        return plan
    at = now()
    stopped = {"stopped_by": person_name, "stopped_at": at}
    connection.execute(plans.update().where(plans.c.plan_id == plan_id).values(stopped))
    detail = {"plan_id": plan_id, "tool_name": plan.tool_name, "made_by": plan.made_by, "used": plan.used}
    action = ledger.Action.PLAN_STOPPED
    ledger.append(connection, ledger.NO_CASE, action, actor=person_name, detail=detail, at=at)
    return plan.model_copy(update=stopped)
