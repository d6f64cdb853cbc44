"""Stage 2: a call gets its risk score; if anything goes wrong on the way, a person decides.

The policy rules first. A model, where one is configured, is asked as well; the score is the higher of the
policy's floor and the model's score, so that a model can add to the policy but never go below it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio
from fastmcp import FastMCP
from pydantic import ValidationError
from sqlalchemy.engine import Connection

from atlas.agents.arguments import as_the_tool_takes_them
from atlas.assessors import Assessor, ModelAnswer, Question, ToolFacts
from atlas.assessors.guard import Guard
from atlas.assessors.policy import ConditionFailed
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.cases.definitions import keep_definition
from atlas.cases.judgements import record_assessment, record_inquiry
from atlas.cases.store import CaseStore, read_case
from atlas.database.known_policy import check_judged_by
from atlas.errors import AssessorFailed, PolicyNotTaken
from atlas.grounds.both_calls import of_both_calls
from atlas.grounds.first_seen import as_first_seen
from atlas.grounds.model_score import WORST_SCORE, score_with_model
from atlas.grounds.present import NOT_THERE, Present, facts_of, fit_to_show
from atlas.instants import now
from atlas.models import HAS_FAILED, NO_TOOL, Assessment, Case, Inquiry, Ruling, Status, ToolCall
from atlas.origins.memory import Memory
from atlas.origins.outside import is_outside
from atlas.origins.tracing import trace
from atlas.settings import Settings
from atlas.traces import NO_ORIGINS

LOOKUP_SECONDS = 10.0  # for a tool, when a call that was judged is to be approved or executed
CHANGED_MEANWHILE = "The tool changed while a model judged the call."
TOO_LONG = "The call is too long for a model to see all of it, or holds what cannot be shown to one."

logger = logging.getLogger(__name__)


class Assessments:
    """Has cases judged, and records each score once."""

    def __init__(
        self,
        *,
        store: CaseStore,
        server: FastMCP,
        policy: PolicyInForce,
        model: Guard | None,
        settings: Settings,
        memory: Memory,
        handed: Callable[[Case], Present | None] = lambda case: None,
    ) -> None:
        self._store = store
        self._server = server
        self._policy = policy
        self._model = model
        self._threshold = settings.atlas_risk_threshold
        self._memory = memory
        self._trusts_request = settings.atlas_trust_user_request
        self._handed = handed  # the tool as the admission saw it a moment ago
        self._kept: set[str] = set()  # digests of definitions that are on record

    async def judge(self, case_id: str) -> Assessment | Inquiry | None:
        """What the policy and the model say of a case; None if it is judged already, or decided.

        A model elsewhere is only asked at first, which gives an inquiry; judging the case again fetches the
        answer, in this process or in another one.
        """
        case = await self._store.read_call(case_id)
        if case.assessment is not None or case.status is not Status.QUEUED:  # a person was quicker
            return None
        return await self._judge(case)

    def record(self, connection: Connection, case_id: str, judged: Assessment | Inquiry | None) -> Case:
        """Write what was judged, or asked, unless another run was quicker; raises PolicyReplaced."""
        case = read_case(connection, case_id)
        if isinstance(judged, Inquiry):
            # Two runs may have asked; the question that is on record first is the one that counts.
            return case if case.inquiry or case.assessment else record_inquiry(connection, case, judged)
        if judged is not None and case.assessment is None:
            check_judged_by(connection, judged.ruling.policy_sha256 if judged.ruling else None)
            case = record_assessment(connection, case, judged)
        return case

    def drop_unused(self, judged: Assessment | Inquiry | None, case: Case) -> None:
        """Take back a question whose answer no case waits for."""
        if isinstance(judged, Inquiry) and judged != case.inquiry and self._model is not None:
            self._model.drop(judged)

    async def rule(self, case: Case) -> Assessment:
        """What the policy alone says of a call; if it cannot be applied, the worst score.

        Where a person changed the arguments, it asks of people what it asks for both calls. Raises
        PolicyNotTaken where another policy is in force than this gateway can judge by.
        """
        await self._policy.renew()
        present = await self._present(case.call.tool_name)
        ruled = await self._rule(case.call_in_force, await self._question(case, present))
        if case.edit is None:
            return ruled
        question = await self._question(case.model_copy(update={"edit": None}), present)
        return of_both_calls(await self._rule(case.call, question), ruled)

    async def renew_policy(self) -> None:
        """Judge by what is in force by now; where that cannot be, people decide."""
        with suppress(PolicyNotTaken):
            await self._policy.renew()

    @property
    def policy_sha256(self) -> str:
        """The digest of the policy in force."""
        return self._policy.sha256

    async def definition_sha256(self, case: Case) -> str | None:
        """The digest of the definition of a case's tool; None if there is no such tool."""
        present = self._handed(case)
        return (await self._present(case.call.tool_name) if present is None else present).sha256

    async def _present(self, tool_name: str) -> Present:
        """The tool as it is now; none if it is not there, or cannot be looked up or shown at the moment."""
        try:
            with anyio.fail_after(LOOKUP_SECONDS):
                return fit_to_show(await self._server.get_tool(tool_name))
        except Exception as error:  # nothing is approved or executed without it
            logger.warning("The tool %s cannot be looked up: %s", tool_name, type(error).__name__)
            return NOT_THERE

    async def _judge(self, case: Case) -> Assessment | Inquiry:
        present = self._handed(case) or fit_to_show(await self._server.get_tool(case.call.tool_name))
        question = await self._question(case, present)
        ruled = await self._rule(case.call_in_force, question)
        if self._model is None or ruled.ruling is None or ruled.ruling.floor >= WORST_SCORE:
            return ruled  # denied, without a ruling, or so high that no model could change it
        try:
            if case.inquiry is None and await self._model.sees_only_a_part(question):
                return _worst(ruled, TOO_LONG, assessor=self._model.assessor.name)
            if case.inquiry is None and self._model.is_durable:
                asked = await self._model.ask(question)
                return asked.model_copy(update={"definition_sha256": _judged(question.tool)})
            answer = await self._answer(case, question, self._model)
            ruled = await self._rule(case.call_in_force, question)  # the policy may be another one by now
            return ruled if ruled.is_denied else _with_answer(ruled, answer, self._model.assessor)
        except AssessorFailed as failure:
            logger.warning("A person decides on %s, because no model judged it: %s", case.case_id, failure)
            return _worst(ruled, str(failure), assessor=self._model.assessor.name)

    async def _answer(self, case: Case, question: Question, model: Guard) -> ModelAnswer:
        if case.inquiry is not None and case.inquiry.assessor == model.assessor.name:
            if case.inquiry.definition_sha256 not in (None, _judged(question.tool)):
                raise AssessorFailed(reason=CHANGED_MEANWHILE)
            return await model.fetch(case.inquiry)
        return await model.judge(question)

    async def _rule(self, call: ToolCall, question: Question) -> Assessment:
        if (refusal := self._policy.refusal) is not None:
            return _worst(self._assessment(call, question, None), refusal, assessor=self._policy.name)
        if question.trace is None:
            reason = NO_ORIGINS
            ruling = self._policy.ruling_at_worst(question, reason=reason)
            return _worst(self._assessment(call, question, ruling), reason, assessor=self._policy.name)
        try:
            ruling = await self._policy.rule(question)
            ruling = await as_first_seen(
                ruling, question.tool, self._store.database, threshold=self._threshold
            )
            return self._assessment(call, question, ruling)
        except ConditionFailed as failure:
            logger.warning("A person decides, because a condition of the policy failed: %s", failure)
            ruled, reason = self._assessment(call, question, failure.ruling), str(failure)
        except Exception as error:
            logger.warning("A person decides, because the policy failed: %s", type(error).__name__)
            reason = f"The policy could not be applied: {type(error).__name__}."
            ruled = self._assessment(call, question, None)
        return _worst(ruled, reason, assessor=ruled.assessor)

    def _assessment(self, call: ToolCall, question: Question, ruling: Ruling | None) -> Assessment:
        return Assessment(
            risk_score=max(ruling.score, ruling.floor) if ruling else WORST_SCORE,
            classification=ruling.classification if ruling else "",
            action=call.tool_name[:200],
            rationale=ruling.rationale if ruling else "",
            assessor=f"policy {ruling.policy_sha256[:12]}" if ruling else self._policy.name,
            threshold=self._threshold,
            arguments_sha256=call.arguments_sha256,
            assessed_at=now(),
            ruling=ruling,
            definition_sha256=_judged(question.tool),
            is_outside=is_outside(question.tool, by_policy=self._policy.trust_of(question.tool)),
            trace=question.trace,
        )

    async def tool(self, tool_name: str) -> ToolFacts:
        """What a tool says of itself now, with its definition on record; it has none if it is not there."""
        return await self._kept_facts(await self._present(tool_name), tool_name)

    async def untraced(self, case: Case) -> Question:
        """The call alone, as its tool takes it, without what its agent read before."""
        return await self._plain(case, self._handed(case) or await self._present(case.call.tool_name))

    async def _question(self, case: Case, present: Present) -> Question:
        return await self._traced(await self._plain(case, present), case)

    async def _plain(self, case: Case, present: Present) -> Question:
        call = case.call_in_force
        facts = await self._kept_facts(present, call.tool_name)
        try:
            arguments = as_the_tool_takes_them(present.tool, call.arguments)
        except ValidationError:  # the tool has changed since they were checked, and so a person decides
            arguments = call.arguments
        return Question(
            tool=facts,
            arguments=call.with_answers(arguments),
            answers_as=call.answers_name,
            principal=call.principal,
            intent=call.intent,
            user_request=call.user_request,
        )

    async def _traced(self, question: Question, case: Case) -> Question:
        """The question with what its agent read before; without a trace if that cannot be found out."""
        try:
            past = await self._memory.earlier(case)
            known = {"knows_session": past.is_whole, "read_unrecorded": past.read_unrecorded}
            question = question.model_copy(update={"earlier": past.earlier} | known)
            made = trace(question, trusts_request=self._trusts_request)
        except Exception as error:  # a person decides
            logger.warning("The trace of %s cannot be made: %s", case.case_id, type(error).__name__)
            return question.model_copy(update={"trace": None})
        return question.model_copy(update={"trace": made})

    async def _kept_facts(self, present: Present, tool_name: str) -> ToolFacts:
        """What the tool says of itself, with its definition on record before anything refers to it."""
        definition = present.definition
        if definition is not None and definition.sha256 not in self._kept:
            await self._store.database.write(partial(keep_definition, definition=definition))
            self._kept.add(definition.sha256)
        return facts_of(present, tool_name)


def _judged(tool: ToolFacts) -> str:
    """The digest of what is judged, so that what was judged without the tool is not taken for it later."""
    return tool.definition_sha256 or NO_TOOL


def _worst(ruled: Assessment, reason: str, *, assessor: str) -> Assessment:
    """The assessment of a call that could not be judged: the worst score, with the reason."""
    return ruled.model_copy(
        update={
            "risk_score": WORST_SCORE,
            "classification": "not assessed",
            "rationale": f"{reason} A person decides.",
            "assessor": f"{assessor}{HAS_FAILED}",
            "assessed_at": now(),
        }
    )


def _with_answer(ruled: Assessment, answer: ModelAnswer, assessor: Assessor) -> Assessment:
    """The higher of the policy's floor and the model's score, with the model's reasons."""
    score, said = answer.risk_score, answer.classification
    return ruled.model_copy(
        update={
            "risk_score": score_with_model(ruled.ruling, score, said, threshold=ruled.threshold),
            "classification": answer.classification,
            "action": answer.action,
            "rationale": answer.rationale,
            "assessor": assessor.name,
            "assessed_at": now(),
            "model_score": answer.risk_score,
            "model": answer.model or assessor.model,
            "prompt_version": answer.version or assessor.prompt_version,
        }
    )
