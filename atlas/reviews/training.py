"""Whether a person has the training that a rule asks for: the one who acts, also for another."""

from atlas.errors import RuleRefuses
from atlas.instants import moment
from atlas.people.votes import Vote
from atlas.reviews.situation import Situation


def check_trained(situation: Situation, vote: Vote) -> None:
    """Raise RuleRefuses where a training is missing, or over."""
    for scope in situation.rules.trainings:
        if not situation.directory.is_trained(vote.reviewer, scope):
            reason = f"To approve it takes a training for {scope}, and {_state(situation, vote, scope)}."
            raise RuleRefuses(rule="training", reason=f"{reason} {vote.reviewer} can reject it.")


def _state(situation: Situation, vote: Vote, scope: str) -> str:
    """What is known of a training that does not count."""
    known = situation.directory.trainings(vote.reviewer, scope)
    over = [one.until for one in known if one.ended_at is None and one.until is not None]
    if over:
        return f"that of {vote.reviewer} was over at {moment(max(over))}"
    taken_back = "was taken back" if known else "is not on record"
    return f"that of {vote.reviewer} {taken_back}"
