"""Spreads notices: of each, one delivery for each way to each person who is told."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.store import read_case
from atlas.cases.tables import cases
from atlas.database.statements import Prepared
from atlas.errors import CaseNotFound
from atlas.instants import instant_of, instant_text
from atlas.models import Case, Status
from atlas.outbox.addresses import Addresses, Way
from atlas.outbox.channels.push import PUSH
from atlas.outbox.channels.slack import SLACK_APP
from atlas.outbox.notices import Kind
from atlas.outbox.recipients import Notice, persons_told
from atlas.outbox.subscriptions import people_with_channels
from atlas.outbox.tables import OPEN, deliveries, notices
from atlas.outbox.times import due_at
from atlas.people.records.directory import Directory
from atlas.people.records.profiles import Profile

# Of an end a message in a chat tells itself, and a push can say nothing but that a call waits.
ASK_ALONE = (SLACK_APP, PUSH)
BATCH = 50  # notices that are planned together
MOST_ROWS = 100  # of one transaction, unless one notice has more, so that no call waits long behind it

_UNSPREAD = Prepared(
    sa.select(notices)
    .where(notices.c.spread_at.is_(None))
    .order_by(notices.c.made_at)
    .limit(sa.literal_column(str(BATCH)))
)
_ASKED = ("status", "round_number", "principal", "expires_at", "frozen_at")
_CASE = Prepared(
    sa.select(*(cases.c[name] for name in _ASKED)).where(cases.c.case_id == sa.bindparam("case_id"))
)
_NAMES = tuple(notices.c.keys())
_KEPT = tuple(column.name for column in deliveries.c)
_INSERT = Prepared(
    sa.text(
        f"INSERT INTO deliveries ({', '.join(_KEPT)}) VALUES (:{', :'.join(_KEPT)}) ON CONFLICT DO NOTHING"  # noqa: S608  (names of our columns)
    )
)
_SPREAD = Prepared(
    notices.update()
    .where(notices.c.notice_id == sa.bindparam("this"))
    .values(spread_at=sa.bindparam("spread_at"))
)
# Those that a person may have got; also what was due, and may be on its way at this moment.
_TOLD = Prepared(
    sa.select(deliveries.c.channel, deliveries.c.person, deliveries.c.address)
    .where(
        deliveries.c.case_id == sa.bindparam("case_id"),
        sa.or_(
            deliveries.c.sent_at.is_not(None),
            sa.and_(deliveries.c.given_up_at.is_(None), deliveries.c.next_at <= sa.bindparam("moment")),
        ),
    )
    .distinct()
)
_ASKING = [kind.value for kind in Kind if kind.asks]
_CLOSE = (
    deliveries.update()
    .where(
        OPEN,
        deliveries.c.notice_id.in_(
            sa.select(notices.c.notice_id).where(
                notices.c.case_id == sa.bindparam("this"),
                notices.c.round_number <= sa.bindparam("round"),
                notices.c.kind.in_(_ASKING),
            )
        ),
    )
    .values(given_up_at=sa.bindparam("moment"), last_error=None)
)


@dataclass(frozen=True)
class Spread:
    """What becomes of one notice."""

    notice: Notice
    rows: tuple[Mapping[str, Any], ...]


def notice_of(row: Mapping[str, Any]) -> Notice:
    """The notice of a row."""
    return Notice(
        notice_id=row["notice_id"],
        kind=Kind(row["kind"]),
        case_id=row["case_id"],
        round_number=row["round_number"],
        content=json.loads(row["content"]),
        made_at=instant_of(row["made_at"]),
    )


def case_of(connection: Connection, notice: Notice) -> Case | None:
    """The case that a notice is about."""
    try:
        return read_case(connection, notice.case_id) if notice.case_id else None
    except CaseNotFound:  # it was written in the transaction of a case, which is never deleted
        return None


class CaseRow(NamedTuple):
    """What spreading asks of a case, each time."""

    status: Status
    round_number: int
    principal: str
    expires_at: datetime | None
    frozen_at: datetime | None


def _instant(kept: Any) -> datetime | None:
    return None if kept is None else instant_of(kept)


def _case_as_row(connection: Connection, notice: Notice) -> CaseRow | None:
    row = _CASE.first(connection, {"case_id": notice.case_id}) if notice.case_id else None
    return None if row is None else CaseRow(Status(row[0]), *row[1:3], *map(_instant, row[3:]))


class Spreading:
    """Decides who is told by which way, and when."""

    def __init__(self, addresses: Addresses, owners: Mapping[str, frozenset[str]]) -> None:
        self._addresses = addresses
        self._owners = owners

    def plan(self, connection: Connection) -> list[Spread]:
        """The deliveries of the oldest notices that have none yet; changes nothing."""
        rows = [dict(zip(_NAMES, row, strict=True)) for row in _UNSPREAD.rows(connection, {})]
        if not rows:
            return []
        directory = Directory.of_many(connection, people_with_channels(connection))
        found = [notice_of(row) for row in rows]
        return [Spread(notice, tuple(self._rows(connection, notice, directory))) for notice in found]

    def _rows(self, connection: Connection, notice: Notice, directory: Directory) -> Iterator[dict[str, Any]]:
        case = _case_as_row(connection, notice)
        if notice.is_over(case):
            return
        for way in self._addresses.webhook:
            yield _row(notice, way, None)
        owners = self._owners.get(case.principal, frozenset()) if case else frozenset()
        is_by_rules = directory.people and not notice.kind.ends
        whole = case_of(connection, notice) if is_by_rules else None
        people = persons_told(connection, notice, whole, directory=directory, owners=owners)
        if notice.kind.ends:
            yield from self._told_before(connection, notice, {person.name: person for person in people})
            return
        if not notice.kind.is_personal:
            yield from (_row(notice, way, None) for way in self._addresses.of_house)
        for person in people:
            for way in self._addresses.of_person(person):
                if notice.kind.asks or way.channel != PUSH:
                    yield _row(notice, way, person)

    def _told_before(
        self, connection: Connection, notice: Notice, people: Mapping[str, Profile]
    ) -> Iterator[dict[str, Any]]:
        """Those hear of the end who were asked, by the same ways."""
        asked = {"case_id": notice.case_id, "moment": notice.made_at}
        for _, name, address in _TOLD.rows(connection, asked):
            if name is not None and name not in people:
                continue
            person = people[name] if name is not None else None
            way = self._addresses.find(address, person)
            if way is not None and way.channel not in ASK_ALONE:
                yield _row(notice, way, person)


def in_parts(spreads: list[Spread]) -> Iterator[list[Spread]]:
    """What is written in one transaction each."""
    part: list[Spread] = []
    rows = 0
    for spread in spreads:
        if part and rows + len(spread.rows) > MOST_ROWS:
            yield part
            part, rows = [], 0
        part.append(spread)
        rows += len(spread.rows)
    yield part


def write(connection: Connection, spreads: list[Spread], *, at: datetime) -> None:
    """Write what was planned; what asked about a review that is over is closed, and not sent."""
    _INSERT.execute_all(connection, [row for spread in spreads for row in spread.rows])
    for spread in spreads:
        if spread.notice.kind.ends:
            this = {"this": spread.notice.case_id, "round": spread.notice.round_number}
            connection.execute(_CLOSE, this | {"moment": at})
    marked = instant_text(at)
    _SPREAD.execute_all(connection, [{"this": one.notice.notice_id, "spread_at": marked} for one in spreads])


def _row(notice: Notice, way: Way, person: Profile | None) -> dict[str, Any]:
    key = f"{notice.notice_id} {way.address}"
    return {
        "delivery_id": f"msg_{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        "notice_id": notice.notice_id,
        "case_id": notice.case_id,
        "channel": way.channel,
        "person": way.person,
        "address": way.address,
        "next_at": due_at(notice.kind, way, person, made_at=notice.made_at),
        "attempts": 0,
        "sent_at": None,
        "given_up_at": None,
        "last_error": None,
        "receipt": None,
        "failing_since": None,
        "shown": None,
    }
