"""What a person asks the agent before they decide, and what it answers: a claim, which approves nothing."""

from hashlib import sha256

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.store import read_case
from atlas.cases.tables import cases
from atlas.errors import CaseFinished, NoQuestion, RequestInvalid, ReviewExpired
from atlas.instants import now
from atlas.models import AgentQuestion, Case, Status, plain_text
from atlas.outbox.notices import Kind, put
from atlas.reviews.deadlines import extend
from atlas.reviews.tables import questions

LONGEST_QUESTION = 4_000  # characters
LONGEST_ANSWER = 4_000
MOST_QUESTIONS = 20  # on one case

ASKED = "INFORMATION_REQUESTED"  # what a person says in place of a decision


def ask_agent(connection: Connection, *, case_id: str, by: str, text: str, way: str | None = None) -> Case:
    """Put a question to the agent of a case that waits; the same one again is the same.

    Raises CaseNotFound, CaseFinished, ReviewExpired and RequestInvalid.
    """
    case, said = read_case(connection, case_id), as_kept(text)
    if not said or len(said) > LONGEST_QUESTION:
        reason = f"A question has 1 to {LONGEST_QUESTION:,} characters. The agent was not asked."
        raise RequestInvalid(reason=reason)
    if case.status is not Status.PENDING_REVIEW:
        raise CaseFinished(case_id=case_id, status=case.status.value)
    if case.frozen_at is None and case.expires_at is not None and now() >= case.expires_at:
        raise ReviewExpired(case_id=case_id, expires_at=case.expires_at)
    if any((one.asked_by, one.question) == (by, said) for one in case.open_questions):
        return case
    if len(case.questions) >= MOST_QUESTIONS:
        raise RequestInvalid(reason=f"The agent was asked {MOST_QUESTIONS} times, which is the limit.")
    return _extended(
        connection, _add(connection, case, by=by, text=said, way=way), is_first=not case.questions
    )


def answer_people(
    connection: Connection, *, case_id: str, by: str, text: str, way: str, known: int | None = None
) -> Case:
    """Keep what the agent says to all that is asked of a case; the first answer counts.

    `known` is how many questions it had read, where that is known: a newer one stays open. Raises NoQuestion
    where nothing is asked, and RequestInvalid.
    """
    case, said = read_case(connection, case_id), as_kept(text)
    open_ones = [one for one in case.open_questions if one in case.questions[:known]]
    if not open_ones:
        raise NoQuestion(case_id=case_id)
    if not said or len(said) > LONGEST_ANSWER:
        raise RequestInvalid(reason=f"An answer has 1 to {LONGEST_ANSWER:,} characters. No person was told.")
    answered_at = now()
    values = {"answer": said, "answered_at": answered_at}
    is_open = (
        questions.c.case_id == case_id,
        questions.c.answer.is_(None),
        questions.c.asked_at <= open_ones[-1].asked_at,
    )
    connection.execute(questions.update().where(*is_open).values(values))
    detail = {"text_sha256": _sha256(said), "questions": len(open_ones), "way": way}
    action = ledger.Action.QUESTION_ANSWERED
    ledger.append(connection, case_id, action, actor=by, detail=detail, at=answered_at)
    put(connection, Kind.ANSWERED, case=case, to={one.asked_by for one in open_ones}, by=by)
    answered = (one.model_copy(update=values) if one in open_ones else one for one in case.questions)
    return case.model_copy(update={"questions": tuple(answered)})


def as_kept(text: str) -> str:
    """A text as it is kept: what a page would hide is left out, lines stay."""
    return "\n".join(plain_text(line) for line in text.splitlines()).strip()


def _add(connection: Connection, case: Case, *, by: str, text: str, way: str | None) -> Case:
    asked = AgentQuestion(asked_by=by, question=text, asked_at=now(), round_number=case.round_number)
    connection.execute(questions.insert().values(asked.model_dump() | {"case_id": case.case_id}))
    change = cases.update().where(cases.c.case_id == case.case_id, cases.c.asked_at.is_(None))
    connection.execute(change.values(asked_at=asked.asked_at))
    detail = {"text_sha256": _sha256(text), "round": case.round_number} | ({"way": way} if way else {})
    action = ledger.Action.QUESTION_ASKED
    ledger.append(connection, case.case_id, action, actor=by, detail=detail, at=asked.asked_at)
    return case.model_copy(update={"questions": (*case.questions, asked)})


def _extended(connection: Connection, case: Case, *, is_first: bool) -> Case:
    """More time to decide, once a case, where the rule gives some."""
    ruling = case.assessment.ruling if case.assessment else None
    seconds = ruling.review.answer_seconds if ruling else None
    if seconds is None or not is_first:
        return case
    return extend(connection, case, seconds)


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
