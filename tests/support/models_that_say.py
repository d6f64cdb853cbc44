"""Assessors that answer as a test says, at once or later, and the ways in which one can fail."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from atlas.assessors import Question, ToolFacts
from atlas.errors import AssessorFailed

GOOD = {"risk_score": 12, "classification": "minimal", "action": "read", "rationale": "It only reads."}


QUESTION = Question(tool=ToolFacts(name="read"), arguments={}, principal="agent")


class Says:
    """An assessor that answers with what a function makes."""

    name = "test model"
    model = None
    prompt_version = None

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make
        self.asked = 0

    async def judge(self, question: Question) -> Any:
        """ModelAnswer, raise, or wait for ever."""
        self.asked += 1
        answer = self.make()
        return await answer if asyncio.iscoroutine(answer) else answer

    async def close(self) -> None:
        """There is nothing to close."""


class SaysLater(Says):
    """The same, asked in one step and answering in another."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__(make)
        self.cancelled: list[str] = []
        self.reference = "fc-1"

    async def ask(self, question: Question) -> str:
        """Give a reference."""
        return self.reference

    async def fetch(self, reference: str) -> Any:
        """ModelAnswer as `judge` does."""
        return await self.judge(QUESTION)

    async def cancel(self, reference: str) -> None:
        """Note it."""
        self.cancelled.append(reference)


def fail() -> Any:
    raise RuntimeError("secret: the model's key is 4711")


def sulk() -> Any:
    raise AssessorFailed(reason="Modal does not know the function a/b.")


def patience(reason: str) -> float:
    """How many seconds to give an assessor that fails so: few where waiting is how it fails."""
    return 0.2 if "0.2 seconds" in reason else 60


FAILURES = [
    # what the assessor does, what the reviewer reads
    (fail, "The assessor failed: RuntimeError."),
    (sulk, "Modal does not know the function a/b."),
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
    (lambda: GOOD | {"secret 4711": 1}, "it: Extra inputs are not permitted"),
]
