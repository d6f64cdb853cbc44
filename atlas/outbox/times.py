"""When a notice goes out by a way: a mail later than a push, not in quiet hours, or with a digest."""

from datetime import datetime, timedelta, timezone

from atlas.outbox.addresses import Way
from atlas.outbox.notices import Kind
from atlas.people.records.hours import stretches
from atlas.people.records.profiles import Profile
from atlas.settings.as_written import read_duration

MAIL_AFTER = timedelta(seconds=15)  # a call that is decided sooner costs no mail
LOOK_AHEAD = 9  # days, after which quiet hours that never end are not kept


def due_at(kind: Kind, way: Way, person: Profile | None, *, made_at: datetime) -> datetime:
    """When a notice that was made then is due."""
    moment = made_at + MAIL_AFTER if kind.asks and way.is_mail else made_at
    if person is None:
        return moment
    period = digest_period(person.digest)
    if period is not None and kind.can_wait:
        moment = _end_of_period(moment, period)
    return quiet_until(person, moment)


def digest_period(digest: str | None) -> timedelta | None:
    """Read a length such as `1h`; None: notices come at once, which is better than never."""
    period = read_duration(digest) if digest else None
    return period if isinstance(period, timedelta) and period else None


def _end_of_period(moment: datetime, period: timedelta) -> datetime:
    """The next full period since 1970: all of a person's notices of one period are due together."""
    begin = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return begin + ((moment - begin) // period + 1) * period


def quiet_until(person: Profile, moment: datetime) -> datetime:
    """The moment, or the end of the quiet hours in which it lies."""
    if not person.quiet_hours:
        return moment
    end = moment
    try:
        since = moment - timedelta(days=1)
        for begins, ends in stretches(person.quiet_hours, person.zone, since=since, days=LOOK_AHEAD):
            if begins <= end < ends:
                end = ends
    except ValueError:  # hours or a zone that cannot be read keep nothing back
        return moment
    return end if end - moment < timedelta(days=LOOK_AHEAD - 2) else moment
