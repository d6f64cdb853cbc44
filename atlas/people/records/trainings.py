"""The training record: who learnt what, until when it counts, and for which scope (Article 26(2))."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.errors import PersonRefused
from atlas.frozen import Frozen
from atlas.instants import instant_text, now
from atlas.ledger import NO_CASE, Action
from atlas.people.tables import trainings


class Training(Frozen):
    """What a person learnt, and for which rules it counts."""

    training_id: int
    person: str
    scope: str  # as a rule's requires_training names it
    what: str
    until: datetime | None  # None: without an end
    noted_by: str
    noted_at: datetime
    ended_at: datetime | None = None  # when it was taken back

    @property
    def counts(self) -> bool:
        """Whether it counts now."""
        return self.ended_at is None and (self.until is None or self.until > now())


def train(
    connection: Connection, name: str, *, scope: str, what: str, until: datetime | None, actor: str
) -> None:
    """Note a training of a person; raises PersonRefused."""
    at = now()
    if until is not None and until <= at:
        raise PersonRefused(reason="A training that is over already lets no one approve. Name a later time.")
    row = {"person": name, "scope": scope, "what": what, "until": until, "noted_by": actor, "noted_at": at}
    connection.execute(trainings.insert().values(**row))
    detail = {
        "person": name,
        "scope": scope,
        "what": what,
        "until": None if until is None else instant_text(until),
    }
    ledger.append(connection, NO_CASE, Action.TRAINED, actor=actor, detail=detail, at=at)


def untrain(connection: Connection, name: str, *, scope: str, actor: str) -> int:
    """Take back what a person learnt for a scope; raises PersonRefused where nothing counts."""
    found = [one for one in trainings_of(connection, name) if one.scope == scope and one.counts]
    if not found:
        raise PersonRefused(reason=f"{name} has no training for {scope} that counts.")
    those = trainings.c.training_id.in_([one.training_id for one in found])
    connection.execute(trainings.update().where(those).values(ended_at=now()))
    detail = {"person": name, "scope": scope, "trainings": len(found)}
    ledger.append(connection, NO_CASE, Action.TRAINING_ENDED, actor=actor, detail=detail)
    return len(found)


def trainings_of(connection: Connection, name: str | None = None) -> tuple[Training, ...]:
    """All trainings of a person, or of everyone, also those that count no more."""
    query = sa.select(trainings).order_by(trainings.c.training_id)
    if name is not None:
        query = query.where(trainings.c.person == name)
    return tuple(Training(**row._mapping) for row in connection.execute(query))
