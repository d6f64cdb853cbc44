"""What the store says at one moment, the same from each gateway; no statement goes through what has ended."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.rounds import of_this_round
from atlas.cases.tables import WAITING, assessments, cases
from atlas.database.dialects import json_value, seconds_between
from atlas.database.statements import Instant
from atlas.instants import instant_of, now
from atlas.models import Scope, Status
from atlas.outbox.addresses import Addresses
from atlas.outbox.subscriptions import people_with_channels
from atlas.outbox.tables import OPEN, deliveries, notices
from atlas.people.records.profiles import Profile, is_named
from atlas.review_rules import group_of
from atlas.stop.covering import stops_in_force
from atlas.telemetry.channels import Channels

EVERYONE, BY_NAME, OTHERS = "everyone", "by_name", "others"  # in the place of a group's name
MOST_GROUPS = 50  # with a name of their own

_SINCE = sa.func.coalesce(assessments.c.assessed_at, cases.c.opened_at)
_NOW = sa.bindparam("now", type_=Instant)
_SHARE = seconds_between(_SINCE, _NOW) / seconds_between(_SINCE, cases.c.expires_at)
_RUNS = sa.and_(cases.c.frozen_at.is_(None), cases.c.expires_at > _SINCE)
_REVIEWERS = json_value(assessments.c.ruling, "reviewers").label("reviewers")
# By an index of what waits, and a look at the judgement of each.
WAITING_BY_REVIEWERS = (
    sa.select(
        _REVIEWERS,
        sa.func.count().label("number"),
        sa.func.min(_SINCE).label("since"),
        sa.func.max(sa.case((_RUNS, _SHARE), else_=0.0)).label("share"),
    )
    .select_from(cases.outerjoin(assessments, of_this_round(assessments)))
    .where(WAITING)
    .group_by(_REVIEWERS)
)
# Of what has ended only a refusal is here for a moment, until the workflow has heard of it.
UNFINISHED_BY_STATUS = (
    sa.select(cases.c.status, sa.func.count().label("number"))
    .where(cases.c.reported_at.is_(None))
    .group_by(cases.c.status)
)
UNSPREAD = sa.select(sa.func.count().label("number"), sa.func.min(notices.c.made_at).label("since")).where(
    notices.c.spread_at.is_(None)
)
DUE_BY_CHANNEL = (
    sa.select(
        deliveries.c.channel,
        sa.func.count().label("number"),
        sa.func.min(deliveries.c.next_at).label("since"),
    )
    .where(OPEN, deliveries.c.next_at <= sa.bindparam("at", type_=deliveries.c.next_at.type))
    .group_by(deliveries.c.channel)
)


@dataclass
class Backlog:
    """How many wait, and since when the oldest does."""

    count: int = 0
    seconds: float = 0.0  # the age of the oldest

    def add(self, count: int, seconds: float) -> None:
        """Add some more."""
        self.count += count
        self.seconds = max(self.seconds, seconds)


@dataclass
class Waiting(Backlog):
    """The calls that wait for a group."""

    share: float = 0.0  # of its time that the one closest to its end has waited; 1: it is over
    receivers: int | None = None  # whom notices reach, of the calls with the fewest


@dataclass(frozen=True)
class Figures:
    """What is read of the store."""

    waiting: Mapping[str, Waiting]  # by group; a call for two groups is in both
    unfinished: Mapping[str, int]  # by status
    ledger_head: int
    unspread: Backlog
    due: Mapping[str, Backlog]  # deliveries, by channel
    stops: Mapping[str, int]  # by scope
    read_at: datetime = field(default_factory=now)


def read_figures(connection: Connection, addresses: Addresses, channels: Channels) -> Figures:
    """Read all of it."""
    at = now()
    unspread = connection.execute(UNSPREAD).one()
    due = {label: Backlog() for label in channels.labels}
    for row in connection.execute(DUE_BY_CHANNEL, {"at": at}):
        due[channels.label(row.channel)].add(row.number, _age(row.since, at))
    stops = Counter(stop.scope for stop in stops_in_force(connection))
    return Figures(
        waiting=_waiting(connection, addresses, at),
        unfinished=_by_status(connection),
        ledger_head=ledger.newest(connection),
        unspread=Backlog(unspread.number, _age(unspread.since, at)),
        due=due,
        stops={scope.value: stops[scope] for scope in Scope},
        read_at=at,
    )


def _by_status(connection: Connection) -> dict[str, int]:
    found = {row.status: row.number for row in connection.execute(UNFINISHED_BY_STATUS)}
    return {status.value: found.get(status.value, 0) for status in Status if not status.is_final}


def _waiting(connection: Connection, addresses: Addresses, at: datetime) -> dict[str, Waiting]:
    rows = connection.execute(WAITING_BY_REVIEWERS, {"now": at}).all()
    people = [one for one in people_with_channels(connection) if one.is_there]
    reached = [one for one in people if any(addresses.of_person(one))]
    house = len([*addresses.webhook, *addresses.of_house])
    found: dict[str, Waiting] = defaultdict(Waiting, {EVERYONE: Waiting(receivers=house + len(reached))})
    for row in rows:
        reviewers = tuple(json.loads(row.reviewers or "[]"))
        receivers = house + _count(reached, reviewers)
        for group in groups_of(reviewers, known=found):
            waiting = found[group]
            waiting.add(row.number, _age(row.since, at))
            waiting.share = max(waiting.share, row.share)
            waiting.receivers = min(receivers, receivers if waiting.receivers is None else waiting.receivers)
    return dict(found)


def groups_of(reviewers: Sequence[str], *, known: Iterable[str]) -> set[str]:
    """The groups that may decide, at most so many by name; people who are named are one without a name."""
    if not reviewers:
        return {EVERYONE}
    named = {group_of(one) or BY_NAME for one in reviewers}
    kept = set(known)
    return {one if one in kept or len(kept) < MOST_GROUPS else OTHERS for one in named}


def _count(people: Sequence[Profile], reviewers: Sequence[str]) -> int:
    return sum(1 for one in people if not reviewers or is_named(one, reviewers))


def _age(since: str | datetime | None, at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (at - instant_of(since)).total_seconds())
