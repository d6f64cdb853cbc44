"""The vote of a reviewer, as the webhook takes it and the stage that decides counts it."""

from dataclasses import dataclass

from atlas.models import Verdict


@dataclass(frozen=True)
class Vote:
    """What one reviewer says of a case."""

    verdict: Verdict
    reviewer: str
    reason: str | None
    is_signed: bool = False  # whether the reviewer's key has this name; else the name is a claim
    round_number: int = 1  # the round of the case that is approved; a rejection is about all of them
