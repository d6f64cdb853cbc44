"""The append-only, hash-chained record of every change of state.

An entry's hash is the SHA-256 of the bytes `atlas-ledger-v1`, a line feed, and the RFC 8785 form of the
object {seq, at, case_id, action, actor, detail, previous_hash}; the first previous_hash is 64 zeros.
`python -m atlas.ledger verify|export [--data-dir DIR]` reads a ledger, also while gateways run.
"""

import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.canonical import NotCanonical, canonical_json
from atlas.database import known_end
from atlas.database.beside import Beside
from atlas.database.choose import beside
from atlas.database.dialects import without_index
from atlas.database.facts import note
from atlas.database.hints import OF_NO_CASE, hint
from atlas.database.location import Location
from atlas.database.statements import Prepared, metadata, only_where
from atlas.errors import LedgerBroken
from atlas.instants import instant_text, now, read_instant
from atlas.texts import keepable

VERSION = b"atlas-ledger-v1\n"
NO_CASE = ""  # in the place of a reference, where an entry is about none
FIELDS = ("seq", "at", "case_id", "action", "actor", "detail", "previous_hash", "entry_hash")
WHOLE = f"SELECT {', '.join(FIELDS)} FROM ledger ORDER BY seq"  # noqa: S608  (our own)

entries = sa.Table(
    "ledger",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(27), nullable=False),
    sa.Column("case_id", sa.String(20), nullable=False, index=True),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("entry_hash", sa.String(64), nullable=False),
)

# Of the few that say what an agent read beside its calls, the newest are looked up.
sa.Index("ix_ledger_readings", entries.c.actor, entries.c.seq, **only_where(sa.text("action = 'admit.read'")))

_INSERT = Prepared(entries.insert())
_NEWEST = Prepared(sa.select(entries.c.seq, entries.c.entry_hash).order_by(entries.c.seq.desc()).limit(1))

_FIRST_OF_KIND = Prepared(
    sa.select(entries.c.actor, entries.c.detail)
    .where(
        entries.c.case_id == sa.bindparam("case_id"),
        # With the plus the partial index is none that could be used: else SQLite plans it at each run.
        without_index(entries.c.action) == sa.bindparam("action"),
    )
    .order_by(entries.c.seq)
    .limit(sa.literal_column("1"))
)


