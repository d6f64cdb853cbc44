"""A call whose tool or policy changed since it was judged is judged again, and then a person decides.

What was decided on the old state stays in the ledger and in its tables, and does not count any more.
"""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.cases.definitions import differences, read_definition
from atlas.cases.endings import GATEWAY
from atlas.cases.judgements import record_assessment
from atlas.cases.reviews import deny, request_review
from atlas.cases.rounds import next_round
from atlas.cases.store import read_approvals
from atlas.instants import now
from atlas.models import (
    NO_TOOL,
    Assessment,
    Case,
    Ruling,
)

SCORES = ("score", "floor", "classification")  # what a rule can hide until a person's first choice


def what_changed(connection: Connection, case: Case, ruled: Assessment) -> str | None:
    """What has changed since the case was judged, in a sentence for the reviewer; None: nothing.

    `ruled` is what the policy in force says of the call, with the tool as it is now.

    A case that a person approved before definitions were recorded is executed as it was approved then: there
    is nothing to compare with, and an upgrade takes no approval away. If such a case still waited, its
    approval is for the tool as it is at that moment, which is recorded then.
    """
    if case.decision is not None and not judged_definitions(case):
        return None
    return " ".join([*_tool_changes(connection, case, ruled), *_policy_changes(case, ruled)]) or None


def is_as_judged(case: Case, definition_sha256: str | None, policy_sha256: str) -> bool:
    """Whether tool and policy are what they were, by their digests alone; `what_changed` says the rest."""
    if case.decision is not None and not judged_definitions(case):
        return True
    ruling = case.assessment.ruling if case.assessment else None
    is_same_policy = case.assessment is None or _sha256(ruling) == policy_sha256
    return is_same_policy and judged_definitions(case) <= {definition_sha256}


def is_missing(case: Case, ruled: Assessment) -> bool:
    """Whether the tool is not there, though it was when the case was admitted or judged."""
    return ruled.definition_sha256 == NO_TOOL and bool(judged_definitions(case) - {NO_TOOL})


def judged_definitions(case: Case) -> set[str]:
    """The digests of the definitions with which the case was admitted and judged; of an old case none.

    NO_TOOL is among them if the tool was not there when the case was judged.
    """
    assessed = case.assessment.definition_sha256 if case.assessment else None
    return {sha256 for sha256 in (case.definition_sha256, assessed) if sha256 is not None}


def reopen(connection: Connection, case: Case, ruled: Assessment, *, reason: str) -> Case:
    """Begin another round, in which the policy in force has judged the case and no one has decided.

    The score is not below the threshold, nor below what a model said in the round before. The caller moves
    the case on in the same transaction, which writes the round.
    """
    judged = renewed(case, ruled, reason=reason)
    _append(connection, case, judged, reason)
    is_there = ruled.definition_sha256 not in (None, NO_TOOL)
    # While the tool is missing the case stays bound to what it was, and is judged again when it is back.
    bound = ruled.definition_sha256 if is_there else case.definition_sha256
    case = next_round(case, definition_sha256=bound)
    return record_assessment(connection, case, judged)


def renewed(case: Case, ruled: Assessment, *, reason: str) -> Assessment:
    """The assessment of the next round: never below the threshold, nor below what a model said before."""
    model = case.assessment
    return ruled.model_copy(
        update={
            "risk_score": max(ruled.risk_score, ruled.threshold, (model and model.model_score) or 0),
            "model_score": model.model_score if model else None,
            "model": model.model if model else None,
            "prompt_version": model.prompt_version if model else None,
            "reopened_because": reason,
            "assessed_at": now(),
        }
    )


def withdrawn_approvals(connection: Connection, case: Case) -> list[str]:
    """Who approved in this round, which does not count in the next one."""
    withdrawn = {approval.reviewer for approval in read_approvals(connection, case)}
    return sorted(withdrawn | ({case.decision.reviewer} if case.decision else set()))


def _append(connection: Connection, case: Case, judged: Assessment, reason: str) -> None:
    before = case.assessment.ruling if case.assessment else None
    detail = {
        "reason": reason,
        "round": case.round_number + 1,
        "status": case.status.value,
        "withdrawn_approvals": withdrawn_approvals(connection, case),
        "definition_sha256": [case.definition_sha256, judged.definition_sha256],
        "policy_sha256": [_sha256(before), _sha256(judged.ruling)],
    }
    ledger.append(connection, case.case_id, ledger.Action.REOPENED, actor=GATEWAY, detail=detail)


def _tool_changes(connection: Connection, case: Case, ruled: Assessment) -> Iterator[str]:
    name, present = case.call.tool_name, ruled.definition_sha256
    if is_missing(case, ruled):
        yield f"The tool {name} is not there."
        return
    if present in (None, NO_TOOL):
        return
    judged = judged_definitions(case)
    if NO_TOOL in judged:
        yield f"The tool {name} was not there when this call was judged."
    others = judged - {present, NO_TOOL}
    if not others:
        return
    before = case.definition_sha256 if case.definition_sha256 in others else others.pop()
    what = differences(read_definition(connection, before or ""), read_definition(connection, present))
    yield f"The tool {name} has changed since this call was judged: {what}."


def _policy_changes(case: Case, ruled: Assessment) -> Iterator[str]:
    if case.assessment is None:
        return  # it has not been judged before
    before, after = case.assessment.ruling, ruled.ruling
    if _sha256(before) == _sha256(after):
        return
    if before is None or after is None:
        when = "could not be applied then" if before is None else "cannot be applied any more"
        yield f"The policy is another one since this call was judged: it {when}."
    else:
        what = ", ".join(_ruling_changes(before, after)) or "nothing that concerns this call"
        yield f"The policy was changed since this call was judged: {what}."


def _sha256(ruling: Ruling | None) -> str | None:
    return ruling.policy_sha256 if ruling else None


def _ruling_changes(before: Ruling, after: Ruling) -> Iterator[str]:
    """What the policy says differently, but for the names of its rules, which mean nothing on their own."""
    if after.is_denied != before.is_denied:
        yield "it denies this call" if after.is_denied else "it does not deny this call any more"
    told, tells = _told(before), _told(after)
    hidden = SCORES if before.review.hides_score or after.review.hides_score else ()
    for name in told:
        if told[name] != tells[name]:
            yield f"its {name}" if name in hidden else f"{name} {told[name]} -> {tells[name]}"
    # Whether a plan may let it pass follows from the floor, which is told already.
    alike = {"allows_plans": after.review.allows_plans}
    if before.review.model_copy(update=alike) != after.review:
        yield "what it asks of the people who decide"
    if before.rationale != after.rationale:
        yield "its reasons"


def _told(ruling: Ruling) -> dict[str, str]:
    seconds = ruling.review_seconds
    return {
        "score": str(ruling.score),
        "floor": str(ruling.floor),
        "approvals": str(ruling.approvals),
        "reviewers": ", ".join(ruling.reviewers) or "everybody",
        "time to decide": str(timedelta(seconds=seconds)) if seconds else "the usual",
        "classification": ruling.classification,
        "legal basis": ruling.legal_basis or "none",
    }


def send_back(
    connection: Connection, case: Case, ruled: Assessment, timeout: timedelta, *, reason: str
) -> Case:
    """Have a changed case judged again, and put it before a person, or end it if it is denied now."""
    case = reopen(connection, case, ruled, reason=reason)
    if ruled.is_denied:
        return deny(connection, case, ruled)
    return request_review(connection, case, timeout, reason=reason)
