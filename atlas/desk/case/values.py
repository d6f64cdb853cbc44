"""What the page of a case is made of, from what is known of the case and of the person who reads."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

from atlas.assessors.policy import Policy
from atlas.canonical import canonical_json, finite_json, form_of_call
from atlas.cases.comments import LONGEST_COMMENT
from atlas.desk.case.dossier import Dossier
from atlas.desk.case.origins import origins_of
from atlas.desk.case.sentence import declared, sentence_of
from atlas.desk.case.telling import action_in_words, is_by_score, may_reject, needed_of, state_of
from atlas.desk.lines import Line, canonical_lines, lines_of, stretch
from atlas.grounds.seen import digest_of_seen
from atlas.models import Case, Verdict, as_seen
from atlas.origins.saying import UNKNOWN, said_of_all, said_of_order
from atlas.people.person import Person
from atlas.reviews.asking import LONGEST_QUESTION
from atlas.reviews.changing import Change, Missing, changes_of
from atlas.reviews.passkey import needs_passkey
from atlas.reviews.permission import Standing
from atlas.reviews.undo import can_be_taken_back, seconds_to_begin

OPEN_LINES = 40  # of the arguments that are seen without unfolding
OPEN_CHARACTERS = 3_000
LONGEST_REASON = 4_000  # characters


def values_of(dossier: Dossier, person: Person, policy: Policy, *, standing: Standing) -> dict[str, Any]:
    """The values of the template, but for what belongs to one request; `standing` is that of the person."""
    case = dossier.case
    call = case.call_in_force
    form = form_of_call(call.arguments, call.continuation)
    canonical = canonical_json(form)
    return (
        {
            "dossier": dossier,
            "case": case,
            "sentence": sentence_of(case, dossier.definition),
            "declared": declared(dossier.definition),
            "state": state_of(dossier),
            "arguments": stretch(lines_of(form), 0, most=OPEN_LINES, characters=OPEN_CHARACTERS),
            "canonical": stretch(canonical_lines(canonical), 0, most=1),
            "canonical_bytes": len(canonical),
            "changes": [_shown(change) for change in changes_of(case)],
            "is_as_judged": case.assessment is None
            or case.assessment.arguments_sha256 == call.arguments_sha256,
            "rules": [] if dossier.is_score_hidden else rules_of(case, policy),
            "answer": answer_of(case),
            "needed": needed_of(case),
            "is_by_score": is_by_score(case),
            "action_in_words": action_in_words,
            "detail_lines": lambda detail: tuple(lines_of(detail)),
        }
        | _about_origins(case)
        | _about_deciding(dossier, person, policy, standing)
    )


def _shown(change: Change) -> tuple[str, str | None, str | None]:
    """A place, what the agent had there, and what a person wrote; None: nothing."""
    before, after = (
        None if isinstance(value, Missing) else value if isinstance(value, str) else finite_json(value)
        for value in (change.before, change.after)
    )
    return change.path, before, after


def _about_origins(case: Case) -> dict[str, Any]:
    """Where the arguments came from; before the call is judged there is nothing to say."""
    trace = case.assessment.trace if case.assessment else None
    return {
        "origins": origins_of(case),
        "orders": [(said_of_order(order), order) for order in (trace.orders if trace else ())],
        "said_of_trace": said_of_all(trace) if trace else (UNKNOWN,) if case.assessment else (),
    }


def _about_deciding(dossier: Dossier, person: Person, policy: Policy, standing: Standing) -> dict[str, Any]:
    case = dossier.case
    can_reject = may_reject(dossier)
    decision = case.decision
    return {
        "can_reject": can_reject,
        "why_not": standing.why_not if can_reject else None,
        "for_whom": standing.on_behalf_of,
        "is_own_decision": decision is not None and decision.reviewer == person.name,
        "is_own_approval": any(approval.reviewer == person.name for approval in dossier.approvals),
        "can_take_back": can_be_taken_back(case) and is_approver(dossier, person),
        "is_put_off": seconds_to_begin(case) > 0,
        "is_approved": decision is not None and decision.decision is Verdict.APPROVED,
        "presets": policy.file.desk.reject_reasons,
        "needs_passkey": needs_passkey(case),
        "seen_sha256": digest_of_seen(case, is_score_hidden=dossier.is_score_hidden),
        "shown_sha256": digest_of_seen(case, is_score_hidden=True),  # the score alone is no other call
        "is_own_round": is_round_of(case, person),
        "why_changed": why_changed(case),
        "idempotency_key": secrets.token_urlsafe(18),
        "longest_reason": LONGEST_REASON,
        "longest_comment": LONGEST_COMMENT,
        "longest_question": LONGEST_QUESTION,
    }


def is_round_of(case: Case, person: Person) -> bool:
    """Whether this person began the round of a case, with a change of its arguments."""
    edit = case.edit
    return edit is not None and (edit.round_number, edit.edited_by) == (case.round_number, person.name)


def why_changed(case: Case) -> str:
    """Why a case is not what an open page showed before, as far as its newest round says so."""
    edit = case.edit
    if edit is not None and edit.round_number == case.round_number:
        return f"{edit.edited_by} changed the arguments."
    reason = case.assessment.reopened_because if case.assessment else None
    return reason or ("The policy has judged it." if case.assessment else "")


def is_approver(dossier: Dossier, person: Person) -> bool:
    """Whether the approval in force is of this person, or in part, or for them."""
    given = [(one.reviewer, one.on_behalf_of) for one in dossier.approvals]
    if dossier.case.decision is not None:
        given.append((dossier.case.decision.reviewer, dossier.case.decision.on_behalf_of))
    return as_seen(person.name) in {as_seen(name) for both in given for name in both if name is not None}


def rules_of(case: Case, policy: Policy) -> list[tuple[str, dict[str, Any] | None]]:
    """The rules that matched, each as it stands in the policy file; None: that file is not in force now."""
    ruling = case.assessment.ruling if case.assessment else None
    if ruling is None:
        return []
    is_same = ruling.policy_sha256 == policy.sha256
    there = {rule.title: rule for rule in policy.file.rules} if is_same else {}
    return [
        (title, _as_in_file(there[title].model_dump(exclude_none=True)) if title in there else None)
        for title in ruling.rules
    ]


def _as_in_file(rule: dict[str, Any]) -> dict[str, Any]:
    return {key: _in_words(value) for key, value in rule.items() if key != "name"}


def _in_words(value: Any) -> Any:
    """A value of a rule on one line: several of them with commas, and the steps of `escalate` as they are."""
    if isinstance(value, tuple | list):
        return ", ".join(str(_in_words(one)) for one in value)
    if isinstance(value, dict):
        return " ".join(f"{key} {one}" for key, one in value.items())
    return value


def answer_of(case: Case) -> dict[str, Any] | None:
    """What the tool answered; None where it has not."""
    result = case.outcome.result if case.outcome else None
    return None if result is None else parts_of(result)


def parts_of(result: dict[str, Any]) -> dict[str, Any]:
    """A result of a tool: its texts, its structured content as lines, and what else there is.

    What stands there twice, as a text and as structured content, is shown once.
    """
    blocks = [block for block in result.get("content") or [] if isinstance(block, dict)]
    structured: Any = result.get("structuredContent")
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    if [structured] == [{"result": text} for text in texts]:
        structured = None
    return {
        "texts": [text for text in texts if not _is_form_of(structured, text)],
        "others": [str(block.get("type")) for block in blocks if block.get("type") != "text"],
        "structured": None if structured is None else stretch(lines_of(structured), 0, most=OPEN_LINES),
    }


def _is_form_of(structured: Any, text: Any) -> bool:
    """Whether a text is the structured content once more, as servers send it for older clients."""
    if structured is None or not isinstance(text, str):
        return False
    try:
        return canonical_json(json.loads(text)) == canonical_json(structured)
    except (ValueError, RecursionError):  # no JSON, or none that has a canonical form: it is shown
        return False


def whole(dossier: Dossier, what: str) -> Iterator[Line]:
    """All lines of one thing of a case: arguments, canonical, definition or result."""
    case = dossier.case
    call = case.call_in_force
    form = form_of_call(call.arguments, call.continuation)
    if what == "canonical":
        return canonical_lines(canonical_json(form))
    result = case.outcome.result if case.outcome else None
    return lines_of({"arguments": form, "definition": dossier.definition, "result": result or {}}[what])
