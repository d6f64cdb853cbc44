"""Who looks after the people: by name or by a group that ATLAS_SUPERVISORS names; in open mode everyone."""

from sqlalchemy.engine import Connection

from atlas.errors import NotPermitted
from atlas.people.person import Person
from atlas.people.records.profiles import profile_of
from atlas.review_rules import GROUP, group_of
from atlas.settings import Settings

NONE_NAMED = "ATLAS_SUPERVISORS names no one, so `python -m atlas.people` is the way to do this."


def is_supervisor(connection: Connection, settings: Settings, person: Person) -> bool:
    """Whether a person is one now; the groups are those of the store, as for a decision."""
    if settings.is_open:
        return True
    profile = profile_of(connection, person.name)
    if not person.is_signed or profile.ended_at is not None:
        return False
    groups = profile.groups if profile.is_kept else (*profile.groups, *person.groups)
    own = {GROUP + group for group in groups} | ({person.name} if group_of(person.name) is None else set())
    return not own.isdisjoint(settings.atlas_supervisors)


def require_supervisor(connection: Connection, settings: Settings, person: Person) -> None:
    """Raise NotPermitted for a person who is none."""
    if not is_supervisor(connection, settings, person):
        named = ", ".join(settings.atlas_supervisors)
        reason = f"This is for supervisors: {named} (ATLAS_SUPERVISORS)." if named else NONE_NAMED
        raise NotPermitted(reason=reason)
