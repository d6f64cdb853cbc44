"""Deliveries in the store: which are due, and what became of each."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.facts import note
from atlas.database.processes import is_at_work
from atlas.database.statements import Instant
from atlas.outbox.notices import Kind
from atlas.outbox.recipients import Notice
from atlas.outbox.spreading import notice_of
from atlas.outbox.tables import OPEN, deliveries, notices
from atlas.outbox.times import digest_period
from atlas.outbox.turns import is_its_turn
from atlas.people.tables import profiles

PAGE = 200
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)
LONGEST_TRYING = timedelta(days=3)  # for what asks for nothing; what does is over with its review
MOST_IN_DIGEST = 200
_CAN_WAIT = [kind.value for kind in Kind if kind.can_wait]

_DELIVERY = [column.label(f"delivery_{column.name}") for column in deliveries.c]
_DUE = (
    sa.select(*_DELIVERY, notices, profiles.c.digest)
    .join(notices, notices.c.notice_id == deliveries.c.notice_id)
    .outerjoin(profiles, profiles.c.person == deliveries.c.person)
    .where(OPEN)
    .order_by(notices.c.kind == Kind.REMINDED.value, deliveries.c.next_at)  # those are often very many
)


@dataclass(frozen=True)
class Delivery:
    """One way of one notice to one receiver, as it stands in the store."""

    delivery_id: str
    notice: Notice
    channel: str
    person: str | None
    address: str
    attempts: int
    failing_since: datetime | None
    last_error: str | None
    is_for_digest: bool

    @property
    def refusals(self) -> int:
        """So many attempts were refused, perhaps for what they hold; a server that is away refuses none."""
        return self.attempts if (self.last_error or "").startswith("HTTP 4") else 0

    @property
    def unit(self) -> str:
        """What is sent as one message: a delivery, or all of a person's digest at an address."""
        return f"{self.person} {self.address}" if self.is_for_digest else self.delivery_id


class Tried(NamedTuple):
    """What became of one attempt to bring a notice, for those who watch."""

    channel: str
    ending: str  # delivered, failed (and tried again), or given_up


def is_free(process_id: str) -> sa.ColumnElement[bool]:
    """What no other process that lives is sending."""
    by = deliveries.c.claimed_by
    return sa.or_(by.is_(None), by == process_id, ~is_at_work(by))


def due(connection: Connection, *, at: datetime, without: Collection[str], process_id: str) -> list[Delivery]:
    """The deliveries that are due and free, and whose turn it is, reminders last and the oldest first.

    None of them is to the addresses `without`.
    """
    is_due = (deliveries.c.next_at <= at, deliveries.c.address.not_in(list(without)))
    query = _DUE.where(*is_due, is_free(process_id), is_its_turn(at, longest_pause=LONGEST_PAUSE)).limit(PAGE)
    return [_delivery(row) for row in connection.execute(query).mappings()]


def digest_of(connection: Connection, delivery: Delivery, *, at: datetime, process_id: str) -> list[Delivery]:
    """All that goes into the digest of a delivery, and that is free; the oldest notice first."""
    query = _DUE.where(
        deliveries.c.next_at <= at,
        deliveries.c.person == delivery.person,
        deliveries.c.address == delivery.address,
        notices.c.kind.in_(_CAN_WAIT),
        is_free(process_id),
    )
    found = [_delivery(row) for row in connection.execute(query.limit(MOST_IN_DIGEST)).mappings()]
    return sorted((one for one in found if one.is_for_digest), key=lambda one: one.notice.made_at)


def _delivery(row: Any) -> Delivery:
    notice = notice_of(row)
    return Delivery(
        delivery_id=row["delivery_delivery_id"],
        notice=notice,
        channel=row["delivery_channel"],
        person=row["delivery_person"],
        address=row["delivery_address"],
        attempts=row["delivery_attempts"],
        failing_since=row["delivery_failing_since"],
        last_error=row["delivery_last_error"],
        is_for_digest=digest_period(row["digest"]) is not None and notice.kind.can_wait,
    )


def claim(
    connection: Connection,
    wanted: Collection[Delivery],
    closed: Collection[Delivery],
    *,
    process_id: str,
    at: datetime,
) -> bool:
    """Claim all that go into one message for a process, and close others; False: another process has some."""
    ids = [one.delivery_id for one in (*wanted, *closed)]
    free = (deliveries.c.delivery_id.in_(ids), OPEN, is_free(process_id))
    if connection.scalar(sa.select(sa.func.count()).select_from(deliveries).where(*free)) != len(ids):
        return False
    _change(connection, wanted, claimed_by=process_id)
    if closed:
        note_over(connection, closed, at=at)
    return True


def note_sent(
    connection: Connection, sent: Collection[Delivery], receipt: str | None, *, at: datetime
) -> None:
    """Note that receivers have them."""
    taken = {"sent_at": at, "given_up_at": None, "last_error": None, "failing_since": None}
    values = taken | {"receipt": receipt}
    _change(connection, sent, attempts=deliveries.c.attempts + 1, **values)
    note(connection, [Tried(one.channel, "delivered") for one in sent])


def note_over(connection: Connection, closed: Collection[Delivery], *, at: datetime) -> None:
    """Close what is not sent, because the review is over."""
    _change(connection, closed, given_up_at=at, last_error=None)


def postpone(connection: Connection, some: Collection[Delivery], *, next_at: datetime) -> None:
    """Send them later; this is no attempt."""
    _change(connection, some, next_at=next_at)


def note_failed(connection: Connection, failed: Collection[Delivery], error: str, *, at: datetime) -> None:
    """Note that a receiver did not take them, and when they are tried again; give up what is too old."""
    for one in failed:
        if is_too_old(one, at=at):
            give_up(connection, [one], error, at=at)
            continue
        values: dict[str, Any] = {"last_error": error, "claimed_by": None}
        values["next_at"] = at + pause_after(one.attempts + 1)
        values["failing_since"] = sa.func.coalesce(deliveries.c.failing_since, sa.literal(at, Instant))
        _change(connection, [one], attempts=one.attempts + 1, **values)
        note(connection, [Tried(one.channel, "failed")])


def give_up(connection: Connection, lost: Collection[Delivery], error: str, *, at: datetime) -> None:
    """Give up for good, and say so in the ledger."""
    for one in lost:
        _change(connection, [one], attempts=one.attempts + 1, last_error=error, given_up_at=at)
        detail = {
            "delivery_id": one.delivery_id,
            "notice": one.notice.kind.value,
            "channel": one.channel,
            "person": one.person,
            "attempts": one.attempts + 1,
            "error": error,
        }
        case_id = one.notice.case_id or ledger.NO_CASE
        ledger.append(
            connection, case_id, ledger.Action.NOTICE_GIVEN_UP, actor="gateway", detail=detail, at=at
        )
        note(connection, [Tried(one.channel, "given_up")])


def is_too_old(delivery: Delivery, *, at: datetime) -> bool:
    """Whether it was tried long enough: a digest, or a gateway that was down, is no attempt."""
    return not delivery.notice.kind.asks and is_long_since(delivery.failing_since, at=at)


def is_long_since(failing_since: datetime | None, *, at: datetime) -> bool:
    """Whether attempts have failed for as long as the gateway tries."""
    return failing_since is not None and at - failing_since > LONGEST_TRYING


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    doubled: int = 2 ** min(attempts - 1, 20)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _change(connection: Connection, some: Collection[Delivery], **values: Any) -> None:
    which = deliveries.c.delivery_id.in_([one.delivery_id for one in some])
    connection.execute(deliveries.update().where(which).values(values))
