"""When a person opened a case that waits, and what they said before they were asked once more."""

from datetime import datetime
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.tables import openings, second_looks
from atlas.cases.rounds import of_this_round, round_of
from atlas.cases.tables import cases
from atlas.database.database import Database
from atlas.database.dialects import insert_of
from atlas.instants import now
from atlas.models import Case, Status
from atlas.people.votes import Vote

FIRST_CHOICE, TOO_FAST = "first_choice", "too_fast"  # kinds of second looks


class Said(NamedTuple):
    """What a person said when they were asked once more."""

    at: datetime
    idempotency_key: str | None


def is_new_to(connection: Connection, case_id: str, person: str) -> bool:
    """Whether a case waits, and this person has not opened its newest round."""
    mine = sa.exists().where(of_this_round(openings), openings.c.person == person)
    waits = (cases.c.case_id == case_id, cases.c.status == Status.PENDING_REVIEW.value)
    return connection.execute(sa.select(cases.c.case_id).where(*waits, ~mine)).first() is not None


def note_opening(connection: Connection, case_id: str, *, person: str) -> None:
    """Keep when a person opened a case that waits; the first time of each round counts."""
    round_number = sa.select(
        cases.c.case_id,
        cases.c.round_number,
        sa.literal(person),
        sa.literal(now(), openings.c.opened_at.type),
    ).where(cases.c.case_id == case_id, cases.c.status == Status.PENDING_REVIEW.value)
    names = ["case_id", "round_number", "person", "opened_at"]
    keep = insert_of(connection, openings).from_select(names, round_number).on_conflict_do_nothing()
    connection.execute(keep)


async def opened(database: Database, case_id: str, person: str) -> None:
    """Keep that a person opened a case now, where it waits and they have not opened it before."""
    if await database.look(partial(is_new_to, case_id=case_id, person=person)):
        await database.write(partial(note_opening, case_id=case_id, person=person))


def opened_at(connection: Connection, case: Case, person: str) -> datetime | None:
    """When a person opened this round of a case first; None: not at all."""
    query = sa.select(openings.c.opened_at).where(*_mine(openings, case, person))
    found: datetime | None = connection.scalar(query)
    return found


def said_before(connection: Connection, case: Case, person: str, kind: str) -> Said | None:
    """What a person said in this round when a rule asked them once more; None: it has not asked."""
    columns = (second_looks.c.at, second_looks.c.idempotency_key)
    row = connection.execute(
        sa.select(*columns).where(*_mine(second_looks, case, person), second_looks.c.kind == kind)
    ).first()
    return None if row is None else Said(*row)


def note_said(connection: Connection, case: Case, vote: Vote, kind: str, *, rule: str) -> None:
    """Keep what a person says, and that a rule asks them once more."""
    said = {"person": vote.reviewer, "kind": kind, "said": vote.verdict.value, "at": now()}
    values = round_of(case) | said | {"idempotency_key": vote.idempotency_key}
    connection.execute(second_looks.insert().values(values))
    detail = {"rule": rule, "said": vote.verdict.value, "round": case.round_number}
    ledger.append(connection, case.case_id, ledger.Action.ASKED_AGAIN, actor=vote.reviewer, detail=detail)


def _mine(table: sa.Table, case: Case, person: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.case_id == case.case_id,
        table.c.round_number == case.round_number,
        table.c.person == person,
    )
