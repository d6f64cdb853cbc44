"""A letter: the message of one delivery, or of all that a person gets as one digest, as it is now."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.grounds.seen import digest_of_seen
from atlas.models import Case
from atlas.outbox.channels import Asks, Message
from atlas.outbox.deliveries import Delivery, digest_of
from atlas.outbox.messages import (
    CASE_PAGE,
    DESK_PAGE,
    body_of,
    digest_text,
    digest_title,
    hides_score,
    text_of,
    title_of,
)
from atlas.outbox.recipients import Notice, persons_told
from atlas.outbox.room import weight_of
from atlas.outbox.spreading import case_of
from atlas.outbox.times import quiet_until
from atlas.people.records.directory import Directory
from atlas.people.records.profiles import profile_of


@dataclass(frozen=True)
class Letter:
    """What is sent now as one message, and what is not sent, because its review is over."""

    message: Message | None
    deliveries: tuple[Delivery, ...]
    over: tuple[Delivery, ...] = ()
    quiet_until: datetime | None = None  # the quiet hours of its person have begun: it is sent after them


def letter_for(
    connection: Connection,
    delivery: Delivery,
    *,
    at: datetime,
    url: str,
    is_for_program: bool,
    process_id: str,
    owners: Mapping[str, frozenset[str]],
    room: int,
) -> Letter:
    """Write the letter of a delivery, which a process sends, from what the store has now.

    `room` is how many bytes the text of a digest may have.
    """
    parts = [delivery]
    if delivery.is_for_digest:
        parts = digest_of(connection, delivery, at=at, process_id=process_id)
    person = None if delivery.person is None else profile_of(connection, delivery.person)
    # A retry or a late start may fall into quiet hours.
    if person is not None and (end := quiet_until(person, at)) > at:
        return Letter(None, tuple(parts), quiet_until=end)
    cases = {part.delivery_id: case_of(connection, part.notice) for part in parts}
    people = None if person is None else Directory.of_many(connection, [person])
    is_over = partial(_is_over, connection, owners=owners, people=people)
    over = tuple(part for part in parts if is_over(part, cases[part.delivery_id]))
    rest = tuple(part for part in parts if part not in over)
    if not rest:
        return Letter(None, (), over)
    messages = [
        _message(connection, part, cases[part.delivery_id], url=url, is_for_program=is_for_program)
        for part in rest
    ]
    if len(messages) == 1:
        return Letter(messages[0], rest, over)
    return Letter(_together(messages, at=at, room=room, desk=url + DESK_PAGE), rest, over)


def _is_over(
    connection: Connection,
    part: Delivery,
    case: Case | None,
    *,
    owners: Mapping[str, frozenset[str]],
    people: Directory | None,
) -> bool:
    """Whether there is nothing to decide any more, or its person would not be told of it now.

    `people` holds the person; None: it goes to a channel of the house.
    """
    if part.notice.is_over(case):
        return True
    if people is None:
        return False
    asked = None if part.notice.kind.ends else case
    of_agent = owners.get(case.call.principal, frozenset()) if case else frozenset()
    return not persons_told(connection, part.notice, asked, directory=people, owners=of_agent)


def _message(
    connection: Connection, delivery: Delivery, case: Case | None, *, url: str, is_for_program: bool
) -> Message:
    notice = delivery.notice
    link = f"{url}{CASE_PAGE}{case.case_id}" if case else None
    not_checked = _not_checked(connection, notice) if is_for_program else None
    return Message(
        delivery_id=delivery.delivery_id,
        title=title_of(notice, case),
        text=text_of(notice, case, link=link),
        body=body_of(notice, case, link=link, not_checked=not_checked),
        asks=_asks(case, link) if case and notice.kind.asks else None,
    )


def _asks(case: Case, link: str | None) -> Asks:
    seen = digest_of_seen(case, is_score_hidden=hides_score(case))
    return Asks(case.case_id, case.round_number, seen, link)


def _together(messages: list[Message], *, at: datetime, room: int, desk: str) -> Message:
    """One message of several, with as many of them as it has room for, each whole."""
    parts = [f"{message.title}\n{message.text}" for message in messages]
    text_with = partial(digest_text, parts, at=at, desk=desk)

    def weight_with(count: int) -> int:
        return weight_of(text_with(count))

    count = len(parts)
    if weight_with(count) > room:
        # The more notices, the longer; the last line is another one where some are left.
        count = bisect_right(range(1, count), room, key=weight_with)
    text = text_with(count)
    # An id of its own: where another attempt holds more notices, it is no copy of the one before.
    names = " ".join(message.delivery_id for message in messages)
    name = f"msg_{hashlib.sha256(names.encode()).hexdigest()[:24]}"
    return Message(name, digest_title(len(messages)), text, {})


def _not_checked(connection: Connection, notice: Notice) -> list[str] | None:
    """Where in the arguments something stands that only the server checks."""
    if notice.case_id is None:
        return None
    admitted = ledger.find(connection, notice.case_id, ledger.Action.ADMITTED)
    # As of others: a seeded case has no such entry.
    return list(admitted[1].get("not_checked", ())) if admitted else []
