"""Whether an approval carries a passkey's signature over this very case, where a rule asks for one."""

from sqlalchemy.engine import Connection

from atlas.models import Case
from atlas.people.votes import Vote


def check_passkey(connection: Connection, case: Case, vote: Vote) -> None:
    """Raise RuleRefuses where a passkey is asked for, and none signed."""
