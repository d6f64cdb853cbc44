"""Stage 2: a call gets its risk score; whatever goes wrong on the way, a person decides."""

import asyncio
import logging
import time
from collections.abc import Callable

from fastmcp import FastMCP
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.assessors import Assessor, ToolFacts
from atlas.cases import CaseStore, add_assessment, read_case
from atlas.database import now
from atlas.models import Assessment, Case, Status, ToolCall
from atlas.notifications import Notifier
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


class Assessments:
    """Has cases judged, records each score once, and lets `decide` act on it in the same transaction."""

    def __init__(
        self,
        *,
        store: CaseStore,
        server: FastMCP,
        assessor: Assessor,
        settings: Settings,
        notifier: Notifier,
        decide: Callable[[Connection, Case], Case],
    ) -> None:
        self._store = store
        self._server = server
        self._assessor = assessor
        self._settings = settings
        self._notifier = notifier
        self._decide = decide

    async def assess(self, case_id: str) -> Case:
        """Judge a case unless it was judged before, and tell the reviewer if it waits for a person now."""
        case = await self._store.read_call(case_id)
        assessment = None
        if case.assessment is None and case.status is Status.QUEUED:  # else a person was quicker
            assessment = await self._judge(case.call)

        def record(connection: Connection) -> Case:
            current = read_case(connection, case_id)
            if assessment is not None and current.assessment is None:
                current = _record(connection, current, assessment)
            return self._decide(connection, current)

        case = await self._store.change(case_id, record)
        if case.status is Status.PENDING_REVIEW:
            self._notifier.review_requested(case)
        return case

    async def _judge(self, call: ToolCall) -> Assessment:
        answer, judge = await self._ask(call)
        return Assessment(
            **answer.model_dump(),
            assessor=judge,
            threshold=self._settings.atlas_risk_threshold,
            arguments_sha256=call.arguments_sha256,
            assessed_at=now(),
        )

    async def _ask(self, call: ToolCall) -> tuple[Answer, str]:
        """The assessor's answer and its name; on any failure the worst score, with the reason."""
        seconds, name = self._settings.atlas_assess_seconds, self._assessor.name
        try:
            tool = await tool_facts(self._server, call.tool_name)
            begun = time.monotonic()
            answer = await asyncio.wait_for(self._assessor.judge(call, tool), seconds)
            if time.monotonic() - begun > seconds:  # an assessor that never waits cannot be interrupted
                raise asyncio.TimeoutError
            return Answer.model_validate(answer), name
        except asyncio.TimeoutError:
            reason = f"The assessor did not answer within {seconds:g} seconds."
        except ValidationError as error:
            reason = f"The assessor's answer cannot be used: {_mistakes(error)}."
        except Exception as error:
            reason = f"The assessor failed: {type(error).__name__}."
        logger.warning("A person decides, because there is no assessment: %s", reason)
        return _worst(call, reason), f"{name} (failed)"


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


def _record(connection: Connection, case: Case, assessment: Assessment) -> Case:
    ledger.append(
        connection,
        case.case_id,
        ledger.Action.ASSESSED,
        actor=assessment.assessor,
        detail=assessment.model_dump(exclude={"assessed_at"}),
        at=assessment.assessed_at,
    )
    return add_assessment(connection, case, assessment)
