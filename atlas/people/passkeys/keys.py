"""The passkeys of people: added at the desk, confirmed before they count, and ended."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.errors import PasskeyRefused
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.models import Frozen
from atlas.people.tables import passkeys

MOST_PASSKEYS = 20  # of one person, ended ones left out
LONGEST_NAME = 60


class Passkey(Frozen):
    """A passkey of a person."""

    credential_id: str  # base64url, as browsers write it
    person: str
    public_key: str  # COSE, base64url
    sign_count: int
    name: str
    rp_id: str
    origin: str
    added_at: datetime
    confirmed_at: datetime | None = None
    confirmed_by: str | None = None
    used_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether approvals can be signed with it."""
        return self.confirmed_at is not None and self.ended_at is None

    @property
    def mark(self) -> str:
        """Eight characters by which a person and an operator know that they speak of the same passkey."""
        text = sha256(f"{self.credential_id}.{self.public_key}".encode()).hexdigest()[:8].upper()
        return f"{text[:4]}-{text[4:]}"


def passkeys_of(connection: Connection, person: str) -> tuple[Passkey, ...]:
    """Those of a person that have not ended, the oldest first."""
    mine = (passkeys.c.person == person, passkeys.c.ended_at.is_(None))
    rows = connection.execute(passkeys.select().where(*mine).order_by(passkeys.c.added_at)).mappings()
    return tuple(Passkey(**dict(row)) for row in rows)


def find(connection: Connection, credential_id: str) -> Passkey | None:
    """A passkey by its id, also one that has ended."""
    row = connection.execute(passkeys.select().where(passkeys.c.credential_id == credential_id)).mappings()
    found = row.first()
    return None if found is None else Passkey(**dict(found))


def add(connection: Connection, passkey: Passkey) -> None:
    """Keep a passkey, which does not count before it is confirmed; raises PasskeyRefused."""
    if find(connection, passkey.credential_id) is not None:
        raise PasskeyRefused(reason="This passkey was added before. Nothing was changed.")
    if len(passkeys_of(connection, passkey.person)) >= MOST_PASSKEYS:
        raise PasskeyRefused(reason=f"You have {MOST_PASSKEYS} passkeys. End one, then add another.")
    connection.execute(passkeys.insert().values(passkey.model_dump()))
    _write(connection, Action.PASSKEY_ADDED, passkey, actor=passkey.person, step="added")


def confirm(connection: Connection, passkey: Passkey, *, by: str, actor: str) -> None:
    """Let a passkey count from now on; `by` is `operator`, or the id of the passkey that signed for it."""
    waits = (passkeys.c.credential_id == passkey.credential_id, passkeys.c.confirmed_at.is_(None))
    change = passkeys.update().where(*waits, passkeys.c.ended_at.is_(None))
    if not connection.execute(change.values(confirmed_at=now(), confirmed_by=by)).rowcount:
        raise PasskeyRefused(reason="This passkey does not wait to be confirmed. Nothing was changed.")
    _write(connection, Action.PASSKEY_ADDED, passkey, actor=actor, step="confirmed", confirmed_by=by)


def end(connection: Connection, passkey: Passkey, *, actor: str) -> None:
    """End a passkey; what it signed can still be checked."""
    goes_on = (passkeys.c.credential_id == passkey.credential_id, passkeys.c.ended_at.is_(None))
    if not connection.execute(passkeys.update().where(*goes_on).values(ended_at=now())).rowcount:
        raise PasskeyRefused(reason="This passkey has ended already.")
    _write(connection, Action.PASSKEY_ENDED, passkey, actor=actor)


def end_all_of(connection: Connection, person: str, *, actor: str) -> None:
    """End the passkeys of a person who has ended: one who comes again adds others."""
    for passkey in passkeys_of(connection, person):
        end(connection, passkey, actor=actor)


def note_use(connection: Connection, passkey: Passkey, *, sign_count: int) -> None:
    """Keep how often its authenticator says that it has signed: a copy of it would count from less."""
    change = passkeys.update().where(passkeys.c.credential_id == passkey.credential_id)
    connection.execute(change.values(sign_count=sign_count, used_at=now()))


def named(found: Sequence[Passkey], mark: str) -> Passkey:
    """The one with a mark or an id; raises PasskeyRefused."""
    for passkey in found:
        if mark.upper() == passkey.mark or mark == passkey.credential_id:
            return passkey
    raise PasskeyRefused(reason=f"There is no passkey {mark} of this person. Nothing was changed.")


def _write(connection: Connection, action: Action, passkey: Passkey, *, actor: str, **more: str) -> None:
    detail = {
        "person": passkey.person,
        "credential_id": passkey.credential_id,
        "mark": passkey.mark,
        "name": passkey.name,
        "public_key": passkey.public_key,
        "origin": passkey.origin,
    }
    ledger.append(connection, NO_CASE, action, actor=actor, detail=detail | more)
