"""General rules for tools that no rule of the policy names."""

from pydantic import Field

from atlas.assessors import Question
from atlas.models import Frozen


class GeneralScore(Frozen):
    """How risky a call looks by what its tool says of itself."""

    score: int = Field(ge=0, le=100)
    classification: str
    reasons: tuple[str, ...]


def score_generally(question: Question) -> GeneralScore:
    """Score a call by the annotations of its tool, which are hints that a server gives about itself."""
    tool = question.tool
    if tool.is_destructive and not tool.is_read_only:
        return _scored(90, "the tool says it is destructive")
    if tool.is_read_only and not tool.is_destructive:
        return _scored(20, "the tool says it only reads")
    return _scored(100, "nothing is known of what the tool does")


def _scored(score: int, reason: str) -> GeneralScore:
    return GeneralScore(score=score, classification="unnamed tool", reasons=(reason,))
