"""A plan, as it is read from its table: what it lets pass, whose it is, and how much of it is used up."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.statements import Prepared
from atlas.frozen import Frozen
from atlas.instants import now
from atlas.people.records.profiles import profile_of
from atlas.plans.tables import plan_uses, plans

MOST_SHOWN = 100
MOST_CALLS_SHOWN = 20  # of those that a plan let pass


class Plan(Frozen):
    """A bounded set of calls that a person approved beforehand."""

    plan_id: str  # plan_ and 12 lowercase hex digits
    tool_name: str
    principal: str | None  # None: every agent
    condition: str | None  # CEL over the arguments; None: all calls of the tool
    most_calls: int
    ends_at: datetime
    reason: str
    made_by: str
    made_at: datetime
    is_signed: bool  # whether the maker's name was checked
    groups: tuple[str, ...]  # that the maker's way in vouched for
    policy_sha256: str  # of the file that was in force then
    definition_sha256: str  # of the tool as it was then
    stopped_by: str | None = None
    stopped_at: datetime | None = None
    used: int = 0  # how many calls it let pass

    @property
    def whose(self) -> str:
        """How a sentence names it."""
        return f"The plan {self.plan_id} of {self.made_by}"

    @property
    def is_used_up(self) -> bool:
        """Whether it let as many calls pass as it may."""
        return self.used >= self.most_calls


_USED = (
    sa.select(sa.func.count())
    .where(plan_uses.c.plan_id == plans.c.plan_id)
    .correlate(plans)
    .scalar_subquery()
    .label("used")
)
_PLANS = sa.select(plans, _USED)
# Run for each call that a person would decide on: of few plans, by an index.
_HELD = Prepared(
    sa.select(plans.c.plan_id)
    .where(
        plans.c.tool_name == sa.bindparam("tool_name"),
        plans.c.ends_at > sa.bindparam("moment"),
        plans.c.stopped_at.is_(None),
        sa.or_(plans.c.principal.is_(None), plans.c.principal == sa.bindparam("principal")),
    )
    .order_by(plans.c.ends_at, plans.c.plan_id)
)


def plans_about(connection: Connection, *, tool_name: str, principal: str) -> tuple[Plan, ...]:
    """The plans about calls of a tool by an agent, neither stopped nor over; first what ends first."""
    asked = {"tool_name": tool_name, "principal": principal, "moment": now()}
    found = [read_plan(connection, str(row[0])) for row in _HELD.rows(connection, asked)]
    return tuple(plan for plan in found if plan is not None)


def read_plan(connection: Connection, plan_id: str) -> Plan | None:
    """A plan with what is used up of it, as a transaction sees it."""
    row = connection.execute(_PLANS.where(plans.c.plan_id == plan_id)).mappings().first()
    return None if row is None else _plan(row)


def newest_plans(connection: Connection, *, limit: int = MOST_SHOWN) -> tuple[Plan, ...]:
    """The plans in the order of their age, the newest first, and first those that are not stopped or over."""
    is_over = sa.or_(plans.c.stopped_at.is_not(None), plans.c.ends_at <= now())
    rows = connection.execute(_PLANS.order_by(is_over, plans.c.made_at.desc()).limit(limit))
    return tuple(_plan(row) for row in rows.mappings())


def calls_of(connection: Connection, plan_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The references of the calls that plans let pass, the newest first; of many, some."""
    newest = plan_uses.c.used_at.desc()
    one = sa.select(plan_uses.c.case_id).order_by(newest).limit(MOST_CALLS_SHOWN)
    return {
        plan_id: tuple(connection.execute(one.where(plan_uses.c.plan_id == plan_id)).scalars())
        for plan_id in plan_ids
    }


def why_over(connection: Connection, plan: Plan | None) -> str | None:
    """Why a plan lets no call begin any more, in a sentence; None: it holds."""
    if plan is None:
        return "Its plan is not on record."
    if plan.stopped_at is not None:
        return f"{plan.whose} was stopped by {plan.stopped_by}."
    if plan.ends_at <= now():
        return f"{plan.whose} is over."
    maker = profile_of(connection, plan.made_by)
    if maker.ended_at is not None or (maker.is_kept and not maker.is_there):
        return f"{plan.whose} holds no more, because the person's access has ended."
    return None


def _plan(row: Any) -> Plan:
    return Plan(**(dict(row) | {"groups": tuple(json.loads(row["groups"]))}))
