"""What a notice says: fields of the case for a program, lines for a person. Never an argument."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from atlas.instants import instant_text, moment, now, read_instant
from atlas.models import Case, plain_text
from atlas.outbox.notices import Kind
from atlas.outbox.recipients import Notice
from atlas.traces import Origin, Trace

MOST_ORIGINS = 20  # arguments from outside that a notice names
LONGEST_PATH = 200  # characters
DESK_PAGE = "/desk"
CASE_PAGE = f"{DESK_PAGE}/cases/"
LATE = timedelta(minutes=1)  # after which a notice of a deed says when it was done

TITLES = {
    Kind.REVIEW_REQUESTED: "A call waits for your decision",
    Kind.REMINDED: "A call still waits for your decision",
    Kind.ESCALATED: "A call waited too long, and comes to you",
    Kind.ASSIGNED: "A call was assigned to you",
    Kind.MENTIONED: "You were named in a comment",
    Kind.ANSWERED: "The agent has answered a question",
    Kind.DELEGATED: "A person decides for another",
    Kind.DECIDED: "A call was decided",
    Kind.EXPIRED: "The time to decide is over",
    Kind.WITHDRAWN: "The agent took a call back",
    Kind.OUTCOME_UNKNOWN: "The outcome of a call is unknown",
    Kind.STOPPED: "Calls were stopped",
    Kind.STOP_LIFTED: "A stop was lifted",
}
DECISIONS = {"APPROVED": "approved", "REJECTED": "rejected", "DENIED": "refused by the policy"}


def body_of(
    notice: Notice, case: Case | None, *, link: str | None, not_checked: list[str] | None
) -> dict[str, Any]:
    """What a program gets."""
    said = dict(notice.content)
    stop = said.pop("stop", None)
    about = _fields_of(case, notice) | {"not_checked": not_checked} if case else {}
    made = {"notice_id": notice.notice_id, "made_at": instant_text(notice.made_at), "link": link}
    return {"kind": notice.kind.value} | (stop or {}) | said | about | made


def _fields_of(case: Case, notice: Notice) -> dict[str, Any]:
    judged = case.assessment
    return {
        "event_id": case.case_id,
        "round": notice.round_number,
        "tool_name": case.call.tool_name,
        "principal": case.call.principal,
        "risk_score": judged.risk_score if judged and not hides_score(case) else None,
        "agent_claims": {name: plain_text(text) for name, text in case.call.claims.items()},
        "waiting_before": list(case.waiting_before),
        "reopened_because": judged.reopened_because if judged else None,
        "origins": _origins(judged.trace) if judged and judged.trace else None,
        "expires_at": instant_text(case.expires_at) if case.expires_at else None,
        "frozen_at": instant_text(case.frozen_at) if case.frozen_at else None,
    }


def hides_score(case: Case) -> bool:
    """Whether a rule wants a person to choose before they know the score."""
    ruling = case.assessment.ruling if case.assessment else None
    return ruling is not None and ruling.review.hides_score


def title_of(notice: Notice, case: Case | None) -> str:
    """The first line, which a lock screen shows."""
    title = TITLES[notice.kind]
    if notice.kind is Kind.REVIEW_REQUESTED and case and case.round_number > 1:
        title = "A call was judged again, and waits for your decision"
    return f"{title}: {plain_text(case.call.tool_name)}" if case else title


def text_of(notice: Notice, case: Case | None, *, link: str | None) -> str:
    """The lines for a person; no word in them was written by an agent but names of tool and agent."""
    return "\n".join(
        [*_lines(notice, case), *([link, "To open it decides nothing."] if link and case else [])]
    )


def _lines(notice: Notice, case: Case | None) -> Iterator[str]:
    if case is None:
        yield from _lines_without_case(notice)
    else:
        yield from _lines_of_case(notice, case)
    if not notice.kind.asks and now() - notice.made_at > LATE:
        yield f"That was at {moment(notice.made_at)}."
    if notice.kind is Kind.DECIDED and case and case.round_number > (notice.round_number or 0):
        yield "The call was judged again after that."


def _lines_of_case(notice: Notice, case: Case) -> Iterator[str]:
    yield f"Reference: {case.case_id}"
    yield f"Tool: {plain_text(case.call.tool_name)}"
    yield f"Agent: {plain_text(case.call.principal)}"
    if notice.kind.asks:
        if case.assessment and not hides_score(case):
            yield f"Risk score: {case.assessment.risk_score}"
        if (left := time_left(case)) is not None:
            yield left
    if notice.kind is Kind.DECIDED:
        by = f" by {plain_text(notice.by)}" if notice.by else ""
        yield f"It was {DECISIONS.get(notice.content.get('decision', ''), 'decided')}{by}."
    if notice.kind is Kind.OUTCOME_UNKNOWN:
        yield "The tool was called, and its answer is not known. Find out whether it took effect."


def _lines_without_case(notice: Notice) -> Iterator[str]:
    if notice.kind is Kind.DELEGATED:
        yield from map(plain_text, _lines_of_delegation(notice.content))
    stop = notice.content.get("stop")
    if stop is None:
        yield f"By: {plain_text(notice.by or 'the gateway')}"
        return
    what = "all calls" if stop["scope"] == "everything" else f"{stop['scope']} {stop['target']}"
    yield plain_text(f"Stopped: {what}. By: {stop['stopped_by']}. Reason: {stop['reason']}")
    if stop["lifted_by"]:
        yield plain_text(f"Lifted by: {stop['lifted_by']}. Reason: {stop['lift_reason']}")


def _lines_of_delegation(said: Mapping[str, Any]) -> Iterator[str]:
    """Who decides for whom, for what and how long: the same for both of them."""
    giver, group = said["from"], said["group"]
    # One that was made by an older version names its delegate as the only receiver, and no begin.
    yield f"{said.get('delegate') or said['to'][0]} decides for {giver}."
    yield f"For what: {f'what the group {group} may decide' if group else f'all that {giver} may decide'}"
    if "begin" in said:
        yield f"From: {moment(read_instant(said['begin']))}"
    yield f"Until: {moment(read_instant(said['until']))}"


def time_left(case: Case) -> str | None:
    """How long a person may take."""
    if case.expires_at is None:
        return None
    if case.frozen_at is not None:
        return "Time left: it does not run, because of a stop."
    left = max(case.expires_at - now(), timedelta(0))
    return f"Time left: {in_words(left)}, until {moment(case.expires_at)}"


def in_words(length: timedelta) -> str:
    """`2 d 3 h`, `3 h 5 min`, `4 min` or `30 s`."""
    seconds = int(length.total_seconds())
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def digest_title(count: int) -> str:
    """The title of several notices in one message."""
    return f"{count} notices of calls"


def digest_text(parts: list[str], count: int, *, at: datetime, desk: str) -> str:
    """The first so many of several notices in one message, the oldest first, and how many are not in it."""
    left = len(parts) - count
    more = [f"And {left} more. The desk shows them:\n{desk}"] if left else []
    if not count:
        return f"The desk shows them:\n{desk}"
    return "\n\n".join([f"Until {moment(at)}:", *parts[:count], *more])


def _origins(trace: Trace) -> dict[str, Any]:
    """Which arguments came from outside, by their paths and the calls; neither values nor passages."""
    outside = [origin for origin in trace.origins if origin.is_outside]
    return {
        "from_outside": [_from_outside(origin) for origin in outside[:MOST_ORIGINS]],
        "left_out": max(0, len(outside) - MOST_ORIGINS),
        "orders": [{"kind": order.kind, "event_id": order.case_id} for order in trace.orders],
        "is_request_known": trace.is_request_known,
        "is_complete": trace.is_complete,
    }


def _from_outside(origin: Origin) -> dict[str, Any]:
    place = origin.found[0]
    return {
        "path": plain_text(origin.path)[:LONGEST_PATH],
        "is_target": origin.is_target,
        "tool_name": plain_text(place.tool_name),
        "event_id": place.case_id,
        "gives_orders": place.gives_orders,
    }
