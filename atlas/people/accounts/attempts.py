"""How many sign-ins may fail: of one account from one address, of one account, and from one address.

They are counted in the store before a password is checked, so that many at once do not get past the limit and
a restart forgets none. The limit of an account alone is high: a stranger should not shut a person out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.door.connections import group_of
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.people.lasting import ATTEMPTS
from atlas.people.tables import sign_in_attempts
from atlas.settings import as_seen

STRANGER = "stranger"


@dataclass(frozen=True)
class Attempt:
    """One sign-in that is tried: in which way, from where, and with which name, if any was typed."""

    way: str
    address: str
    name: str | None = None

    @property
    def limits(self) -> dict[str, int]:
        """How many may fail, by what is counted; of a name only a digest, for people type passwords there."""
        place = group_of(self.address)
        limits = {f"address {place}": 50}
        if self.name is not None:
            account = sha256(as_seen(self.name).encode()).hexdigest()[:32]
            limits |= {f"account {account} from {place}": 10, f"account {account}": 100}
        return limits


@dataclass(frozen=True)
class Counted:
    """What counting an attempt has shown."""

    wait: timedelta | None  # how long nothing more is tried, or None
    is_first: bool  # of those that were counted together from this address


def count(connection: Connection, attempt: Attempt) -> Counted:
    """Count an attempt as failed before it is made, and say whether it may be made."""
    at = now()
    connection.execute(sign_in_attempts.delete().where(sign_in_attempts.c.began_at <= at - ATTEMPTS))
    rows = {row.subject: row for row in connection.execute(_of(attempt.limits))}
    over = [row for subject, row in rows.items() if row.failed >= attempt.limits[subject]]
    if not over:
        for subject in attempt.limits:
            _add_one(connection, subject, is_new=subject not in rows)
    for row in over:  # what is not tried writes nothing, but that a limit was met, once
        if row.failed == attempt.limits[row.subject]:
            _add_one(connection, row.subject, is_new=False)
            _note(connection, attempt, actor=STRANGER, detail={"limit": row.failed})
    is_first = f"address {group_of(attempt.address)}" not in rows
    wait = max((row.began_at + ATTEMPTS - at for row in over), default=None)
    return Counted(wait=wait, is_first=is_first)


def refused(connection: Connection, attempt: Attempt, counted: Counted, *, account: str | None) -> None:
    """Note the first of a burst of sign-ins that failed."""
    if counted.is_first:
        _note(connection, attempt, actor=account or STRANGER, detail={})


def succeeded(connection: Connection, attempt: Attempt) -> None:
    """Take back what was counted before; what failed from this address before stays counted."""
    for subject in attempt.limits:
        if " from " in subject:
            connection.execute(sign_in_attempts.delete().where(sign_in_attempts.c.subject == subject))
        else:
            one_less = sign_in_attempts.update().where(sign_in_attempts.c.subject == subject)
            connection.execute(one_less.values(failed=sign_in_attempts.c.failed - 1))
    connection.execute(sign_in_attempts.delete().where(sign_in_attempts.c.failed <= 0))


def _of(subjects: Iterable[str]) -> "sa.Select[tuple[str]]":
    return sa.select(sign_in_attempts).where(sign_in_attempts.c.subject.in_(list(subjects)))


def _add_one(connection: Connection, subject: str, *, is_new: bool) -> None:
    if is_new:
        row = sign_in_attempts.insert().values(subject=subject, began_at=now(), failed=1)
        connection.execute(row)
    else:
        one = sign_in_attempts.update().where(sign_in_attempts.c.subject == subject)
        connection.execute(one.values(failed=sign_in_attempts.c.failed + 1))


def _note(connection: Connection, attempt: Attempt, *, actor: str, detail: dict[str, int]) -> None:
    where = {"way": attempt.way, "address": group_of(attempt.address)}
    ledger.append(connection, NO_CASE, Action.SIGN_IN_REFUSED, actor=actor, detail=where | detail)
