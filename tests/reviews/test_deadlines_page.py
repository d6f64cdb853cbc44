"""The examples of the page about deadlines are rules that say what the page says."""

from pathlib import Path

from documentation import checked

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.review_rules import Escalation, ReviewRules

HOUR = 3600


async def review_of(directory: Path, example: str) -> tuple[int | None, ReviewRules]:
    """What an example gives a change: the time to decide in seconds, and the rest."""
    path = directory / "policy.toml"
    path.write_text('unknown_tools = "person"\n' + checked(example))
    question = Question(tool=ToolFacts(name="modify_welfare_record"), arguments={}, principal="agent")
    ruling = await Policy(path, threshold=70).rule(question)
    return ruling.review_seconds, ruling.review


async def test_the_example_of_escalation_has_two_steps(tmp_path: Path) -> None:
    """After two hours the seniors, after six anna."""
    seconds, review = await review_of(tmp_path, "policy-escalate")
    assert seconds == 8 * HOUR
    assert review.escalations == (
        Escalation(after_seconds=2 * HOUR, to="group:seniors"),
        Escalation(after_seconds=6 * HOUR, to="anna"),
    )


async def test_the_example_of_undo_gives_twenty_seconds(tmp_path: Path) -> None:
    """And the usual time to decide."""
    seconds, review = await review_of(tmp_path, "policy-undo")
    assert (seconds, review.undo_seconds) == (None, 20)
