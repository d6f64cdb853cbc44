"""A letter: the message of one delivery, or of all that a person gets as one digest, as it is now."""

from dataclasses import dataclass
from datetime import datetime

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
from atlas.outbox.recipients import Notice
from atlas.outbox.room import weight_of
from atlas.outbox.spreading import case_of


@dataclass(frozen=True)
class Letter:
    """What is sent now as one message, and what is not sent, because its review is over."""

    message: Message | None
    deliveries: tuple[Delivery, ...]
    over: tuple[Delivery, ...] = ()


def letter_for(
    connection: Connection,
    delivery: Delivery,
    *,
    at: datetime,
    url: str,
    is_for_program: bool,
    process_id: str,
    room: int,
) -> Letter:
    """Write the letter of a delivery, which a process sends, from what the store has now.

    `room` is how many bytes the text of a digest may have.
    """
    parts = [delivery]
    if delivery.is_for_digest:
        parts = digest_of(connection, delivery, at=at, process_id=process_id)
    cases = {part.delivery_id: case_of(connection, part.notice) for part in parts}
    over = tuple(part for part in parts if part.notice.is_over(cases[part.delivery_id]))
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
    texts = (digest_text(parts, count, at=at, desk=desk) for count in range(len(parts), 0, -1))
    fitting = (text for text in texts if weight_of(text) <= room)
    text = next(fitting, digest_text(parts, 0, at=at, desk=desk))
    return Message(messages[0].delivery_id, digest_title(len(messages)), text, {})


def _not_checked(connection: Connection, notice: Notice) -> list[str] | None:
    """Where in the arguments something stands that only the server checks."""
    admitted = ledger.find(connection, notice.case_id, ledger.Action.ADMITTED) if notice.case_id else None
    return list(admitted[1].get("not_checked", ())) if admitted else None
