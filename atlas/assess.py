"""Stage 2: a call gets its risk score; whatever goes wrong on the way, a person decides."""

import asyncio
import logging
from typing import Any

from fastmcp import FastMCP
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.assessors import Assessor, ToolFacts
from atlas.cases import CaseStore, insert_assessment, read_case
from atlas.database import now
from atlas.models import Assessment, Case, ToolCall
from atlas.settings import Settings

WORST_SCORE = 100

logger = logging.getLogger(__name__)


class Answer(BaseModel):
    """What an assessor has to answer; nothing is converted, so that 70.5 or "70" is no score."""

    model_config = ConfigDict(extra="ignore")

    risk_score: StrictInt = Field(ge=0, le=100)
    classification: StrictStr = Field(max_length=200)
    action: StrictStr = Field(max_length=200)
    rationale: StrictStr = Field(max_length=4000)


async def assess(
    case_id: str, *, store: CaseStore, server: FastMCP, assessor: Assessor, settings: Settings
) -> dict[str, Any]:
    """Have a case judged, once, and record the score; returns {"risk_score"}."""
    case = await store.read(case_id)
    if case.assessment is None and not case.status.is_final:
        answer, judge = await _ask(case.call, server=server, assessor=assessor, settings=settings)
        case = await _record(case, answer, judge, store=store, settings=settings)
    return {"risk_score": case.assessment.risk_score if case.assessment else None}


async def _ask(
    call: ToolCall, *, server: FastMCP, assessor: Assessor, settings: Settings
) -> tuple[Answer, str]:
    seconds = settings.atlas_assess_seconds
    try:
        tool = await tool_facts(server, call.tool_name)
        answer = await asyncio.wait_for(assessor.judge(call, tool), seconds)
        return Answer.model_validate(answer), assessor.name
    except asyncio.TimeoutError:
        reason = f"The assessor did not answer within {seconds:g} seconds."
    except ValidationError as error:
        reason = f"The assessor's answer cannot be used: {_mistakes(error)}."
    except Exception as error:
        reason = f"The assessor failed: {type(error).__name__}."
        logger.warning("The assessor failed: %s", type(error).__name__)
    return _worst(call, reason), f"{assessor.name} (failed)"


async def tool_facts(server: FastMCP, tool_name: str) -> ToolFacts:
    """What a tool says of itself; a tool that is not there says nothing."""
    tool = await server.get_tool(tool_name)
    hints = tool.annotations if tool else None
    return ToolFacts(
        name=tool_name,
        description=(tool.description or "") if tool else "",
        is_read_only=hints.read_only_hint if hints else None,
        is_destructive=hints.destructive_hint if hints else None,
        is_idempotent=hints.idempotent_hint if hints else None,
    )


def _worst(call: ToolCall, reason: str) -> Answer:
    rationale = f"{reason} A person decides."
    return Answer(
        risk_score=WORST_SCORE,
        classification="not assessed",
        action=call.tool_name[:200],
        rationale=rationale,
    )


def _mistakes(error: ValidationError) -> str:
    # Without the values: an assessor's answer may repeat the arguments.
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors())


async def _record(case: Case, answer: Answer, judge: str, *, store: CaseStore, settings: Settings) -> Case:
    assessment = Assessment(
        **answer.model_dump(),
        assessor=judge,
        threshold=settings.atlas_risk_threshold,
        arguments_sha256=case.call.arguments_sha256,
        assessed_at=now(),
    )

    def record(connection: Connection) -> Case:
        current = read_case(connection, case.case_id)
        if current.assessment is not None:  # a repeated call of the step was quicker
            return current
        insert_assessment(connection, case.case_id, assessment)
        ledger.append(
            connection,
            case.case_id,
            ledger.Action.ASSESSED,
            actor=judge,
            detail=assessment.model_dump(exclude={"assessed_at"}),
            at=assessment.assessed_at,
        )
        return current.model_copy(update={"assessment": assessment})

    return await store.change(case.case_id, record)
