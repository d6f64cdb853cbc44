"""The vote of a reviewer, as the edge for people takes it and the stage that decides counts it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.canonical import digest
from atlas.cases.tables import decision_keys
from atlas.errors import KeyUsed
from atlas.instants import now
from atlas.models import Verdict

TAKEN_BACK = "TAKEN_BACK"  # said of an approval, in the place of a verdict
KEYS_KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Vote:
    """What one reviewer says of a case."""

    verdict: Verdict
    reviewer: str
    reason: str | None
    is_signed: bool = False  # whether the reviewer's key has this name; else the name is a claim
    round_number: int = 1  # the round of the case that is approved; a rejection is about all of them
    seen_sha256: str | None = None  # of what an approval is for, see atlas/grounds/seen.py; None: not said
    idempotency_key: str | None = None  # under which the reviewer's program says it, once or again
    groups: tuple[str, ...] = ()  # that the way in vouches for; those of the store come to them
    on_behalf_of: str | None = None  # for whom they decide, where they said so; else it is found out
    assertion: str | None = None  # of a passkey, as JSON
    way: str | None = None  # the system that vouches for the reviewer, and whose key it is then
    together_below: int | None = None  # the ceiling, where it is one of many; None: it is decided on alone
    arguments: dict[str, Any] | None = None  # in place of the agent's, where a rule lets a person change some


def note_key(connection: Connection, case_id: str, vote: Vote, *, said: str | None = None) -> bool:
    """Keep what stands under the key of a vote; raises KeyUsed if that is something else already.

    `said` is what the person says, where that is not the verdict. Returns whether it was said before.
    """
    if vote.idempotency_key is None:
        return False
    now_said = {
        "case_id": case_id,
        "decision": said or vote.verdict.value,
        "round_number": vote.round_number,
        "said_sha256": digest({"reason": vote.reason, "seen_sha256": vote.seen_sha256} | _further(vote)),
    }
    if (before := _said_before(connection, vote)) is not None:
        if before != now_said:
            raise KeyUsed(key=vote.idempotency_key, case_id=before["case_id"])
        return True
    key = {"reviewer": _holder(vote), "idempotency_key": vote.idempotency_key}
    connection.execute(decision_keys.delete().where(decision_keys.c.decided_at < now() - KEYS_KEPT))
    connection.execute(decision_keys.insert().values(**key, **now_said, decided_at=now()))
    return False


def _holder(vote: Vote) -> str:
    """Whose key it is: a system has its own, for all its people; no name of a person begins with a blank."""
    return vote.reviewer if vote.way is None else f" {vote.way}"


def _further(vote: Vote) -> dict[str, Any]:
    arguments = {} if vote.arguments is None else {"arguments": vote.arguments}
    return arguments if vote.way is None else arguments | {"reviewer": vote.reviewer}


def _said_before(connection: Connection, vote: Vote) -> dict[str, str | int] | None:
    """What was said under the key of a vote before; None: nothing, or too long ago."""
    columns = (decision_keys.c[name] for name in ("case_id", "decision", "round_number", "said_sha256"))
    query = sa.select(*columns).where(
        decision_keys.c.reviewer == _holder(vote),
        decision_keys.c.idempotency_key == vote.idempotency_key,
        decision_keys.c.decided_at >= now() - KEYS_KEPT,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)
