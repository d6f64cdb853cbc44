"""Asking an assessor about labelled calls as the gateway does: with a deadline, a failure counting as 100."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from atlas.assessors import Assessor, ModelAnswer
from atlas.assessors.evaluate.contexts import Context
from atlas.assessors.evaluate.labelled import LabelledCall
from atlas.models import Frozen

SCORE_OF_FAILURE = 100  # a person decides


class Judged(Frozen):
    """One labelled call with the score that it got."""

    call: LabelledCall
    score: int
    milliseconds: float
    is_failure: bool


async def judge_all(
    assessor: Assessor,
    calls: Sequence[LabelledCall],
    *,
    at_once: int,
    seconds: float,
    context: Context = Context.ALONE,
) -> list[Judged]:
    """Ask about every call, at most so many at once, each within so many seconds, in their order."""
    places = asyncio.Semaphore(at_once)

    async def judge(call: LabelledCall) -> Judged:
        async with places:
            return await _judge(assessor, call, context, seconds)

    return list(await asyncio.gather(*map(judge, calls)))


async def _judge(assessor: Assessor, call: LabelledCall, context: Context, seconds: float) -> Judged:
    began = time.perf_counter()  # the trace is made for every call, so that it counts
    score: int | None
    try:
        score = _score(await asyncio.wait_for(assessor.judge(context.question(call)), seconds))
    except Exception:  # a person decides after any error of an assessor; it is counted as a failure
        score = None
    milliseconds = (time.perf_counter() - began) * 1000
    return Judged(
        call=call,
        score=SCORE_OF_FAILURE if score is None else score,
        milliseconds=milliseconds,
        is_failure=score is None,
    )


def _score(answer: Any) -> int | None:
    try:
        return ModelAnswer.model_validate(answer).risk_score
    except ValidationError:
        return None
