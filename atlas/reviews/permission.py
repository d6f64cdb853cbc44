"""Whether the rules let a person approve a case: the one place where all of them are asked."""

from sqlalchemy.engine import Connection

from atlas.errors import AtlasError
from atlas.models import Case
from atlas.people.owners import check_owner
from atlas.people.votes import Vote
from atlas.reviews.attention import look_again
from atlas.reviews.eligibility import as_delegate
from atlas.reviews.passkey import check_passkey
from atlas.reviews.separation import check_separate
from atlas.reviews.together import check_together
from atlas.reviews.training import check_trained


def check_may_approve(connection: Connection, case: Case, vote: Vote, owners: frozenset[str]) -> Vote:
    """The vote, with the person for whom it is given; raises RuleRefuses or NotPermitted."""
    check_owner(case, vote, owners)
    vote = as_delegate(connection, case, vote)
    check_separate(connection, case, vote, owners)
    check_trained(connection, case, vote)
    check_passkey(connection, case, vote)
    check_together(case, vote)
    return vote


def ask_again(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """What to raise once this is on disk, where a rule asks a person a second time; None: it counts."""
    return look_again(connection, case, vote)
