"""Whose working hours count for a case: those of the people who may decide on it, where a rule says so."""

import json
from collections.abc import Collection, Iterator
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database.statements import Prepared
from atlas.models import Ruling, as_seen
from atlas.people.tables import profiles
from atlas.review_rules import group_of
from atlas.reviews.hours import HoursInvalid, Weekly, WorkingTime, read_hours

ALWAYS = WorkingTime()
_WITH_HOURS = Prepared(
    sa.select(profiles.c.person, profiles.c.groups, profiles.c.zone, profiles.c.working_hours).where(
        profiles.c.working_hours.is_not(None)
    )
)


def working_time(connection: Connection, ruling: Ruling | None) -> WorkingTime:
    """The working time of those who may decide by a ruling; all time counts where none has hours."""
    if ruling is None or not ruling.review.in_working_hours:
        return ALWAYS
    return WorkingTime(frozenset(_weeks(connection, ruling.reviewers)))


def _weeks(connection: Connection, reviewers: Collection[str]) -> Iterator[Weekly]:
    """The hours of those who are named, or are in a group that is; no reviewers: of all people."""
    names = {as_seen(reviewer) for reviewer in reviewers if group_of(reviewer) is None}
    groups = {group for reviewer in reviewers if (group := group_of(reviewer)) is not None}
    for person, in_groups, zone, hours in _WITH_HOURS.rows(connection, {}):
        if not reviewers or as_seen(person) in names or groups & set(json.loads(in_groups)):
            with suppress(HoursInvalid):  # an older gateway may have let it pass: then they do not count
                yield read_hours(hours, zone=zone or "UTC")
