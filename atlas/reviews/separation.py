"""Separation of duties: who has to do with the agent or with an earlier round does not approve."""

from sqlalchemy.engine import Connection

from atlas.models import Case
from atlas.people.votes import Vote


def check_separate(connection: Connection, case: Case, vote: Vote, owners: frozenset[str]) -> None:
    """Raise RuleRefuses where the rule wants other people, and this one is not."""
