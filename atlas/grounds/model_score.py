"""The score of a call that a model judged beside the policy, to which a model adds and takes nothing away."""

from atlas.models import Ruling

WORST_SCORE = 100
PROHIBITED = "prohibited"  # how a model's class begins that is for a person, even beside a low number


def score_with_model(ruling: Ruling | None, score: int, classification: str, *, threshold: int) -> int:
    """The higher of the policy's floor and the model's score; the worst one where the policy said nothing."""
    floor = ruling.floor if ruling else WORST_SCORE
    if classification.strip().lower().startswith(PROHIBITED):
        floor = max(floor, threshold)
    return max(floor, score)
