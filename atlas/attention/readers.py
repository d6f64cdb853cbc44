"""Who reads the figures of others: supervisors alone. Each person reads their own."""

from sqlalchemy.engine import Connection

from atlas.errors import NotPermitted
from atlas.people.person import Person, Way
from atlas.settings import Settings

SUPERVISORS = "supervisors"  # the group whose members look after the others


def sees_others(connection: Connection, settings: Settings, person: Person) -> bool:
    """Whether a person may read the figures of others; in open mode everyone is one person."""
    return person.way is Way.OPEN or (person.is_signed and SUPERVISORS in person.groups)


def whose(person: Person, asked: str | None, *, is_supervisor: bool) -> str | None:
    """Whose figures are shown: of one person, or for a supervisor of all (None); raises NotPermitted."""
    if is_supervisor:
        return asked
    if asked not in (None, person.name):
        raise NotPermitted(reason="The figures of another person are for supervisors. You can read your own.")
    return person.name
