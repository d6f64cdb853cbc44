"""Whether a person has the training that a rule asks for."""

from sqlalchemy.engine import Connection

from atlas.models import Case
from atlas.people.votes import Vote


def check_trained(connection: Connection, case: Case, vote: Vote) -> None:
    """Raise RuleRefuses where a training is missing, or over."""
