"""The path of a call: its stages, put together for the workflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from fastmcp import FastMCP
from sqlalchemy.engine import Connection

from atlas.admit import Admission
from atlas.agents.held_calls import WaitingAgents
from atlas.assess import Assessments
from atlas.assessors.choose import Judges
from atlas.cases.store import CaseStore
from atlas.decide import Decisions, decide_after_wait, decide_by_score
from atlas.errors import PolicyReplaced
from atlas.execute import Execution
from atlas.models import Case, Inquiry, Status
from atlas.origins.memory import Memory
from atlas.people.owners import NO_OWNERS
from atlas.plans.fitting import Plans
from atlas.plans.making import PlanBook
from atlas.report import report_failure
from atlas.reviews.editing import accepted_by
from atlas.reviews.recording import is_overdue
from atlas.settings import Settings
from atlas.workflow.stages import Stages


class AssessAndDecide:
    """Stages 2 and 3, in one transaction: what is approved by its score waits for the disk once."""

    def __init__(
        self,
        assessments: Assessments,
        *,
        store: CaseStore,
        timeout: timedelta,
        owners: Mapping[str, frozenset[str]] = NO_OWNERS,
    ) -> None:
        self._assessments = assessments
        self._store = store
        self._timeout = timeout
        self._owners = owners  # of agents: no plan of theirs counts for them
        self._plans = Plans(store, assessments.untraced)

    async def assess(self, case_id: str) -> Case:
        """Judge a case unless it was judged before, and decide by its score.

        It comes back QUEUED, with an inquiry, while a model elsewhere is at work. What comes back AUTHORIZED
        is executed next, and on disk when that begins: without it, it is assessed again.
        """
        while True:
            try:
                return await self._assess(case_id)
            except PolicyReplaced:  # meanwhile, and nothing was written
                await self._assessments.renew_policy()

    async def _assess(self, case_id: str) -> Case:
        judged = await self._assessments.judge(case_id)
        plans = await self._plans.about(case_id, judged)

        def record(connection: Connection) -> Case:
            case = self._assessments.record(connection, case_id, judged)
            if isinstance(judged, Inquiry):
                return case
            return decide_by_score(connection, case, timeout=self._timeout, plans=plans, owners=self._owners)

        case = await self._store.change(case_id, record, passing={Status.AUTHORIZED})
        self._assessments.drop_unused(judged, case)
        return case


@dataclass(frozen=True)
class Path:
    """What the edges need of it."""

    stages: Stages  # for the workflow
    execution: Execution
    decisions: Decisions  # of people
    plans: PlanBook  # what people approve beforehand


def build_path(
    settings: Settings,
    *,
    store: CaseStore,
    server: FastMCP,
    waiting: WaitingAgents,
    judges: Judges,
    announce: Callable[[Case], None],
    tell: Callable[[Case], None],
    unknown: Callable[[str], Exception],
) -> Path:
    """Put the gate in front of a server, and the stages behind it.

    `announce` tells the workflow of a case, `tell` the reviewers; `unknown` says why a tool is not there.
    """
    policy, model = judges
    gate = Admission(store=store, announce=announce, settings=settings, waiting=waiting, unknown=unknown)
    server.add_middleware(gate)
    assessments = Assessments(
        store=store,
        server=server,
        policy=policy,
        model=model,
        settings=settings,
        memory=Memory(store, idle=settings.atlas_session_idle),
        handed=waiting.handed,
    )
    execution = Execution(
        store=store,
        server=server,
        judge=assessments,
        tell=tell,
        settings=settings,
        waiting=waiting,
        unknown=unknown,
    )
    timeout = settings.atlas_review_timeout
    owners = settings.owners_of_agents
    accepts = partial(accepted_by, server, most_kilobytes=settings.atlas_arguments_kb)
    decisions = Decisions(
        store=store, rule=assessments.rule, timeout=timeout, tell=tell, owners=owners, accepts=accepts
    )
    stages = build_stages(settings, store=store, assessments=assessments, execution=execution, tell=tell)
    book = PlanBook(
        store.database, policy=policy, tool=assessments.tool, owners=owners, agents=settings.agents
    )
    return Path(stages, execution, decisions, book)


def build_stages(
    settings: Settings,
    *,
    store: CaseStore,
    assessments: Assessments,
    execution: Execution,
    tell: Callable[[Case], None],
) -> Stages:
    """What the workflow calls, in the order of the path; `tell` tells the reviewers of a case."""
    timeout, owners = settings.atlas_review_timeout, settings.owners_of_agents
    first = AssessAndDecide(assessments, store=store, timeout=timeout, owners=owners)

    async def ask(case_id: str) -> Case:
        case = await first.assess(case_id)
        if case.status is Status.PENDING_REVIEW and not is_overdue(case):
            tell(case)
        return case

    async def is_approved(case_id: str) -> bool:
        return (await store.read(case_id)).decision is not None

    return Stages(
        assess=first.assess,
        ask=ask,
        decide=partial(decide_after_wait, store=store),
        execute=execution.execute,
        is_approved=is_approved,
        report_failure=partial(
            report_failure, store=store, tell=tell, settings=settings, give_up=execution.give_up
        ),
    )
