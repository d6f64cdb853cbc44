"""Whom a provider or a proxy means by a name: two that look alike never become one person.

The first to come in with a name has it. What stays the same about a person, such as the issuer and its
subject, is kept as a SHA-256. The name of the first time is the name in the record, also if it changes later.
"""

import json
from collections.abc import Collection
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.database import Database
from atlas.errors import NotPermitted
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.models import as_seen
from atlas.people.person import Person, Way
from atlas.people.records.keeping import note_groups, read_groups
from atlas.people.records.profiles import has_ended
from atlas.people.tables import identities, people

FROM = {Way.OIDC: "an OpenID provider", Way.PROXY: "the trusted proxy"}


class Identities:
    """Knows who came in by a provider or a proxy before."""

    def __init__(self, database: Database, names_of_keys: Collection[str]) -> None:
        self._database = database
        self._names_of_keys = {as_seen(name) for name in names_of_keys}

    async def admitted(self, person: Person, subject: tuple[str, ...]) -> Person:
        """The person under their own name; raises NotPermitted if it is another person's, or has ended."""
        digest = sha256(json.dumps([person.way.value, *subject]).encode()).hexdigest()
        name = await self._database.read(lambda connection: _known(connection, digest))
        if name is None:
            self._refuse_name_of_key(person)
            name = await self._database.write(lambda connection: _first(connection, person, digest))
        known = person.model_copy(update={"name": name})
        self._refuse_name_of_key(known)
        await self._note_groups(known)
        return known

    async def _note_groups(self, person: Person) -> None:
        """Keep the groups of the last sign-in: the person belongs to them also while not signed in."""
        kept = await self._database.read(lambda connection: read_groups(connection, person.name))
        groups = tuple(dict.fromkeys(person.groups))
        if kept != groups:
            await self._database.write(lambda connection: note_groups(connection, person.name, groups))

    def has_key(self, name: str) -> bool:
        """Whether a reviewer's key has a name that looks the same."""
        return as_seen(name) in self._names_of_keys

    def _refuse_name_of_key(self, person: Person) -> None:
        if self.has_key(person.name):
            raise NotPermitted(
                reason=f"{person.name} is the name of a reviewer's key (ATLAS_REVIEWER_KEY), and one name is "
                f"one person. Rename that key or remove it, or have {FROM[person.way]} use another name."
            )


def _known(connection: Connection, digest: str) -> str | None:
    """The name of one who came in before; raises NotPermitted if an operator has ended it."""
    found = (
        sa.select(identities.c.person, people.c.ended_at)
        .join_from(identities, people, people.c.name == identities.c.person)
        .where(identities.c.subject_sha256 == digest)
    )
    row = connection.execute(found).first()
    if row is not None and (row.ended_at is not None or has_ended(connection, row.person)):
        raise NotPermitted(reason=f"An operator of this gateway has ended the access of {row.person}.")
    return None if row is None else str(row.person)


def _first(connection: Connection, person: Person, digest: str) -> str:
    """Note a person who comes in for the first time, unless another has a name that looks the same."""
    known = _known(connection, digest)  # by a request that was quicker
    if known is not None:
        return known
    same = sa.select(people.c.name).where(people.c.seen_as == as_seen(person.name))
    other = connection.execute(same).scalar()
    if other is not None:
        raise NotPermitted(
            reason=f"{person.name} cannot come in by {FROM[person.way]}: {other} is another person here, who "
            "came in before or has an account (python -m atlas.people list). One name is one person. Have "
            f"{FROM[person.way]} use another name for one of them."
        )
    at = now()
    if has_ended(connection, person.name):  # as the holder of a key
        raise NotPermitted(reason=f"An operator of this gateway has ended the access of {person.name}.")
    row = {"name": person.name, "seen_as": as_seen(person.name), "groups": "[]", "added_at": at}
    connection.execute(people.insert().values(row))
    kept = {"subject_sha256": digest, "person": person.name, "way": person.way.value, "first_seen_at": at}
    connection.execute(identities.insert().values(kept))
    detail = {"way": person.way.value}
    ledger.append(connection, NO_CASE, Action.PERSON_ADDED, actor=person.name, detail=detail, at=at)
    return person.name
