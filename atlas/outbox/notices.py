"""A notice: something that people have to be told, written in the transaction that causes it."""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from sqlalchemy.engine import Connection

from atlas.database.statements import Prepared
from atlas.instants import instant_text, now
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


class About(Protocol):
    """A case that a notice is about, whole or as a row."""

    @property
    def case_id(self) -> str:
        """Its reference."""

    @property
    def round_number(self) -> int:
        """The round in which it is."""


@dataclass(frozen=True)
class Told:
    """What people are to be told; see `put`."""

    kind: Kind
    case: About | None = None
    to: Collection[str] | None = None
    by: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)


def put(
    connection: Connection,
    kind: Kind,
    *,
    case: About | None = None,
    to: Collection[str] | None = None,
    by: str | None = None,
    content: dict[str, Any] | None = None,
) -> str:
    """Write a notice, and return its id.

    `to` are names and groups (`group:NAME`); None: all who may decide on the case, or for a notice of no case
    every person. `by` caused it, and is not told. `content` is JSON, and holds no argument of the call.
    """
    (notice_id,) = put_all(connection, [Told(kind, case, to, by, content or {})])
    return notice_id


def put_all(connection: Connection, many: Iterable[Told]) -> list[str]:
    """Write some notices, and return their ids."""
    made_at = instant_text(now())
    rows = [_row(one, made_at) for one in many]
    _INSERT.execute_all(connection, rows)
    return [row["notice_id"] for row in rows]


def _row(told: Told, made_at: str) -> dict[str, Any]:
    said = {"to": None if told.to is None else sorted(told.to), "by": told.by, **told.content}
    return {
        "notice_id": f"ntc_{secrets.token_hex(10)}",
        "kind": told.kind.value,
        "case_id": told.case.case_id if told.case else None,
        "round_number": told.case.round_number if told.case else None,
        "content": json.dumps(said),
        "made_at": made_at,
        "spread_at": None,
    }
