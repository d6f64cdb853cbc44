"""What an agent reads of its call: the notice while it waits, its tool's answer, or why there is none.

Text and structured content say the same, because some clients show their model only one of the two. The
state and the tool's first text are one block, because others show only the first.
"""

from typing import Any

from fastmcp.tools import InputRequiredToolResult, ToolResult
from mcp.types import CallToolResult, InputRequiredResult, TextContent

from atlas.agents.client_errors import error_beside, raise_client_error
from atlas.agents.results import as_it_came
from atlas.canonical import finite_json
from atlas.instants import instant_text
from atlas.models import AgentQuestion, Case, Outcome, Status, Stop, plain_text
from atlas.reviews.changing import Missing, changes_of
from atlas.reviews.undo import seconds_to_begin
from atlas.stop.words import told

GET_OUTCOME, GIVE_INFORMATION = "get_outcome", "give_information"
LONGEST_WAIT_SECONDS = 25  # of get_outcome; most clients give up on a call after 60 seconds
USUAL_WAIT_SECONDS = 3  # what an agent is advised to ask for; some clients give up after 5 seconds
MOST_CHANGES = 5  # arguments that a person changed, in a sentence; `called_with` has them all
LONGEST_VALUE, LONGEST_PATH = 200, 80  # characters of one, and of its place
ABOUT_CASE = "io.atlas/case"  # in `_meta` of what the gateway itself answers: ref, status, finished_at

# What every agent is told when it connects; the same text stands in the documentation.
INSTRUCTIONS = """\
Some of your tool calls are reviewed before they take effect. When a tool answers with a reference instead of
its result, as in "PENDING REVIEW (Ref: evt_…)":
- The call has not failed, and it has not succeeded. It waits for a decision.
- Tell the user the reference, and that the action waits for review.
- Do not call the tool again, do not reword the call, and do not try to reach the same end with another tool.
- To learn the outcome, call `get_outcome` with the reference as ref and 3 as wait_seconds. If the call still
  waits, go on with other work, and ask later.
- When it is INFORMATION REQUESTED, a person asks you something before they decide. Answer with
  `give_information`, with what you know; if you do not know it, ask the user, or say so.
- When the outcome is REJECTED, DENIED, EXPIRED or FAILED, nothing was done. Tell the user so, with the reason
  if there is one, and respect it.
- When it is OUTCOME UNKNOWN, tell the user that a person has to check whether it took effect. Do not repeat
  it.
"""

PROGRESS = {
    Status.QUEUED: "The call is recorded and waits to be assessed.",
    Status.PENDING_REVIEW: "The call waits for a person to decide.",
    Status.AUTHORIZED: "The call is approved and about to be executed.",
    Status.EXECUTING: "The call is approved and is being executed.",
}

HELD = {
    Status.PENDING_REVIEW: "The call waits for a person to lift a stop, and then to decide.",
    Status.AUTHORIZED: "The call is approved, and begins only when a person has lifted a stop.",
    Status.EXECUTING: "The call was begun and broke off; it is repeated when a person has lifted a stop.",
}


def answer(case: Case, *, as_text: bool = False) -> ToolResult:
    """What the agent's call returns: the tool's own result, the pending notice, or why there is no result.

    A refusal is an error, because the protocol calls everything else a success: what was asked for was not
    done. An unknown outcome is no error: a client that repeats what failed could do the same thing twice.

    What a tool asks can only be put to the agent in its call; elsewhere it is told as a text.
    """
    outcome = case.outcome
    if case.edit is not None and answered(case) is not None:
        return outcome_answer(case, is_call=True)  # with what the tool was called with, which it does not say
    if outcome is not None and outcome.result is not None and not (as_text and outcome.asks_for_input):
        if outcome.asks_for_input:
            return InputRequiredToolResult(InputRequiredResult.model_validate(_asking(case, outcome.result)))
        if not as_text:
            raise_client_error(outcome.result)
        return as_it_came(CallToolResult.model_validate(outcome.result))
    return _told(case, is_error=case.status.is_final and not case.status.may_have_run)


def _asking(case: Case, result: dict[str, Any]) -> dict[str, Any]:
    """What a tool asks, with a word on the call where a person changed it."""
    if not is_changed(case):
        return result
    return result | {"_meta": {**(result.get("_meta") or {}), ABOUT_CASE: about(case)}}