class Action(str, Enum):
    """Every act that is recorded, named after the stage that does it."""

    ADMITTED = "admit.queued"
    LIMITED = "admit.limited"  # of no case: the first of a burst of calls that were too many or too large
    WITHDRAWN = "admit.withdrawn"
    READ = "admit.read"  # of no case: an agent reads a resource, a prompt or a tool's question, not kept
    ASKED = "assess.asked"
    ASSESSED = "assess.scored"
    AUTO_APPROVED = "decide.auto_approved"
    DENIED = "decide.denied"
    REVIEW_REQUESTED = "decide.review_requested"
    REOPENED = "decide.reopened"
    APPROVAL_COUNTED = "decide.approval_counted"
    APPROVED = "decide.approved"
    REJECTED = "decide.rejected"
    EXPIRED = "decide.expired"
    COMMENTED = "decide.commented"
    VIEWED = "decide.viewed"  # where the policy says record_views
    REMINDED = "decide.reminded"
    ESCALATED = "decide.escalated"
    ASSIGNED = "decide.assigned"
    QUESTION_ASKED = "decide.question_asked"
    QUESTION_ANSWERED = "decide.question_answered"
    EDITED = "decide.edited"
    PLAN_USED = "decide.plan_used"
    TAKEN_BACK = "decide.taken_back"  # an approval, before the call began
    RULE_REFUSED = "decide.refused"  # an approval that a rule does not let count
    ASKED_AGAIN = "decide.asked_again"
    SEEDED = "decide.seeded"  # a case that is known to be bad, and of no agent
    REVEALED = "decide.revealed"
    UNSUPPORTED_DECISION = "decide.event_without_decision"
    EXECUTING = "execute.started"
    EXECUTED = "execute.finished"
    EXECUTION_REFUSED = "execute.refused"
    OUTCOME_UNKNOWN = "execute.outcome_unknown"
    FAILED = "report.failed"
    # Of people, and of no case.
    PERSON_ADDED = "people.added"
    PERSON_ENDED = "people.ended"
    PROFILE_CHANGED = "people.profile_changed"
    TRAINED = "people.trained"
    TRAINING_ENDED = "people.training_ended"
    DELEGATED = "people.delegated"
    DELEGATION_ENDED = "people.delegation_ended"
    PASSKEY_ADDED = "people.passkey_added"
    PASSKEY_ENDED = "people.passkey_ended"
    LINK_MADE = "people.link_made"
    PASSWORD_SET = "people.password_set"  # noqa: S105  (no password)
    SIGNED_IN = "people.signed_in"
    SIGNED_OUT = "people.signed_out"
    SESSIONS_ENDED = "people.sessions_ended"
    EXPORT_BEGUN = "people.export_begun"  # a list of cases leaves the gateway as a file
    EXPORTED = "people.exported"  # so many lines of it were sent
    SIGN_IN_REFUSED = "people.sign_in_refused"  # the first of a burst, and where it has to wait
    PLAN_MADE = "plan.made"  # of no case, like the next one
    PLAN_STOPPED = "plan.stopped"
    NOTICE_GIVEN_UP = "notice.given_up"  # what could not be sent
    STOPPED = "stop.begun"  # of no case, like the next one
    LIFTED = "stop.lifted"
    POLICY_PUT = "policy.put"  # in force for all gateways, and of no case


class Act(NamedTuple):
    """What an entry says was done, and by whom."""

    case_id: str
    action: Action
    actor: str
    detail: dict[str, Any]


class Place(NamedTuple):
    """An entry of the chain, by its number and its hash."""

    seq: int
    entry_hash: str


START = Place(*known_end.FIRST)


def append(
    connection: Connection,
    case_id: str,
    action: Action,
    *,
    actor: str,
    detail: dict[str, Any],
    at: datetime | None = None,
) -> None:
    """Write one entry in the transaction of the change that it describes."""
    append_all(connection, [Act(case_id, action, actor, detail)], at=at or now())


def append_all(connection: Connection, acts: Iterable[Act], *, at: datetime) -> None:
    """Write an entry of each of some acts of one moment, in the transaction of what they describe."""
    newest_seq, newest_hash = known_end.known(connection) or head(connection)
    rows, written = [], tuple(acts)
    for seq, act in enumerate(written, start=newest_seq + 1):
        hint(connection, act.case_id or OF_NO_CASE)
        entry = {
            "seq": seq,
            "at": instant_text(at),
            "case_id": act.case_id,
            "action": act.action.value,
            "actor": keepable(act.actor),  # as it is read, whichever store keeps it
            "detail": act.detail,
            "previous_hash": newest_hash,
        }
        newest_hash = entry_hash(entry)
        rows.append(entry | {"detail": json.dumps(act.detail), "entry_hash": newest_hash})
    _INSERT.execute_all(connection, rows)
    known_end.note(connection, (newest_seq + len(rows), newest_hash))
    note(connection, written)


def head(connection: Connection) -> Place:
    """The newest entry, to which the whole chain leads."""
    return Place(*(_NEWEST.first(connection, {}) or START))


def newest(connection: Connection) -> int:
    """The number of the newest entry; 0: there is none."""
    return head(connection).seq


def find(connection: Connection, case_id: str, action: Action) -> tuple[str, dict[str, Any]] | None:
    """Actor and detail of a case's first entry of a kind."""
    row = _FIRST_OF_KIND.first(connection, {"case_id": case_id, "action": action.value})
    return None if row is None else (row[0], json.loads(row[1]))


