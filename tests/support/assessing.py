"""The stage that assesses, with a policy, a model and tools of the test."""

from datetime import timedelta
from pathlib import Path

from fastmcp import FastMCP
from fastmcp.tools import Tool
from models_that_say import Says
from store import settings_of_test

from atlas.assess import Assessments
from atlas.assessors.guard import Guard
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.cases.store import CaseStore
from atlas.decide import Decisions
from atlas.models import Case
from atlas.origins.memory import Memory
from atlas.path import AssessAndDecide

LENIENT = 'unknown_tools = "person"\n[[rule]]\ntool = "check_status"\nscore = 12\n'


def server_with(*names: str) -> FastMCP:
    """A server with tools of such names, which take any arguments."""
    server = FastMCP("tools")
    for name in names:
        server.add_tool(Tool(name=name, parameters={"type": "object"}))
    return server


class StagesTwoAndThree(Assessments):
    """Assesses and decides by the score, as the path does."""

    async def assess(self, case_id: str) -> Case:
        """The case as it stands then."""
        path = AssessAndDecide(self, store=self._store, timeout=timedelta(days=1))
        return await path.assess(case_id)


def assessments_of(
    store: CaseStore,
    directory: Path,
    *,
    policy: str = LENIENT,
    model: Says | None = None,
    seconds: float = 60,
    server: FastMCP | None = None,
    sees_session: bool = False,
) -> StagesTwoAndThree:
    """The stage, with a policy of such text and such a model."""
    settings = settings_of_test(directory, atlas_assess_seconds=seconds)
    path = directory / "policy.toml"
    path.write_text(policy)
    return StagesTwoAndThree(
        store=store,
        server=server or server_with("check_status", "request_payment_extension"),
        policy=PolicyInForce(path, threshold=70),
        model=Guard(model, seconds=seconds, sees_session=sees_session) if model else None,
        settings=settings,
        memory=Memory(store),
    )


def decisions_by(assessments: Assessments, store: CaseStore) -> Decisions:
    """Takes decisions of people under the policy of the stage."""
    return Decisions(store=store, rule=assessments.rule, timeout=timedelta(days=1), tell=lambda case: None)
