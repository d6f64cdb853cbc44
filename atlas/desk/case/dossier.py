"""All that the page of a case shows, read at one moment."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.hiding import is_score_hidden, without_score
from atlas.attention.seeded import as_others
from atlas.cases.comments import Comment, read_comments
from atlas.cases.definitions import read_definition
from atlas.cases.store import read_approvals, read_case
from atlas.cases.tables import assessments
from atlas.database.statements import one_moment
from atlas.desk.case.comparing import Difference, differences_of
from atlas.desk.case.earlier import Earlier, calls_of_agent, decided_alike, subject_of
from atlas.instants import read_instant
from atlas.models import Approval, Assessment, Case, Ruling, Stop
from atlas.reviews.deadlines import Coming, coming
from atlas.stop.covering import stop_of_call

MOST_ENTRIES = 300  # of the ledger that a page shows, the newest


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger on a page."""

    seq: int
    at: datetime
    action: str
    actor: str
    detail: dict[str, Any]
    entry_hash: str


@dataclass(frozen=True)
class Dossier:
    """A case with what is known beside it."""

    case: Case
    definition: dict[str, Any]  # of the tool, as it was recorded; empty: it never was
    approvals: tuple[Approval, ...]
    entries: tuple[Entry, ...]  # the oldest first
    version: int  # the number of its newest entry
    entries_left_out: int
    comments: tuple[Comment, ...]
    of_agent: tuple[Earlier, ...]
    alike: tuple[Earlier, ...]
    subject: dict[str, str | int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()  # from the round before
    stop: Stop | None = None  # that covers it
    coming: tuple[Coming, ...] = ()  # the next reminder, and the next escalation
    is_score_hidden: bool = False  # from the person who reads, until their first choice

    @property
    def not_checked(self) -> list[str]:
        """Where in the arguments something stands that only the server of the tool checks."""
        admitted = [entry for entry in self.entries if entry.action == ledger.Action.ADMITTED.value]
        return list(admitted[0].detail.get("not_checked", ())) if admitted else []


def read_dossier(connection: Connection, case_id: str, *, person: str) -> Dossier:
    """Read it all, as a person may see it; raises CaseNotFound."""
    with one_moment(connection):
        return _read(connection, case_id, person)


def _read(connection: Connection, case_id: str, person: str) -> Dossier:
    case = read_case(connection, case_id)
    is_hidden = is_score_hidden(connection, case, person)
    definition = read_definition(connection, case.definition_sha256 or "")
    entries, left_out = _entries(connection, case, is_hidden=is_hidden)
    subject = subject_of(case.call_in_force.arguments)
    return Dossier(
        case=case,
        definition=definition,
        approvals=read_approvals(connection, case),
        entries=entries,
        version=entries[-1].seq if entries else 0,
        entries_left_out=left_out,
        comments=read_comments(connection, case_id),
        of_agent=calls_of_agent(connection, case),
        alike=decided_alike(connection, case, subject),
        subject=subject,
        differences=() if is_hidden else _differences(connection, case, definition),
        stop=_stop(connection, case, definition),
        coming=coming(connection, case),
        is_score_hidden=is_hidden,
    )


def _stop(connection: Connection, case: Case, definition: dict[str, Any]) -> Stop | None:
    if not case.status.is_not_begun:
        return None
    call, server = case.call, definition.get("upstream")
    return stop_of_call(connection, principal=call.principal, tool_name=call.tool_name, server=server)


def _entries(connection: Connection, case: Case, *, is_hidden: bool) -> tuple[tuple[Entry, ...], int]:
    """The newest entries of a case and the first of all, in order, and how many are left out."""
    rows = as_others(connection, case, list(ledger.entries_of(connection, case.case_id)))
    shown = rows if len(rows) <= MOST_ENTRIES else [rows[0], *rows[1 - MOST_ENTRIES :]]
    told = map(without_score, shown) if is_hidden else shown
    return tuple(map(_entry, told)), len(rows) - len(shown)


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(
        seq=row["seq"],
        at=read_instant(row["at"]),
        action=row["action"],
        actor=row["actor"],
        detail=row["detail"],
        entry_hash=row["entry_hash"],
    )


def _differences(connection: Connection, case: Case, definition: dict[str, Any]) -> tuple[Difference, ...]:
    before = _judged_in(connection, case, case.round_number - 1)
    if before is None or case.assessment is None:
        return ()
    old = read_definition(connection, before.definition_sha256 or "")
    return differences_of((before, old), (case.assessment, definition))


def _judged_in(connection: Connection, case: Case, round_number: int) -> Assessment | None:
    """What was judged of a case in another round."""
    of_round = (assessments.c.case_id == case.case_id, assessments.c.round_number == round_number)
    row = connection.execute(assessments.select().where(*of_round)).mappings().first()
    if row is None:
        return None
    fields = {name: row[name] for name in Assessment.model_fields}
    ruling = Ruling.model_validate_json(fields["ruling"]) if fields["ruling"] else None
    return Assessment(**(fields | {"ruling": ruling, "trace": None}))  # what changed in it is not compared
