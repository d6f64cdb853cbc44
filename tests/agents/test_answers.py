"""What an agent reads: the same in text and in structured content, and never an error that is none."""

import json
from datetime import timedelta
from typing import Any

import pytest
from fastmcp.tools import ToolResult
from mcp.types import CallToolResult
from store import tool_call

from atlas.agents.answers import answer, outcome_answer, pending_text
from atlas.agents.get_outcome import seconds_to_wait
from atlas.instants import now
from atlas.models import Assessment, Case, Decision, Outcome, Status, Verdict

CASE_ID = "evt_0123456789abcdef"
WRAPPED = {"fastmcp": {"wrap_result": True}}


def case_that(status: Status, result: dict[str, Any] | None = None, **fields: Any) -> Case:
    """A case of a call, with the tool's answer as on the wire."""
    ended = Outcome(result=result, detail=fields.pop("detail", None), finished_at=now())
    return Case(
        case_id=CASE_ID,
        call=tool_call("pay", amount=7),
        status=status,
        opened_at=now(),
        expires_at=now() + timedelta(days=1),
        reported_at=now(),
        outcome=ended if result is not None or ended.detail else None,
        **fields,
    )


def text(word: str) -> dict[str, str]:
    return {"type": "text", "text": word}


IMAGE = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}


def wire(told: ToolResult) -> CallToolResult:
    """An answer as clients get it."""
    result = told.to_mcp_result()
    assert isinstance(result, CallToolResult)
    return result


def texts(told: ToolResult) -> list[str]:
    return [block.text for block in told.content if block.type == "text"]


UNFINISHED = [Status.QUEUED, Status.PENDING_REVIEW, Status.AUTHORIZED, Status.EXECUTING]


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_notice_says_the_same_to_those_who_read_text_and_to_those_who_read_structure(
    status: Status,
) -> None:
    """pydantic-ai shows its model the structured content alone."""
    case = case_that(status)
    for told in (answer(case), outcome_answer(case)):
        assert told.structured_content is not None and not wire(told).is_error
        assert texts(told) == [told.structured_content["message"]]
        assert f'get_outcome(ref="{CASE_ID}", wait_seconds=3)' in texts(told)[0]


@pytest.mark.parametrize("status", UNFINISHED)
def test_only_what_waits_is_called_pending(status: Status) -> None:
    """A call that is approved already, and runs, is told as that."""
    first_line = pending_text(case_that(status)).splitlines()[0]
    waits = status in (Status.QUEUED, Status.PENDING_REVIEW)
    assert first_line.startswith("PENDING REVIEW (Ref: evt_" if waits else f"{status.value} (Ref: evt_")


# The ending, whether the held call is an error, and what has to be read.
ENDINGS = [
    (Status.REJECTED, True, "A person refused this call; it was not executed. Reason: no receipt"),
    (Status.DENIED, True, "no person can lift that; it was not executed. gifts are forbidden"),
    (Status.EXPIRED, True, "No person decided in time; the call was not executed."),
    (Status.WITHDRAWN, True, "You took this call back; it was not executed."),
    (Status.FAILED, True, "The call was not executed. gifts are forbidden"),
    (Status.OUTCOME_UNKNOWN, False, "may or may not have taken effect; it is not repeated"),
]


@pytest.mark.parametrize(("status", "is_error", "sentence"), ENDINGS)
def test_an_ending_without_a_result_is_an_answer_of_get_outcome_and_an_error_of_the_call_if_nothing_was_done(
    status: Status, is_error: bool, sentence: str
) -> None:
    """Frameworks repeat what failed and abort at the second time; the unknown must not be repeated."""
    rejection = Decision(
        decision=Verdict.REJECTED,
        reviewer="anna",
        reason="no receipt",
        arguments_sha256="0" * 64,
        decided_at=now(),
    )
    needs_detail = status in (Status.DENIED, Status.FAILED, Status.OUTCOME_UNKNOWN)
    case = case_that(
        status,
        detail="gifts are forbidden" if needs_detail else None,
        decision=rejection if status is Status.REJECTED else None,
    )
    call, asked = answer(case), outcome_answer(case)
    assert bool(wire(call).is_error) is is_error and not wire(asked).is_error
    for told in (call, asked):
        assert told.structured_content is not None and sentence in told.structured_content["message"]
        assert texts(told) == [told.structured_content["message"]]
        assert told.meta is not None and told.meta["io.atlas/case"]["status"] == status.value


