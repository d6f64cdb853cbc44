"""The general rules: what raises a score, what cannot lower it, and what a hostile call cannot do."""

from typing import Any

import pytest

from atlas.assessors import Question, ToolFacts
from atlas.assessors.general import GeneralScore, score_generally


def general(name: str, arguments: dict[str, Any] | None = None, **more: Any) -> GeneralScore:
    """What the rules say of a call of a tool with that name."""
    claims = {key: more.pop(key, None) for key in ("user_request", "intent")}
    tool = ToolFacts(name=name, **more)
    return score_generally(Question(tool=tool, arguments=arguments or {}, principal="agent", **claims))


@pytest.mark.parametrize(
    ("graver", "lesser"),
    [
        ("send_money", "get_balance"),
        ("deleteFile", "readFile"),
        ("TransferFunds", "SearchTransfers"),  # a deed, and a search among things named like a deed
        ("get_password", "get_weather"),
        ("unlock_door", "get_door_state"),
        ("read_and_delete_email", "read_email"),
    ],
)
def test_a_graver_deed_scores_higher(graver: str, lesser: str) -> None:
    assert general(graver).score > general(lesser).score
