"""A notice: something that people have to be told, written in the transaction that causes it."""

import json
import secrets
from collections.abc import Collection
from enum import Enum
from typing import Any

from sqlalchemy.engine import Connection

from atlas.database.statements import Prepared
from atlas.instants import now
from atlas.models import Case
from atlas.outbox.tables import notices

_INSERT = Prepared(notices.insert())


class Kind(str, Enum):
    """What a notice is about."""

    REVIEW_REQUESTED = "review_requested"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    ASSIGNED = "assigned"
    MENTIONED = "mentioned"  # in a comment
    ANSWERED = "answered"  # by the agent that was asked
    DELEGATED = "delegated"
    DECIDED = "decided"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    OUTCOME_UNKNOWN = "outcome_unknown"
    STOPPED = "stopped"
    STOP_LIFTED = "stop_lifted"

    @property
    def asks(self) -> bool:
        """Whether it asks for a decision, and is pointless once the review is over."""
        return self in _ASKING

    @property
    def ends(self) -> bool:
        """Whether it says that a review is over, which those hear who were asked."""
        return self in (Kind.DECIDED, Kind.EXPIRED, Kind.WITHDRAWN)

    @property
    def is_personal(self) -> bool:
        """Whether it is for the persons it names alone, and for no address of the whole house."""
        return self in (Kind.ASSIGNED, Kind.MENTIONED, Kind.ANSWERED, Kind.DELEGATED)

    @property
    def can_wait(self) -> bool:
        """Whether a person who wants a digest gets it there, and not at once."""
        return self is Kind.REVIEW_REQUESTED or self.ends


_ASKING = {Kind.REVIEW_REQUESTED, Kind.REMINDED, Kind.ESCALATED, Kind.ASSIGNED, Kind.ANSWERED}


def put(
    connection: Connection,
    kind: Kind,
    *,
    case: Case | None = None,
    to: Collection[str] | None = None,
    by: str | None = None,
    content: dict[str, Any] | None = None,
) -> str:
    """Write a notice, and return its id.

    `to` are names and groups (`group:NAME`); None: all who may decide on the case, or for a notice of no case
    every person. `by` caused it, and is not told. `content` is JSON, and holds no argument of the call.
    """
    notice_id = f"ntc_{secrets.token_hex(10)}"
    said = {"to": None if to is None else sorted(to), "by": by} | (content or {})
    row = {
        "notice_id": notice_id,
        "kind": kind.value,
        "case_id": case.case_id if case else None,
        "round_number": case.round_number if case else None,
        "content": json.dumps(said),
        "made_at": now(),
        "spread_at": None,
    }
    _INSERT.execute(connection, row)
    return notice_id
