"""What a rule asks of a person's attention before an approval counts: a reason, time, a first choice."""

from sqlalchemy.engine import Connection

from atlas.errors import AtlasError
from atlas.models import Case
from atlas.people.votes import Vote


def look_again(connection: Connection, case: Case, vote: Vote) -> AtlasError | None:
    """What to raise after this was written, where the person is asked once more; None: the vote counts."""
    return None