def outcome_answer(case: Case, *, is_call: bool = False) -> ToolResult:
    """What get_outcome returns: state and first text of the tool in one block, then its other blocks.

    It is never an error, even if the call failed: asking for the outcome has succeeded. As the answer to the
    call itself, it is one if the tool's answer was.
    """
    outcome = answered(case)
    if outcome is None:
        return _told(case)
    facts, content = facts_of(case), CallToolResult.model_validate(outcome.result).content
    lines, others = [facts["message"]], content
    if content and isinstance(content[0], TextContent):
        lines, others = [*lines, content[0].text], content[1:]
    head = TextContent(type="text", text="\n".join(lines))
    # Where there is structured content, many clients show a model nothing else, and it holds no image.
    shown = facts if all(block.type == "text" for block in content) else None
    return ToolResult(
        content=[head, *others],
        structured_content=shown,
        is_error=is_call and outcome.is_error,
        meta={ABOUT_CASE: about(case)},
    )


def _told(case: Case, *, is_error: bool = False) -> ToolResult:
    facts, meta = facts_of(case), {ABOUT_CASE: about(case)}
    return ToolResult(content=facts["message"], structured_content=facts, is_error=is_error, meta=meta)


def facts_of(case: Case) -> dict[str, Any]:
    """Where a case stands, for programs, and for models that see nothing else.

    case_id, status, risk_score, message; decision and reason once a person has decided; begins_at while that
    can be taken back; plan (plan_id and made_by) if one let it pass; stopped_since and stop_reason under a
    stop; questions while a person asks; changed and called_with where a person changed the
    arguments of an approved call; is_error and result once the tool has answered; error (code, message, data)
    if it answered with an error of the protocol.
    """
    facts: dict[str, Any] = {
        "case_id": case.case_id,
        "status": case.status.value,
        "risk_score": case.assessment.risk_score if case.assessment else None,
        "message": ending_text(case) if case.status.is_final else pending_text(case),
    }
    if case.decision is not None:
        facts |= {"decision": case.decision.decision.value, "reason": case.decision.reason}
    if case.begins_at is not None and seconds_to_begin(case):
        facts |= {"begins_at": instant_text(case.begins_at)}
    if case.plan is not None:
        facts |= {"plan": {"plan_id": case.plan.plan_id, "made_by": case.plan.made_by}}
    if case.stop is not None:
        since = instant_text(case.stop.stopped_at)
        facts |= {"stopped_since": since, "stop_reason": case.stop.reason}
    if case.open_questions:
        facts |= {"questions": [_question(one) for one in case.open_questions]}
    if is_changed(case) and case.edit is not None:
        changed = [change.path for change in changes_of(case)]
        facts |= {"changed": changed, "called_with": case.edit.arguments}
    if (outcome := answered(case)) is not None:
        facts |= {"is_error": outcome.is_error, "result": plain_result(outcome)}
        error = error_beside(outcome.result)
        facts |= {"error": error} if error is not None else {}
    return facts


def is_changed(case: Case) -> bool:
    """Whether the tool is called, or was, with other arguments than the agent's."""
    is_approved = case.status in (Status.AUTHORIZED, Status.EXECUTING) or case.status.may_have_run
    return case.edit is not None and is_approved


def about(case: Case) -> dict[str, Any]:
    """Which case an answer belongs to: {"ref", "status", "finished_at"}, and called_with if that changed."""
    finished_at = instant_text(case.finished_at) if case.finished_at else None
    said = {"ref": case.case_id, "status": case.status.value, "finished_at": finished_at}
    return said | ({"called_with": case.call_in_force.arguments} if is_changed(case) else {})


def answered(case: Case) -> Outcome | None:
    """What a tool has answered to the call, with a result or with an error of its own; None if it has not."""
    outcome = case.outcome
    return None if outcome is None or outcome.result is None or outcome.asks_for_input else outcome


def plain_result(outcome: Outcome) -> Any:
    """What a tool answered, once: its structured content, else its text, else its blocks as on the wire."""
    wire = outcome.result or {}
    structured, content = wire.get("structuredContent"), wire.get("content") or []
    if structured is not None:
        is_wrapped = ((wire.get("_meta") or {}).get("fastmcp") or {}).get("wrap_result") is True
        is_wrapped = is_wrapped and isinstance(structured, dict) and "result" in structured
        return structured["result"] if is_wrapped else structured
    if all(block.get("type") == "text" for block in content):
        return "\n".join(block["text"] for block in content)
    return content


def pending_text(case: Case) -> str:
    """The notice of a call that has no ending yet."""
    if case.open_questions:
        return _asked(case)
    wait = f'{GET_OUTCOME}(ref="{case.case_id}", wait_seconds={USUAL_WAIT_SECONDS})'
    lines = [
        _headline(case),
        f"Nothing has failed. Do not repeat the call, and do not reword it. For its outcome call {wait}.",
    ]
    if case.stop is not None:
        lines.insert(1, _stopped(case.stop))
    if case.told_before:
        earlier = ", ".join(case.told_before)
        lines.append(
            f"When this call came, an earlier call of {case.call.tool_name} still waited: {earlier}. "
            "If this is the same request in other words, tell the user so."
        )
    return "\n".join(lines)


