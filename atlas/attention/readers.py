"""Whose figures a person reads: their own, and a supervisor those of all."""

from atlas.errors import NotPermitted
from atlas.people.person import Person


def whose(person: Person, asked: str | None, *, is_supervisor: bool) -> str | None:
    """Whose figures are shown: of one person, or for a supervisor of all (None); raises NotPermitted."""
    if is_supervisor:
        return asked
    if asked not in (None, person.name):
        raise NotPermitted(reason="The figures of another person are for supervisors. You can read your own.")
    return person.name
