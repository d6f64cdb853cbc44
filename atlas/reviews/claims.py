"""Who has taken a case, to whom it was given, and who has put it aside: none of it blocks a decision."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import read_case
from atlas.cases.tables import cases
from atlas.database.dialects import insert_of, without_index
from atlas.errors import CaseFinished, ClaimedByAnother, NotNow
from atlas.frozen import Frozen
from atlas.instants import moment, now
from atlas.models import Case, Status
from atlas.outbox import notices
from atlas.reviews.tables import assignments, claims, snoozes

CLAIM_HOLDS = timedelta(minutes=5)
SHARE_OF_TIME = 0.9  # beyond which no one puts a case aside
MOST_ASIDE = 20  # that an inbox says when they come back


class Claim(Frozen):
    """Who has taken a case, and until when if they do not say so again."""

    case_id: str
    person: str
    claimed_at: datetime
    ends_at: datetime


class Assignment(Frozen):
    """To whom a supervisor gave a case."""

    case_id: str
    person: str
    assigned_by: str
    assigned_at: datetime


class Aside(Frozen):
    """Until when a person has put a case aside; None: they have not."""

    case_id: str
    until: datetime | None


def claim(connection: Connection, case_id: str, *, person: str) -> Claim:
    """Take a case, or say once more that one has it; raises ClaimedByAnother, CaseFinished, CaseNotFound."""
    _waiting(connection, case_id)
    held, at = claim_of(connection, case_id), now()
    if held is not None and held.person != person:
        raise ClaimedByAnother(case_id=case_id, person=held.person, until=moment(held.ends_at))
    since = held.claimed_at if held else at
    made = Claim(case_id=case_id, person=person, claimed_at=since, ends_at=at + CLAIM_HOLDS)
    _replace(connection, claims, made.model_dump(), key=("case_id",))
    return made


def renew(connection: Connection, case_id: str, *, person: str) -> None:
    """Say once more that one has a case, if one has it."""
    own = (claims.c.case_id == case_id, claims.c.person == person, claims.c.ends_at > now())
    connection.execute(claims.update().where(*own).values(ends_at=now() + CLAIM_HOLDS))


def release(connection: Connection, case_id: str, *, person: str) -> None:
    """Give a case back; raises CaseNotFound."""
    read_case(connection, case_id)
    connection.execute(claims.delete().where(claims.c.case_id == case_id, claims.c.person == person))


def assign(connection: Connection, case_id: str, *, to: str, by: str) -> Assignment:
    """Give a case to a person, who is told; raises CaseFinished and CaseNotFound."""
    case = _waiting(connection, case_id)
    before = assignment_of(connection, case_id)
    if before is not None and before.person == to:
        return before
    made = Assignment(case_id=case_id, person=to, assigned_by=by, assigned_at=now())
    _replace(connection, assignments, made.model_dump(), key=("case_id",))
    detail = {"to": to, "before": before.person if before else None}
    action = ledger.Action.ASSIGNED
    ledger.append(connection, case_id, action, actor=by, detail=detail, at=made.assigned_at)
    notices.put(connection, notices.Kind.ASSIGNED, case=case, to=[to], by=by)
    return made


def put_aside(connection: Connection, case_id: str, *, person: str, until: datetime | None) -> Aside:
    """Put a case aside for one person, never later than nine tenths of its time; None brings it back.

    Raises NotNow, CaseFinished and CaseNotFound.
    """
    own = (snoozes.c.case_id == case_id, snoozes.c.person == person)
    if until is None:
        read_case(connection, case_id)
        connection.execute(snoozes.delete().where(*own))
        return Aside(case_id=case_id, until=None)
    case = _waiting(connection, case_id)
    latest = latest_return(case)
    if not now() < until <= latest:
        raise NotNow(case_id=case_id, latest=moment(latest))
    row = {"case_id": case_id, "person": person, "round_number": case.round_number, "until": until}
    _replace(connection, snoozes, row, key=("case_id", "person"))
    return Aside(case_id=case_id, until=until)


def latest_return(case: Case) -> datetime:
    """Until when a case can be put aside: nine tenths of the time since it was judged, or since it came."""
    begin = case.assessment.assessed_at if case.assessment else case.opened_at
    end = case.expires_at or begin
    return begin + (end - begin) * SHARE_OF_TIME


def claim_of(connection: Connection, case_id: str) -> Claim | None:
    """Who has a case now."""
    return claims_of(connection, [case_id]).get(case_id)


def claims_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, Claim]:
    """Who has which of some cases now."""
    query = claims.select().where(claims.c.case_id.in_(case_ids), claims.c.ends_at > now())
    return {row["case_id"]: Claim(**row) for row in connection.execute(query).mappings()}


def assignment_of(connection: Connection, case_id: str) -> Assignment | None:
    """To whom a case was given last."""
    return assignments_of(connection, [case_id]).get(case_id)


def assignments_of(connection: Connection, case_ids: Sequence[str]) -> dict[str, Assignment]:
    """To whom some cases were given."""
    query = assignments.select().where(assignments.c.case_id.in_(case_ids))
    return {row["case_id"]: Assignment(**row) for row in connection.execute(query).mappings()}


def is_aside(person: str) -> sa.ColumnElement[bool]:
    """The condition that a person has put a case aside, in the round in which it stands."""
    return sa.exists().where(*_aside(person))


def _aside(person: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        snoozes.c.case_id == cases.c.case_id,
        snoozes.c.person == person,
        snoozes.c.round_number == cases.c.round_number,
        snoozes.c.until > now(),
    )


def is_assigned(person: str) -> sa.ColumnElement[bool]:
    """The condition that a case was given to a person."""
    return sa.exists().where(assignments.c.case_id == cases.c.case_id, assignments.c.person == person)


def count_assigned(connection: Connection, person: str, *, most: int) -> int:
    """How many calls that wait were given to a person, counted up to `most`."""
    # By the index of what the person was given, which is little, and not by that of all that waits.
    waits = without_index(cases.c.status) == Status.PENDING_REVIEW.value
    given = sa.select(assignments.c.case_id).where(assignments.c.person == person)
    given = given.join(cases, cases.c.case_id == assignments.c.case_id).where(waits).limit(most)
    return int(connection.scalar(sa.select(sa.func.count()).select_from(given.subquery())) or 0)


def aside_of(connection: Connection, person: str) -> dict[str, datetime]:
    """What a person has put aside, with the time of its return; what returns first comes first."""
    waits = cases.c.status == Status.PENDING_REVIEW.value
    query = sa.select(snoozes.c.case_id, snoozes.c.until).where(*_aside(person), waits)
    query = query.order_by(snoozes.c.until)
    return {row.case_id: row.until for row in connection.execute(query)}


def _waiting(connection: Connection, case_id: str) -> Case:
    case = read_case(connection, case_id)
    if case.status is not Status.PENDING_REVIEW:
        raise CaseFinished(case_id=case_id, status=case.status.value)
    return case


def _replace(connection: Connection, table: sa.Table, row: dict[str, Any], *, key: tuple[str, ...]) -> None:
    statement = insert_of(connection, table).values(row)
    others = {name: value for name, value in row.items() if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=others))