def _asked(case: Case) -> str:
    """The notice of a call about which a person asks, in their words and without their name."""
    answered = f'{GIVE_INFORMATION}(ref="{case.case_id}", text="…")'
    return "\n".join(
        [
            f"INFORMATION REQUESTED (Ref: {case.case_id}). A person asks you before they decide on it.",
            *(f"They ask: “{one.question}”" for one in case.open_questions),
            f"Answer with {answered}. The call still waits, and your answer approves nothing.",
            "Nothing has failed. Do not repeat the call, and do not reword it.",
        ]
    )


def _question(one: AgentQuestion) -> dict[str, Any]:
    return {"question": one.question, "asked_at": instant_text(one.asked_at)}


def _headline(case: Case) -> str:
    reference = f"(Ref: {case.case_id})"
    if case.status.is_undecided:
        return f"PENDING REVIEW {reference}. Action queued subject to governance checks."
    return f"{case.status.value} {reference}. {_progress(case)}"


def _progress(case: Case) -> str:
    if case.begins_at is not None and not case.stop and seconds_to_begin(case):
        until = instant_text(case.begins_at)
        said = f"A person approved the call. It begins at {until}, unless the approval is taken back before."
        return said + _changed(case)
    return (HELD if case.stop else PROGRESS)[case.status] + _changed(case)


def _changed(case: Case) -> str:
    """What a person changed, in a sentence that begins with a blank; empty where nothing was."""
    if not is_changed(case) or case.edit is None:
        return ""
    changes = changes_of(case)
    if not changes:
        return ""
    told = [f"{plain_text(change.path)[:LONGEST_PATH]} = {_short(change.after)}" for change in changes]
    more = f" and {len(told) - MOST_CHANGES} more" if len(told) > MOST_CHANGES else ""
    verb = {Status.AUTHORIZED: "is to be", Status.EXECUTING: "is being"}.get(case.status, "was")
    if case.status is Status.OUTCOME_UNKNOWN:
        verb = "was, if at all,"
    said = f"{verb} called with {', '.join(told[:MOST_CHANGES])}{more}, and not with your value"
    return f" A person changed the arguments: the tool {said}{'' if len(told) == 1 else 's'}."


def _short(value: Any) -> str:
    if isinstance(value, Missing):
        return "nothing"
    text = finite_json(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _stopped(stop: Stop) -> str:
    said = told(stop)
    return f"{said[0].upper()}{said[1:]} Until a person lifts the stop, the call goes no further."


def progress_text(case: Case) -> str:
    """One line on where an unfinished case stands."""
    if case.open_questions:
        return " ".join(_asked(case).split("\n"))
    said = f"{case.status.value.replace('_', ' ')} (Ref: {case.case_id}). {_progress(case)}"
    return said if case.stop is None else f"{said} {_stopped(case.stop)}"


def ending_text(case: Case) -> str:
    """One line on how a case ended; for a refusal it says that nothing was done."""
    reference = f"(Ref: {case.case_id})"
    if case.outcome is not None and case.outcome.asks_for_input:
        again = f"Call {case.call.tool_name} again with the same arguments: then it asks you."
        return f"EXECUTED {reference}. The tool asks for more before it goes on.{_changed(case)} {again}"
    if case.status is Status.EXECUTED:
        ending = "The tool answered with an error" if case.outcome and case.outcome.is_error else "Done"
        return f"EXECUTED {reference}. {ending}.{_changed(case)}"
    detail = case.outcome.detail if case.outcome and case.outcome.detail else ""
    if case.status is Status.OUTCOME_UNKNOWN:
        return (
            f"OUTCOME UNKNOWN {reference}. The call was begun and may or may not have taken effect; "
            f"it is not repeated, and a person was told.{_changed(case)} {detail}".rstrip()
        )
    reason = case.decision.reason if case.decision and case.decision.reason else ""
    return f"{case.status.value} {reference}. {REFUSALS[case.status]} {_why(case, detail, reason)}".rstrip()


REFUSALS = {
    Status.REJECTED: "A person refused this call; it was not executed.",
    Status.DENIED: "The policy forbids this call, and no person can lift that; it was not executed.",
    Status.WITHDRAWN: "You took this call back; it was not executed.",
    Status.EXPIRED: "No person decided in time; the call was not executed.",
    Status.FAILED: "The call was not executed.",
}


def _why(case: Case, detail: str, reason: str) -> str:
    if case.status is Status.REJECTED:
        return f"Reason: {reason}" if reason else ""
    return detail