# What the tool answered as on the wire, what stands in `result`, and what in the first block.
ANSWERS: list[tuple[dict[str, Any], Any, str]] = [
    ({"content": [text("paid")]}, "paid", "Done.\npaid"),
    ({"content": [text("paid"), text("twice")]}, "paid\ntwice", "Done.\npaid"),
    ({"content": []}, "", "Done."),
    ({"content": [text('{"paid":7}')], "structuredContent": {"paid": 7}}, {"paid": 7}, 'Done.\n{"paid":7}'),
    (
        {"content": [text("paid")], "structuredContent": {"result": "paid"}, "_meta": WRAPPED},
        "paid",
        "Done.\npaid",
    ),
    ({"content": [text("x")], "structuredContent": {"result": "x"}}, {"result": "x"}, "Done.\nx"),
    ({"content": [text("no money")], "isError": True}, "no money", "answered with an error.\nno money"),
]


@pytest.mark.parametrize(("result", "plain", "first"), ANSWERS)
def test_what_the_tool_answered_stands_once_in_the_structure_and_behind_the_state_in_the_text(
    result: dict[str, Any], plain: Any, first: str
) -> None:
    """Not as it is stored: `_meta`, resultType and a second structuredContent tell a model nothing."""
    told = outcome_answer(case_that(Status.EXECUTED, result | {"resultType": "complete"}))
    facts = told.structured_content
    assert facts is not None and facts["result"] == plain
    assert facts["is_error"] is bool(result.get("isError")) and not wire(told).is_error
    assert texts(told)[0] == f"{facts['message'].partition(first.splitlines()[0])[0]}{first}"
    assert len(told.content) == max(1, len(result["content"]))
    said = json.dumps(facts)
    assert not any(word in said for word in ("_meta", "resultType", "structuredContent", "fastmcp"))


@pytest.mark.parametrize("content", [[IMAGE], [text("the plan"), IMAGE], [IMAGE, text("a caption")]])
def test_an_image_reaches_clients_that_would_show_structured_content_alone(
    content: list[dict[str, str]],
) -> None:
    """There is no structured content beside it; the state stays in the first block and in `_meta`."""
    told = outcome_answer(case_that(Status.EXECUTED, {"content": content}))
    assert told.structured_content is None
    assert texts(told)[0].startswith(f"EXECUTED (Ref: {CASE_ID}). Done.")
    assert [block.type for block in told.content].count("image") == 1
    assert told.meta is not None and told.meta["io.atlas/case"]["status"] == "EXECUTED"


def test_a_call_answered_in_time_is_answered_with_the_tools_own_result() -> None:
    """Byte for byte as without the gateway: nothing of ours is in it."""
    result = {"content": [text("no money")], "isError": True, "structuredContent": {"code": 4}}
    told = wire(answer(case_that(Status.EXECUTED, result)))
    assert told.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"result_type"}) == result


def test_a_call_that_came_while_another_one_waited_says_so() -> None:
    """A model that rewords its request reads it, and so does everyone who reads structured content."""
    waited = ("evt_1", "evt_seeded", "evt_2")
    told = answer(case_that(Status.PENDING_REVIEW, waiting_before=waited, told_before=("evt_1", "evt_2")))
    sentence = "When this call came, an earlier call of pay still waited: evt_1, evt_2."
    assert told.structured_content is not None
    assert sentence in texts(told)[0] and sentence in told.structured_content["message"]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 0), ("", 0), (0, 0), (-1, 0), (3, 3), (3.0, 3), ("3", 3), (60, 25), (10**400, 25), ("1e9", 25)],
)
def test_the_time_to_wait_is_taken_as_it_can_be(asked: Any, seconds: float) -> None:
    """Some clients send null for what they leave out, and models like round numbers."""
    assert seconds_to_wait(asked) == seconds


def test_a_score_stands_in_the_facts() -> None:
    """For programs that sort what waits."""
    judged = Assessment(
        risk_score=85,
        classification="",
        action="",
        rationale="",
        assessor="policy",
        threshold=70,
        arguments_sha256="0" * 64,
        assessed_at=now(),
    )
    facts = answer(case_that(Status.PENDING_REVIEW, assessment=judged)).structured_content
    assert facts is not None and facts["risk_score"] == 85
