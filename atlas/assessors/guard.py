"""Asks a model with care: a deadline, a strict reading of its answer, and a rest after five failures."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from atlas.assessors import Answer, Assessor, DurableAssessor, Question
from atlas.database import now
from atlas.errors import AssessorFailed
from atlas.models import Inquiry

FAILURES_BEFORE_REST = 5
REST_SECONDS = 60.0
CANCEL_SECONDS = 5.0
MOST_QUESTIONS = 256  # at once: the workflow engine has twice as many places, so that other calls go on

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Guard:
    """Stands between the gateway and one assessor; whatever goes wrong is raised as AssessorFailed.

    After five failures in a row the assessor is left alone for a minute. The next question then decides: an
    answer ends the rest, a failure begins the next one.
    """

    def __init__(
        self, assessor: Assessor, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.assessor = assessor
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._rests_until = 0.0
        self._open_questions = 0
        self._cancellations: set[asyncio.Task[None]] = set()

    @property
    def is_durable(self) -> bool:
        """Whether a question is asked in one step and its answer fetched in another."""
        return isinstance(self.assessor, DurableAssessor)

    @property
    def problem(self) -> str | None:
        """Why the assessor is left alone just now, for /readyz."""
        if self._clock() >= self._rests_until:
            return None
        return (
            f"It failed {self._failures} times in a row and is left alone for {REST_SECONDS:g} seconds; "
            "meanwhile a person decides."
        )

    async def judge(self, question: Question) -> Answer:
        """The answer to a question, within the deadline."""
        self._refuse_while_resting()
        return await self._watched(lambda: self._read(self.assessor.judge(question)), self._seconds)

    async def ask(self, question: Question) -> Inquiry:
        """Begin to judge; the deadline runs from here."""
        self._refuse_while_resting()
        assessor, asked_at = self._durable(), now()
        reference = await self._watched(lambda: assessor.ask(question), self._seconds)
        return Inquiry(assessor=assessor.name, reference=reference, asked_at=asked_at)

    async def fetch(self, inquiry: Inquiry) -> Answer:
        """The answer to what was asked, by this process or one before it, within what is left of the time."""
        assessor, left = self._durable(), self._seconds - _age(inquiry.asked_at)
        try:
            # A moment at least: after a long stop the answer may have been waiting for us.
            return await self._watched(
                lambda: self._read(assessor.fetch(inquiry.reference)), max(left, self._seconds / 10)
            )
        except AssessorFailed:
            task = asyncio.create_task(self._cancel(assessor, inquiry.reference))
            self._cancellations.add(task)
            task.add_done_callback(self._cancellations.discard)
            raise

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
        if (problem := self.problem) is not None:
            raise AssessorFailed(reason=f"The assessor was not asked. {problem}")
        if self._open_questions >= MOST_QUESTIONS:
            raise AssessorFailed(reason=f"The assessor is busy with {MOST_QUESTIONS} other calls.")

    async def _watched(self, begin: Callable[[], Awaitable[Result]], seconds: float) -> Result:
        self._open_questions += 1
        try:
            begun = time.monotonic()
            result = await asyncio.wait_for(begin(), seconds)
            if time.monotonic() - begun > seconds:  # an assessor that never waits cannot be interrupted
                raise asyncio.TimeoutError
        except Exception as error:
            self._failed()
            raise AssessorFailed(reason=_reason(error, seconds=self._seconds)) from error
        finally:
            self._open_questions -= 1
        return result

    async def _read(self, awaited: Awaitable[Any]) -> Answer:
        answer = Answer.model_validate(await awaited)
        self._failures = 0  # only an answer ends a row of failures, not that a question was taken
        return answer

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES_BEFORE_REST:
            self._rests_until = self._clock() + REST_SECONDS
            logger.error("The assessor %s failed %d times in a row", self.assessor.name, self._failures)

    async def _cancel(self, assessor: DurableAssessor, reference: str) -> None:
        try:
            await asyncio.wait_for(assessor.cancel(reference), CANCEL_SECONDS)
        except Exception as error:
            # It runs on for nothing; the call itself has been decided on without it.
            logger.warning("A question to the assessor could not be cancelled: %s", type(error).__name__)


def _age(moment: datetime) -> float:
    return max(0.0, (now() - moment).total_seconds())


def _reason(error: Exception, *, seconds: float) -> str:
    """What the reviewer reads; never with what the assessor said, which may repeat the arguments."""
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
    return ".".join(str(part) for part in item["loc"] if part in Answer.model_fields) or "it"
