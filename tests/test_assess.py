"""Assessment: the shipped policy, and every way in which an assessor can fail."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from store import open_case, open_store, settings_of_test

from atlas.assess import Assessments
from atlas.assessors import ToolFacts
from atlas.decide import decide_by_score
from atlas.models import Case, Status, ToolCall
from atlas.notifications import Notifier

GOOD = {"risk_score": 12, "classification": "minimal", "action": "read", "rationale": "It only reads."}


class Says:
    """An assessor that answers with whatever a function makes."""

    name = "test assessor"

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    async def judge(self, call: ToolCall, tool: ToolFacts) -> Any:
        """Answer, raise, or wait for ever."""
        answer = self._make()
        return await answer if asyncio.iscoroutine(answer) else answer


async def assessed(directory: Path, make: Callable[[], Any]) -> Case:
    """The case after such an assessor was asked."""
    settings = settings_of_test(directory, atlas_assess_seconds=0.2)
    async with open_store(directory) as store:
        case = await open_case(store)
        assessments = Assessments(
            store=store,
            server=FastMCP("empty"),
            assessor=Says(make),
            settings=settings,
            notifier=Notifier(settings),
            decide=partial(decide_by_score, timeout=settings.atlas_review_timeout),
        )
        await assessments.assess(case.case_id)
        return await store.read(case.case_id)


def fail() -> Any:
    raise RuntimeError("secret: the model's key is 4711")


FAILURES = [
    # what the assessor does, what the reviewer reads
    (fail, "The assessor failed: RuntimeError."),
    (lambda: asyncio.sleep(60), "did not answer within 0.2 seconds"),
    (
        lambda: (time.sleep(0.3), GOOD)[1],
        "did not answer within 0.2 seconds",
    ),  # late, and not to be interrupted
    (lambda: None, "cannot be used"),
    (lambda: "risk_score: 3", "cannot be used"),
    (list, "cannot be used"),
    (dict, "risk_score: Field required"),
    (lambda: GOOD | {"risk_score": None}, "risk_score"),
    (lambda: GOOD | {"risk_score": "12"}, "risk_score"),
    (lambda: GOOD | {"risk_score": 12.0}, "risk_score"),
    (lambda: GOOD | {"risk_score": 70.5}, "risk_score"),
    (lambda: GOOD | {"risk_score": float("nan")}, "risk_score"),
    (lambda: GOOD | {"risk_score": True}, "risk_score"),
    (lambda: GOOD | {"risk_score": -1}, "risk_score"),
    (lambda: GOOD | {"risk_score": 101}, "risk_score"),
    (lambda: {"risk_score": 3}, "classification: Field required"),
    (lambda: GOOD | {"rationale": 5}, "rationale"),
    (lambda: GOOD | {"rationale": "x" * 10_000_000}, "rationale"),
]


@pytest.mark.parametrize(("make", "reason"), FAILURES)
async def test_whatever_goes_wrong_a_person_decides(
    tmp_path: Path, make: Callable[[], Any], reason: str
) -> None:
    """The score is 100, and the reason is on record without what the assessor said."""
    case = await assessed(tmp_path, make)
    assert case.status is Status.PENDING_REVIEW
    assert case.assessment is not None and case.assessment.risk_score == 100
    assert reason in case.assessment.rationale and "4711" not in case.assessment.rationale
    assert len(case.assessment.rationale) < 1000


@pytest.mark.parametrize(
    ("score", "status"),
    [(0, "AUTHORIZED"), (69, "AUTHORIZED"), (70, "PENDING_REVIEW"), (100, "PENDING_REVIEW")],
)
async def test_the_threshold_divides_what_needs_a_person(tmp_path: Path, score: int, status: str) -> None:
    """Below 70 it is approved by itself, from 70 a person decides."""
    case = await assessed(tmp_path, lambda: GOOD | {"risk_score": score})
    assert case.status.value == status
