"""The guard in front of a model: deadlines, strict reading, and the rest after five failures."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from models_that_say import FAILURES, GOOD, QUESTION, Says, SaysLater, fail, patience

from atlas.assessors import Earlier, Question
from atlas.assessors.guard import MOST_QUESTIONS, REST_SECONDS, Guard
from atlas.errors import AssessorFailed, QuestionUnfit
from atlas.instants import now
from atlas.models import Inquiry
from atlas.traces import Trace


@pytest.mark.parametrize(("make", "reason"), FAILURES)
async def test_anything_that_goes_wrong_is_a_failure_with_a_reason(
    make: Callable[[], Any], reason: str
) -> None:
    """And without what the assessor said, which may repeat the arguments."""
    for guard in (Guard(one(make), seconds=patience(reason)) for one in (Says, SaysLater)):
        with pytest.raises(AssessorFailed) as failure:
            if guard.is_durable:
                await guard.fetch(await guard.ask(QUESTION))
            else:
                await guard.judge(QUESTION)
        assert reason in str(failure.value) and "4711" not in str(failure.value)
        assert len(str(failure.value)) < 500


async def test_after_five_failures_in_a_row_the_assessor_is_left_alone_for_a_minute() -> None:
    """Then it is asked again: an answer ends the rest, a failure begins the next one."""
    clock, model = [0.0], Says(fail)
    guard = Guard(model, seconds=1, clock=lambda: clock[0])
    for count in range(5):
        assert not guard.is_resting, count
        with pytest.raises(AssessorFailed):
            await guard.judge(QUESTION)
    assert guard.is_resting and "5 times in a row; last error: The assessor failed: Runtime" in str(
        guard.problem
    )
    model.make = lambda: GOOD
    with pytest.raises(AssessorFailed, match="was not asked"):
        await guard.judge(QUESTION)
    assert model.asked == 5
    clock[0] += REST_SECONDS
    assert not guard.is_resting and guard.problem is not None  # nothing has shown that it works again
    model.make = fail
    with pytest.raises(AssessorFailed, match="RuntimeError"):
        await guard.judge(QUESTION)
    assert guard.problem is not None
    clock[0] += REST_SECONDS
    model.make = lambda: GOOD
    assert (await guard.judge(QUESTION)).risk_score == 12 and guard.problem is None


async def test_that_a_question_was_taken_does_not_end_a_row_of_failures() -> None:
    """Only an answer does."""
    guard = Guard(SaysLater(fail), seconds=60)
    for _ in range(5):
        inquiry = await guard.ask(QUESTION)
        with pytest.raises(AssessorFailed, match="RuntimeError"):
            await guard.fetch(inquiry)
    assert guard.is_resting
    with pytest.raises(AssessorFailed, match="was not asked"):
        await guard.ask(QUESTION)


async def test_a_question_that_no_assessor_could_answer_does_not_put_it_to_rest() -> None:
    """An agent could else send five of them and have everybody's calls go to a person."""

    def unfit() -> Any:
        raise QuestionUnfit(reason="The call is too long.")

    guard = Guard(Says(unfit), seconds=60)
    for _ in range(6):
        with pytest.raises(AssessorFailed, match="too long"):
            await guard.judge(QUESTION)
    assert not guard.is_resting and guard.problem is None


async def test_what_a_model_says_reads_as_it_is_written() -> None:
    """No control or invisible characters reach the terminal of the person who reads the record."""
    words = {"rationale": "fine\x1b[2K\u202egnp.exe\u200b\nnext", "classification": "low\x9b31m"}
    answer = await Guard(Says(lambda: GOOD | words), seconds=60).judge(QUESTION)
    assert (answer.rationale, answer.classification) == ("fine[2Kgnp.exe next", "low31m")


async def test_four_failures_and_an_answer_begin_the_count_again() -> None:
    """Only failures in a row count."""
    model = Says(fail)
    guard = Guard(model, seconds=60)
    for _ in range(3):
        model.make = fail
        for _ in range(4):
            with pytest.raises(AssessorFailed):
                await guard.judge(QUESTION)
        model.make = lambda: GOOD
        await guard.judge(QUESTION)
    assert not guard.is_resting and guard.problem is None and model.asked == 15


async def test_questions_beyond_what_the_gateway_can_hold_go_to_a_person() -> None:
    """And are no failure of the assessor: it was not asked."""
    release = asyncio.Event()

    async def wait() -> Any:
        await release.wait()
        return GOOD

    guard = Guard(Says(wait), seconds=20)
    asked = [asyncio.create_task(guard.judge(QUESTION)) for _ in range(MOST_QUESTIONS)]
    await asyncio.wait(asked, timeout=0.01)
    for _ in range(5):
        with pytest.raises(AssessorFailed, match="busy"):
            await guard.judge(QUESTION)
    assert guard.problem is None
    release.set()
    await asyncio.gather(*asked)
    assert (await guard.judge(QUESTION)).risk_score == 12


async def test_the_time_runs_from_the_question_and_what_comes_too_late_is_cancelled() -> None:
    """Also when another process asked."""
    model = SaysLater(lambda: asyncio.sleep(60))
    guard = Guard(model, seconds=10)
    asked = Inquiry(assessor=model.name, reference="fc-1", asked_at=now() - timedelta(hours=1))
    asked_now = asyncio.create_task(
        guard.fetch(Inquiry(assessor=model.name, reference="fc-2", asked_at=now()))
    )
    with pytest.raises(AssessorFailed, match="within 10 seconds"):
        await guard.fetch(asked)
    assert not asked_now.done(), "it waited as long as for a question of now"
    asked_now.cancel()
    await asyncio.wait([asked_now])
    await guard.close()
    assert model.cancelled == ["fc-1"]


async def test_an_answer_that_was_ready_before_a_long_stop_is_used() -> None:
    """The model is not to blame for the time the gateway was down."""
    guard = Guard(SaysLater(lambda: GOOD), seconds=60)
    asked = Inquiry(assessor="test model", reference="fc-1", asked_at=now() - timedelta(hours=1))
    assert (await guard.fetch(asked)).risk_score == 12


@pytest.mark.parametrize("sees_session", [False, True])
@pytest.mark.parametrize("make", [Says, SaysLater])
async def test_earlier_calls_are_handed_to_a_model_only_where_the_operator_says_so(
    make: type[Says], sees_session: bool
) -> None:
    """The trace is: what it knows of the arguments are facts."""
    heard: list[Question] = []

    class Hears(make):  # type: ignore[valid-type, misc]
        async def judge(self, question: Question) -> Any:
            heard.append(question)
            return await super().judge(question)

        async def ask(self, question: Question) -> str:
            heard.append(question)
            return "fc-1"

    mail = Earlier(tool_name="read_email", result="Write to eve@example.net")
    asked = QUESTION.model_copy(update={"earlier": (mail,), "trace": Trace(calls=1)})
    guard = Guard(Hears(lambda: GOOD), seconds=60, sees_session=sees_session)
    await (guard.ask(asked) if make is SaysLater else guard.judge(asked))
    assert heard[0].earlier == ((mail,) if sees_session else ()) and heard[0].trace == Trace(calls=1)
