"""What a passkey has to sign: a text that says what it is for, good once, for one person and five minutes."""

import secrets
from datetime import timedelta
from enum import Enum
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.canonical import canonical_json
from atlas.errors import PasskeyRefused
from atlas.instants import now
from atlas.people.tables import challenges

LASTS = timedelta(minutes=5)
MOST_OF_PERSON = 50  # challenges; an older one is of no use any more
VERSION = "atlas-passkey-v1"


class Purpose(str, Enum):
    """What a signature is for; one for one purpose is of no use for another."""

    ADD = "add"  # a passkey shows that it is there
    CONFIRM = "confirm"  # a passkey that counts vouches for a new one
    APPROVE = "approve"


def make(
    connection: Connection, person: str, purpose: Purpose, *, origin: str, **about: str | int | None
) -> bytes:
    """Make a challenge: canonical JSON with its purpose in it, so that an auditor reads what was signed."""
    said = {
        "version": VERSION,
        "purpose": purpose.value,
        "person": person,
        "nonce": secrets.token_hex(16),
        **about,
    }
    challenge = canonical_json(said)
    connection.execute(challenges.delete().where(challenges.c.expires_at < now() - LASTS))
    _forget_oldest(connection, person)
    values = {"challenge_sha256": digest_of(challenge), "person": person, "purpose": purpose.value}
    moment = {"origin": origin, "expires_at": now() + LASTS, "used_at": None}
    connection.execute(challenges.insert().values(values | moment | about))
    return challenge


def _forget_oldest(connection: Connection, person: str) -> None:
    """Keep a few of a person: a program in their browser that asks for ever fills no store."""
    mine = challenges.c.person == person
    newest = sa.select(challenges.c.expires_at).where(mine).order_by(challenges.c.expires_at.desc())
    first = newest.limit(1).offset(MOST_OF_PERSON - 2).scalar_subquery()
    connection.execute(challenges.delete().where(mine, challenges.c.expires_at < first))


def take(
    connection: Connection, challenge: bytes, person: str, purpose: Purpose, **about: str | int | None
) -> str:
    """Use a challenge up, and return the origin for which it was made; raises PasskeyRefused."""
    row = connection.execute(
        challenges.select().where(challenges.c.challenge_sha256 == digest_of(challenge))
    ).first()
    if row is None or (row.person, row.purpose) != (person, purpose.value):
        raise PasskeyRefused(reason="The passkey signed something that this gateway did not ask you for.")
    if row.expires_at <= now():
        raise PasskeyRefused(reason="The passkey signed too late: what it signs is good for five minutes.")
    if any(getattr(row, name) != value for name, value in about.items()):
        raise PasskeyRefused(reason="The passkey signed another case, or this one as it was before.")
    unused = (challenges.c.challenge_sha256 == row.challenge_sha256, challenges.c.used_at.is_(None))
    if not connection.execute(challenges.update().where(*unused).values(used_at=now())).rowcount:
        raise PasskeyRefused(reason="This signature was used already: each one counts once.")
    return str(row.origin)


def digest_of(challenge: bytes) -> str:
    """How the store knows it; 64 hex digits."""
    return sha256(challenge).hexdigest()