def entries_of(connection: Connection, case_id: str) -> Iterator[dict[str, Any]]:
    """The entries of a case, the oldest first, detail decoded."""
    columns = (entries.c[name] for name in FIELDS if name != "case_id")
    query = sa.select(*columns).where(entries.c.case_id == case_id).order_by(entries.c.seq)
    for row in connection.execute(query).mappings():
        yield dict(row) | {"detail": _decoded(row["detail"])}


def entries_after(connection: Connection, seq: int, *, most: int) -> list[dict[str, Any]]:
    """The entries that follow a number, so many at most, as they are checked."""
    query = sa.select(entries).where(entries.c.seq > seq).order_by(entries.c.seq).limit(most)
    return [dict(row) | {"detail": _decoded(row["detail"])} for row in connection.execute(query).mappings()]


def newest_of_no_case(
    connection: Connection, actions: Collection[Action], *, most: int
) -> list[dict[str, Any]]:
    """The newest entries that are of no case and about such acts, the newest first, detail decoded."""
    kinds = [action.value for action in actions]
    query = sa.select(entries).where(entries.c.case_id == NO_CASE, entries.c.action.in_(kinds))
    rows = connection.execute(query.order_by(entries.c.seq.desc()).limit(most)).mappings()
    return [dict(row) | {"detail": _decoded(row["detail"]), "at": read_instant(row["at"])} for row in rows]


def entry_hash(entry: dict[str, Any]) -> str:
    """The hash of an entry without its own entry_hash, as 64 hex digits."""
    return hashlib.sha256(VERSION + canonical_json(entry)).hexdigest()


def verify(rows: Iterable[dict[str, Any]]) -> int:
    """Check the chain from the first entry on and return the number of entries.

    Raises LedgerBroken at the first entry that is missing, out of order, or not what was hashed.
    """
    return follow(rows, START).seq


def follow(rows: Iterable[dict[str, Any]], place: Place) -> Place:
    """Check the chain on from a place in it, and return the place of the last entry; raises LedgerBroken."""
    seq, previous_hash = place
    for row in rows:
        seq += 1
        entry = {field: row[field] for field in FIELDS[:-1]}
        if entry["seq"] != seq:
            raise LedgerBroken(seq=seq, reason=f"it is missing; the next one there is {entry['seq']}")
        if entry["previous_hash"] != previous_hash:
            raise LedgerBroken(seq=seq, reason="it does not follow the entry before it")
        if not _is_hash(row["entry_hash"], entry):
            raise LedgerBroken(seq=seq, reason="its content is not what was hashed")
        previous_hash = row["entry_hash"]
    return Place(seq, previous_hash)


def _is_hash(given: Any, entry: dict[str, Any]) -> bool:
    try:
        return bool(entry_hash(entry) == given)
    except (NotCanonical, RecursionError):
        return False  # it cannot have been hashed


def read(directory: Path) -> Iterator[dict[str, Any]]:
    """The entries of the `atlas.db` of a directory in order, detail decoded, opened for reading only."""
    return read_store(beside(Location(directory=directory)))


def read_store(store: Beside) -> Iterator[dict[str, Any]]:
    """The entries of a store in order at one moment, detail decoded; raises DatabaseUnusable."""
    return decoded(store.rows(WHOLE))


def decoded(rows: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The entries of rows of the table, detail decoded."""
    for row in rows:
        entry = dict(zip(FIELDS, row, strict=True))
        yield entry | {"detail": _decoded(entry["detail"])}


def _decoded(detail: Any) -> Any:
    try:
        value = json.loads(detail)
        # Only as it was written: a second key of the same name would otherwise hide behind the first.
        return value if json.dumps(value) == detail else detail
    except (TypeError, ValueError, RecursionError):
        return repr(detail)  # what cannot be read cannot have been hashed: verify names the entry


if __name__ == "__main__":
    # What the command imports of this module is this one: a second one would define the table once more.
    sys.modules["atlas.ledger"] = sys.modules["__main__"]
    from atlas.operate.ledger_command import main

    sys.exit(main())
