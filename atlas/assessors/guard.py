"""Asks a model with care: a deadline, a strict reading of its answer, and a rest after five failures."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from pydantic import ValidationError

from atlas.assessors import Assessor, DurableAssessor, ModelAnswer, Question
from atlas.assessors.prompt import is_cut, prepare
from atlas.errors import AssessorFailed, QuestionUnfit
from atlas.instants import now
from atlas.models import Inquiry

FAILURES_BEFORE_REST = 5
REST_SECONDS = 60.0
CANCEL_SECONDS = 5.0
MOST_QUESTIONS = 256  # at once: the workflow engine has twice as many places, so that other calls go on

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Heard(str, Enum):
    """What came of a question, for those who watch."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNFIT = "unfit"  # no assessor could have answered it
    REFUSED = "refused"  # it was not asked: the assessor rests, or is busy
    DROPPED = "dropped"  # the gateway stopped before there was an answer


class Guard:
    """Stands between the gateway and one assessor; anything that goes wrong is raised as AssessorFailed.

    After five failures in a row the assessor is left alone for a minute. The next question then decides: an
    answer ends the rest, a failure begins the next one.
    """

    def __init__(
        self,
        assessor: Assessor,
        *,
        seconds: float,
        sees_session: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.assessor = assessor
        self._sees_session = sees_session  # else no earlier call and no answer is handed to the assessor
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._last_failure = ""
        self._rests_until = 0.0
        self.rests = 0  # how often it was left alone
        self._open_questions = 0
        self._cancellations: set[asyncio.Task[None]] = set()
        self.listeners: list[Callable[[float, Heard], None]] = []  # of each question, and the seconds it took

    @property
    def is_durable(self) -> bool:
        """Whether a question is asked in one step and its answer fetched in another."""
        return isinstance(self.assessor, DurableAssessor)

    @property
    def is_resting(self) -> bool:
        """Whether the assessor is left alone just now."""
        return self._clock() < self._rests_until

    @property
    def problem(self) -> str | None:
        """What is wrong with the assessor as far as its last answers tell, for /readyz."""
        if not self._failures:
            return None
        rest = " It is left alone for a minute; meanwhile a person decides." if self.is_resting else ""
        return f"It failed {self._failures} times in a row; last error: {self._last_failure}{rest}"

    async def judge(self, question: Question) -> ModelAnswer:
        """The answer to a question, within the deadline."""
        self._refuse_while_resting()
        told = self._told(question)
        return await self._watched(lambda: self._read(self.assessor.judge(told)), self._seconds)

    async def ask(self, question: Question) -> Inquiry:
        """Begin to judge; the deadline runs from here."""
        self._refuse_while_resting()
        assessor, asked_at = self._durable(), now()
        reference = await self._watched(lambda: assessor.ask(self._told(question)), self._seconds)
        return Inquiry(assessor=assessor.name, reference=reference, asked_at=asked_at)

    async def fetch(self, inquiry: Inquiry) -> ModelAnswer:
        """The answer to what was asked, by this process or one before it, within what is left of the time."""
        assessor, left = self._durable(), self._seconds - _age(inquiry.asked_at)
        try:
            # A moment at least: after a long stop the answer may have been waiting for us.
            return await self._watched(
                lambda: self._read(assessor.fetch(inquiry.reference)), max(left, self._seconds / 10)
            )
        except AssessorFailed:
            self._cancel_later(assessor, inquiry.reference)
            raise

    def _told(self, question: Question) -> Question:
        """The question as far as it may leave; of the trace a payload takes facts, and no passages."""
        return question if self._sees_session else question.model_copy(update={"earlier": ()})

    async def sees_only_a_part(self, question: Question) -> bool:
        """Whether a model would not see the whole call; what it has not seen it cannot have judged."""
        try:
            return await asyncio.wait_for(prepare(is_cut, question), self._seconds)
        except asyncio.TimeoutError:
            return True

    def drop(self, inquiry: Inquiry) -> None:
        """Stop the work on a question whose answer no one will fetch."""
        if isinstance(self.assessor, DurableAssessor):
            self._cancel_later(self.assessor, inquiry.reference)

    async def close(self) -> None:
        """Let the assessor give back its connections."""
        if self._cancellations:
            await asyncio.wait(self._cancellations, timeout=CANCEL_SECONDS)
        await self.assessor.close()

    def _durable(self) -> DurableAssessor:
        if not isinstance(self.assessor, DurableAssessor):
            raise AssessorFailed(reason="The assessor was changed while the call was being judged.")
        return self.assessor

    def _refuse_while_resting(self) -> None:
        if self.is_resting or self._open_questions >= MOST_QUESTIONS:
            self._tell(Heard.REFUSED)
        if self.is_resting:
            raise AssessorFailed(reason=f"The assessor was not asked. {self.problem}")
        if self._open_questions >= MOST_QUESTIONS:
            raise AssessorFailed(reason=f"The assessor is busy with {MOST_QUESTIONS} other calls.")

    async def _watched(self, begin: Callable[[], Awaitable[Result]], seconds: float) -> Result:
        self._open_questions += 1
        begun, heard = time.monotonic(), Heard.DROPPED
        try:
            result = await asyncio.wait_for(begin(), seconds)
            if time.monotonic() - begun > seconds:  # an assessor that never waits cannot be interrupted
                raise asyncio.TimeoutError
            heard = Heard.ANSWERED
        except QuestionUnfit:
            heard = Heard.UNFIT
            raise  # no assessor could do better: an agent's unfit questions must not put it to rest
        except Exception as error:
            heard, reason = Heard.FAILED, _reason(error, seconds=self._seconds)
            self._failed(reason)
            raise AssessorFailed(reason=reason) from error
        finally:
            self._open_questions -= 1
            self._tell(heard, time.monotonic() - begun)
        return result

    def _tell(self, heard: Heard, seconds: float = 0.0) -> None:
        for listener in self.listeners:
            listener(seconds, heard)

    async def _read(self, awaited: Awaitable[Any]) -> ModelAnswer:
        answer = ModelAnswer.model_validate(await awaited)
        self._failures = 0  # only an answer ends a row of failures; a question that was taken does not
        return answer

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self._last_failure = reason
        if self._failures >= FAILURES_BEFORE_REST:
            self._rests_until = self._clock() + REST_SECONDS
            self.rests += 1
            logger.error("The assessor %s is left alone for a minute: %s", self.assessor.name, self.problem)

    def _cancel_later(self, assessor: DurableAssessor, reference: str) -> None:
        task = asyncio.create_task(self._cancel(assessor, reference))
        self._cancellations.add(task)
        task.add_done_callback(self._cancellations.discard)

    async def _cancel(self, assessor: DurableAssessor, reference: str) -> None:
        try:
            await asyncio.wait_for(assessor.cancel(reference), CANCEL_SECONDS)
        except Exception as error:
            # It runs on for nothing; the call itself has been decided on without it.
            logger.warning("A question to the assessor could not be cancelled: %s", type(error).__name__)


def _age(moment: datetime) -> float:
    return max(0.0, (now() - moment).total_seconds())


def _reason(error: Exception, *, seconds: float) -> str:
    """What the reviewer reads, without the words of the assessor: they may repeat the arguments."""
    if isinstance(error, AssessorFailed):
        return str(error)
    if isinstance(error, asyncio.TimeoutError):
        return f"The assessor did not answer within {seconds:g} seconds."
    if isinstance(error, ValidationError):
        return f"The assessor's answer cannot be used: {_mistakes(error)}."
    return f"The assessor failed: {type(error).__name__}."


def _mistakes(error: ValidationError) -> str:
    items = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{_place(item)}: {item['msg']}" for item in items)


def _place(item: Any) -> str:
    # The name of an unknown field is the assessor's word; only ours are repeated.
    return ".".join(str(part) for part in item["loc"] if part in ModelAnswer.model_fields) or "it"
