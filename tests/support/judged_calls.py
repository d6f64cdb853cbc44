"""Cases that were judged on a definition of their tool, and people who decide on them under another one."""

from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection
from store import (
    assessment_of,
    open_case,
)

from atlas.cases.store import CaseStore, add_assessment
from atlas.decide import Decisions, decide_by_score
from atlas.models import Assessment, Case, ToolCall

DAY = timedelta(days=1)


DEFINED, REDEFINED = "d" * 64, "e" * 64


def judged(call: ToolCall, *, definition: str | None = DEFINED, **fields: Any) -> Assessment:
    """What a policy says of a call, with such a definition of its tool."""
    assessed = assessment_of(call, **fields)
    return assessed.model_copy(update={"definition_sha256": definition})


async def waiting(store: CaseStore, **fields: Any) -> Case:
    """A case that waits for a person, with the definition of its tool on record."""
    case = await open_case(store)

    def judge(connection: Connection) -> Case:
        assessed = add_assessment(connection, case, judged(case.call, **fields))
        return decide_by_score(connection, assessed, timeout=DAY)

    return await store.change(case.case_id, judge)


def decisions_under(store: CaseStore, told: list[Case] | None = None, **fields: Any) -> Decisions:
    """Takes decisions while policy and tool are as the fields say."""

    async def rule(case: Case) -> Assessment:
        return judged(case.call, **fields)

    tell = (told if told is not None else []).append
    return Decisions(store=store, rule=rule, timeout=DAY, tell=tell)
