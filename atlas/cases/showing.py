"""All that is kept of one case, as a person who decides on it is shown it; read in one moment."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.attention.hiding import is_score_hidden, judge_without_score, without_score
from atlas.attention.seeded import as_others
from atlas.canonical import canonical_json, finite, form_of_call
from atlas.cases.comments import Comment, read_comments
from atlas.cases.definitions import read_definition
from atlas.cases.lists.filters import Filter, Order
from atlas.cases.lists.finding import find
from atlas.cases.lists.listing import Line, lines_of
from atlas.cases.store import read_approvals, read_case
from atlas.database.statements import one_moment
from atlas.grounds.seen import digest_of_seen
from atlas.models import AgentQuestion, Approval, Case, Decision, Frozen, Outcome, PlanUse, Status, Stop
from atlas.origins.saying import TraceShown, shown_trace
from atlas.reviews.changing import changes_of, shown_value
from atlas.reviews.permission import Standing

MOST_EARLIER = 10  # cases of the same agent, and of the same tool


class Judgement(Frozen):
    """Why the call waits, or does not; a rule can hide the score from a person until their first choice."""

    is_hidden: bool = False
    risk_score: int | None
    threshold: int
    classification: str | None
    rationale: str | None
    assessor: str
    assessed_at: datetime
    model: str | None
    model_score: int | None
    prompt_version: str | None
    rules: tuple[str, ...]
    legal_basis: str | None
    policy_sha256: str | None
    is_denied: bool
    reopened_because: str | None


class Needed(Frozen):
    """Who may approve, and how many of them have to."""

    reviewers: tuple[str, ...]  # none: every reviewer
    approvals: int
    may_edit: tuple[str, ...]  # paths of arguments that a person may change who approves it
    given: tuple[Approval, ...]
    passkey: bool = False  # to approve takes a passkey, at the desk


class ToolShown(Frozen):
    """What the tool says of itself; nothing of it is checked."""

    definition_sha256: str | None
    title: str | None
    description: str | None
    server: str | None  # behind the gateway, that offers it


class ChangeShown(Frozen):
    """A place in the arguments, as the agent had it and as a person changed it."""

    path: str
    before: Any  # null also where nothing stood
    after: Any


class EditShown(Frozen):
    """What a person changed in the arguments that the agent proposed."""

    edited_by: str
    edited_at: datetime
    round: int
    changes: tuple[ChangeShown, ...]
    proposed: dict[str, Any]
    proposed_sha256: str


class Entry(Frozen):
    """An entry of the ledger."""

    seq: int
    at: str
    action: str
    actor: str
    detail: Any
    previous_hash: str
    entry_hash: str


class Shown(Frozen):
    """A case with all that is known of it."""

    case_id: str
    status: Status
    version: int  # the number of its newest ledger entry
    round: int
    seen_sha256: str  # what an approval of this very call, tool, policy and round carries
    tool: str
    agent: str
    arguments: dict[str, Any]
    canonical: str  # the RFC 8785 form of what the tool gets, of which arguments_sha256 is the SHA-256
    arguments_sha256: str
    edit: EditShown | None  # what a person changed; the arguments above are those with it
    agent_claims: dict[str, str]  # what the agent says; it can be false
    not_checked: tuple[str, ...]  # parts of the arguments that the tool's server alone checks
    definition: ToolShown
    opened_at: datetime
    expires_at: datetime | None
    begins_at: datetime | None  # of an approved call, before which the approval can be taken back
    frozen_at: datetime | None
    stop: Stop | None  # because of which it does not go on, and its time does not run
    finished_at: datetime | None
    assessment: Judgement | None
    trace: TraceShown | None  # where the arguments came from; None: not on record
    ruling: Needed
    decision: Decision | None
    plan: PlanUse | None  # that let it pass, in the place of a decision
    outcome: Outcome | None
    questions: tuple[AgentQuestion, ...]  # to the agent; its answers are claims
    comments: tuple[Comment, ...]
    waiting_before: tuple[str, ...]
    earlier_of_agent: tuple[Line, ...]  # evidence, not authority
    earlier_of_tool: tuple[Line, ...]
    timeline: tuple[Entry, ...]
    you: Standing | None = None  # what the person who asks can do with it; None: it is decided


def shown(connection: Connection, case_id: str, *, person: str) -> Shown:
    """The case with all that belongs to it, as a person may see it; raises CaseNotFound."""
    with one_moment(connection):
        case = read_case(connection, case_id)
        is_hidden = is_score_hidden(connection, case, person)
        [line] = lines_of(connection, [case_id])
        told = as_others(connection, case, list(ledger.entries_of(connection, case_id)))
        entries = tuple(Entry(**(without_score(entry) if is_hidden else entry)) for entry in told)
        call = case.call_in_force
        form = form_of_call(call.arguments, call.continuation)
        return Shown(
            case_id=case_id,
            status=case.status,
            version=line.version,
            round=case.round_number,
            seen_sha256=digest_of_seen(case, is_score_hidden=is_hidden),
            tool=case.call.tool_name,
            agent=case.call.principal,
            arguments=call.arguments,
            canonical=canonical_json(form).decode(),
            arguments_sha256=call.arguments_sha256,
            edit=_edit(case),
            agent_claims=case.call.claims,
            not_checked=_not_checked(entries),
            definition=_tool(connection, case),
            opened_at=case.opened_at,
            expires_at=case.expires_at,
            begins_at=case.begins_at,
            frozen_at=case.frozen_at,
            stop=case.stop,
            finished_at=line.finished_at,
            assessment=_judgement(case, is_hidden=is_hidden),
            trace=_trace(case),
            ruling=_needed(connection, case),
            decision=case.decision,
            plan=case.plan,
            outcome=_outcome(case),
            questions=case.questions,
            comments=read_comments(connection, case_id),
            waiting_before=case.waiting_before,
            earlier_of_agent=_earlier(connection, case, is_hidden=is_hidden, agent=case.call.principal),
            earlier_of_tool=_earlier(connection, case, is_hidden=is_hidden, tool=case.call.tool_name),
            timeline=entries,
        )


def _not_checked(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    admitted = next((one for one in entries if one.action == ledger.Action.ADMITTED.value), None)
    return tuple(admitted.detail.get("not_checked", ())) if admitted else ()


def _tool(connection: Connection, case: Case) -> ToolShown:
    said = read_definition(connection, case.definition_sha256 or "")
    return ToolShown(
        definition_sha256=case.definition_sha256,
        title=said.get("title") or (said.get("annotations") or {}).get("title"),
        description=said.get("description"),
        server=said.get("upstream"),
    )


def _judgement(case: Case, *, is_hidden: bool) -> Judgement | None:
    if (judged := case.assessment) is None:
        return None
    ruling = judged.ruling
    told = {name: getattr(judged, name) for name in Judgement.model_fields if hasattr(judged, name)}
    hidden: dict[str, Any] = {}
    if is_hidden:
        hidden = dict.fromkeys(("risk_score", "classification", "rationale", "model_score"))
        hidden["assessor"] = judge_without_score(judged.assessor)
    return Judgement(
        **(told | hidden),
        is_hidden=is_hidden,
        rules=ruling.rules if ruling else (),
        legal_basis=ruling.legal_basis if ruling else None,
        policy_sha256=ruling.policy_sha256 if ruling else None,
    )


def _trace(case: Case) -> TraceShown | None:
    trace = case.assessment.trace if case.assessment else None
    return None if trace is None else shown_trace(trace, case.call_in_force, case=case)


def _edit(case: Case) -> EditShown | None:
    if (edit := case.edit) is None:
        return None
    return EditShown(
        edited_by=edit.edited_by,
        edited_at=edit.edited_at,
        round=edit.round_number,
        changes=tuple(
            ChangeShown(path=change.path, before=shown_value(change.before), after=shown_value(change.after))
            for change in changes_of(case)
        ),
        proposed=case.call.arguments,
        proposed_sha256=case.call.arguments_sha256,
    )


def _needed(connection: Connection, case: Case) -> Needed:
    ruling = case.assessment.ruling if case.assessment else None
    return Needed(
        reviewers=ruling.reviewers if ruling else (),
        approvals=case.assessment.approvals if case.assessment else 1,
        may_edit=ruling.review.may_edit if ruling else (),
        given=read_approvals(connection, case),
        passkey=ruling is not None and ruling.review.needs_passkey,
    )


def _outcome(case: Case) -> Outcome | None:
    """With texts in the place of numbers that JSON does not have."""
    if case.outcome is None:
        return None
    return case.outcome.model_copy(update={"result": finite(case.outcome.result)})


def _earlier(
    connection: Connection,
    case: Case,
    *,
    is_hidden: bool,
    agent: str | None = None,
    tool: str | None = None,
) -> tuple[Line, ...]:
    asked = Filter(agent=agent, tool=tool, opened_before=case.opened_at)
    found = find(connection, asked, Order.NEWEST, after=None, limit=MOST_EARLIER)
    lines = tuple(line for line in lines_of(connection, found.case_ids) if not line.is_seeded)
    if not is_hidden:
        return lines
    # Alike calls have alike scores.
    return tuple(replace(line, risk_score=None, classification=None) for line in lines)
