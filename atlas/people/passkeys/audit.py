"""An auditor's check of approvals that a passkey signed: by the ledger, and by the signature itself."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.dialects import json_value
from atlas.errors import AtlasError, PasskeyRefused
from atlas.ledger import Action
from atlas.models import Frozen
from atlas.people.passkeys import ceremonies, challenges
from atlas.people.passkeys.challenges import Purpose
from atlas.people.passkeys.keys import Passkey, find
from atlas.reviews.tables import assertions

_APPROVALS = (Action.APPROVED.value, Action.APPROVAL_COUNTED.value)


class SignatureBroken(AtlasError):
    """Entry {seq} of the ledger, an approval of case {case_id}: {reason}"""


class Signed(Frozen):
    """An entry of the ledger that names a signature."""

    seq: int
    case_id: str
    actor: str
    assertion_sha256: str


def check_all(connection: Connection, *, case_id: str | None = None) -> str:
    """Check each approval with a signature, and say how many hold; raises SignatureBroken at the first.

    `python -m atlas.ledger verify` checks the ledger itself.
    """
    count = 0
    for entry in _signed(connection, case_id):
        try:
            _check(connection, entry)
        except PasskeyRefused as refusal:
            raise SignatureBroken(seq=entry.seq, case_id=entry.case_id, reason=str(refusal)) from refusal
        count += 1
    return f"OK: {count} approval{'' if count == 1 else 's'} with a passkey's signature checked."


def _signed(connection: Connection, case_id: str | None) -> Iterator[Signed]:
    entries = ledger.entries
    digest = json_value(entries.c.detail, "assertion_sha256")
    query = sa.select(entries.c.seq, entries.c.case_id, entries.c.actor, digest.label("assertion_sha256"))
    query = query.where(entries.c.action.in_(_APPROVALS), digest.is_not(None)).order_by(entries.c.seq)
    if case_id is not None:
        query = query.where(entries.c.case_id == case_id)
    for row in connection.execute(query).mappings():
        yield Signed(**dict(row))


def _check(connection: Connection, entry: Signed) -> None:
    """That the signature is the one of the ledger, over this case, by a passkey that the ledger knows."""
    kept = connection.scalar(
        sa.select(assertions.c.assertion).where(assertions.c.assertion_sha256 == entry.assertion_sha256)
    )
    if kept is None or sha256(kept.encode()).hexdigest() != entry.assertion_sha256:
        raise PasskeyRefused(reason="what was signed is not kept as the ledger names it.")
    record = json.loads(kept)
    credential = json.dumps(record["credential"])
    credential_id, challenge = ceremonies.said_by(credential)
    _check_challenge(challenge, entry)
    passkey = _as_recorded(connection, credential_id, record, person=entry.actor)
    ceremonies.check(credential, passkey, challenge, sign_count=record["sign_count_before"])


def _check_challenge(challenge: bytes, entry: Signed) -> None:
    said = json.loads(challenge)
    wanted = {
        "version": challenges.VERSION,
        "purpose": Purpose.APPROVE.value,
        "person": entry.actor,
        "case_id": entry.case_id,
    }
    if {name: said.get(name) for name in wanted} != wanted:
        raise PasskeyRefused(reason="what was signed is about something else.")


def _as_recorded(
    connection: Connection, credential_id: str, record: dict[str, Any], *, person: str
) -> Passkey:
    """The passkey, with the public key under which the ledger has it."""
    passkey = find(connection, credential_id)
    entries = ledger.entries
    detail = sa.select(entries.c.detail).where(entries.c.action == Action.PASSKEY_ADDED.value)
    known = {
        (told["person"], told["public_key"], told["origin"])
        for (text,) in connection.execute(detail)
        if (told := json.loads(text))["credential_id"] == credential_id and told["step"] == "confirmed"
    }
    if passkey is None or (person, record["public_key"], record["origin"]) not in known:
        raise PasskeyRefused(reason="the ledger knows no such passkey of this person.")
    return passkey.model_copy(update={name: record[name] for name in ("public_key", "origin", "rp_id")})
