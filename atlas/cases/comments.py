"""What people say about a case beside their decision, and that they looked at it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import read_case
from atlas.cases.tables import cases, comments
from atlas.database.dialects import json_number
from atlas.errors import RequestInvalid
from atlas.instants import instant_text, now
from atlas.models import Case, Frozen
from atlas.outbox.notices import Kind, put

LONGEST_COMMENT = 4000  # characters
MOST_COMMENTS = 200  # on one case
VIEW_HOLDS = timedelta(minutes=10)  # one entry stands for what a person opens again in this time


class Comment(Frozen):
    """What a person wrote about a case."""

    author: str
    text: str
    written_at: datetime


def read_comments(connection: Connection, case_id: str) -> tuple[Comment, ...]:
    """The comments on a case, the oldest first."""
    query = comments.select().where(comments.c.case_id == case_id).order_by(comments.c.comment_id)
    rows = connection.execute(query).mappings()
    return tuple(Comment(**{name: row[name] for name in Comment.model_fields}) for row in rows)


def add_comment(
    connection: Connection, case_id: str, *, author: str, text: str, mentions: Collection[str] = ()
) -> Case:
    """Write a comment and its ledger entry; the newest one of the same person, sent again, is the same.

    Those whom it mentions are told, without its text. Raises CaseNotFound and RequestInvalid.
    """
    case, before = read_case(connection, case_id), read_comments(connection, case_id)
    if before and (before[-1].author, before[-1].text) == (author, text):
        return case
    if len(before) >= MOST_COMMENTS:
        raise RequestInvalid(reason=f"Case {case_id} has {MOST_COMMENTS} comments, which is the limit.")
    written_at = now()
    values = {"case_id": case_id, "author": author, "text": text, "written_at": written_at}
    connection.execute(comments.insert().values(values))
    detail: dict[str, Any] = {"text_sha256": sha256(text.encode()).hexdigest()}
    if mentions:
        detail["mentioned"] = sorted(mentions)
        put(connection, Kind.MENTIONED, case=case, to=mentions, by=author)
    ledger.append(connection, case_id, ledger.Action.COMMENTED, actor=author, detail=detail, at=written_at)
    return case


def note_view(connection: Connection, case_id: str, *, name: str, by_itself: bool = False) -> None:
    """Write that a person sees a case, unless its newest round is noted; raises CaseNotFound.

    `by_itself`: their open page brought it, and they are noted once for the round, however long it is open.
    """
    if is_view_noted(connection, case_id, name=name, by_itself=by_itself):
        return
    detail = {"round": read_case(connection, case_id).round_number}
    ledger.append(connection, case_id, ledger.Action.VIEWED, actor=name, detail=detail)


def is_view_noted(connection: Connection, case_id: str, *, name: str, by_itself: bool = False) -> bool:
    """Whether it is noted that a person saw the newest round: a short time ago, or for `by_itself` ever."""
    entries = ledger.entries
    number = sa.select(cases.c.round_number).where(cases.c.case_id == case_id).scalar_subquery()
    recent = () if by_itself else (entries.c.at > instant_text(now() - VIEW_HOLDS),)
    query = sa.select(entries.c.seq).where(
        entries.c.case_id == case_id,
        entries.c.action == ledger.Action.VIEWED.value,
        entries.c.actor == name,
        *recent,
        json_number(entries.c.detail, "round") == number,
    )
    return connection.execute(query.limit(1)).first() is not None
