"""Whose working hours count for a case: those of the people who may decide on it, where a rule says so."""

from collections.abc import Collection, Iterator
from contextlib import suppress

from sqlalchemy.engine import Connection

from atlas.models import Ruling
from atlas.people.records.profiles import Profile, all_profiles, is_named
from atlas.reviews.hours import Weekly, WorkingTime, read_hours

ALWAYS = WorkingTime()


def working_time(connection: Connection, ruling: Ruling | None) -> WorkingTime:
    """The working time of those who may decide by a ruling; all time counts where none has hours."""
    if ruling is None or not ruling.review.in_working_hours:
        return ALWAYS
    everyone = all_profiles(connection).values()
    return WorkingTime(frozenset(_weeks(everyone, ruling.reviewers)))


def _weeks(everyone: Collection[Profile], reviewers: Collection[str]) -> Iterator[Weekly]:
    """The hours of those who are named, or are in a group that is; no reviewers: of all people."""
    for person in everyone:
        may_decide = not reviewers or is_named(person, reviewers)
        if person.working_hours is not None and person.ended_at is None and may_decide:
            with suppress(ValueError):  # kept by another version of the gateway: then they do not count
                yield read_hours(person.working_hours, zone=person.zone)
