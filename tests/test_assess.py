"""Assessment: the shipped policy, and every way in which an assessor can fail."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastmcp import FastMCP
from mcp.types import ToolAnnotations
from store import open_case, open_store, settings_of_test, tool_call

from atlas.assess import Assessments, tool_facts
from atlas.assessors import ToolFacts
from atlas.assessors.policy import Policy
from atlas.decide import decide_by_score
from atlas.errors import PolicyInvalid
from atlas.models import Case, Status, ToolCall
from atlas.notifications import Notifier
from atlas.settings import Settings

GOOD = {"risk_score": 12, "classification": "minimal", "action": "read", "rationale": "It only reads."}
SHIPPED = Settings.model_fields["atlas_policy"].default


class Says:
    """An assessor that answers with whatever a function makes."""

    name = "test assessor"

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    async def judge(self, call: ToolCall, tool: ToolFacts) -> Any:
        """Answer, raise, or wait for ever."""
        answer = self._make()
        return await answer if asyncio.iscoroutine(answer) else answer


async def assessed(directory: Path, make: Callable[[], Any]) -> Case:
    """The case after such an assessor was asked."""
    settings = settings_of_test(directory, atlas_assess_seconds=0.2)
    async with open_store(directory) as store:
        case = await open_case(store)
        assessments = Assessments(
            store=store,
            server=FastMCP("empty"),
            assessor=Says(make),
            settings=settings,
            notifier=Notifier(settings),
            decide=partial(decide_by_score, timeout=settings.atlas_review_timeout),
        )
        await assessments.assess(case.case_id)
        return await store.read(case.case_id)


def fail() -> Any:
    raise RuntimeError("secret: the model's key is 4711")


FAILURES = [
    # what the assessor does, what the reviewer reads
    (fail, "The assessor failed: RuntimeError."),
    (lambda: asyncio.sleep(60), "did not answer within 0.2 seconds"),
    (
        lambda: (time.sleep(0.3), GOOD)[1],
        "did not answer within 0.2 seconds",
    ),  # late, and not to be interrupted
    (lambda: None, "cannot be used"),
    (lambda: "risk_score: 3", "cannot be used"),
    (list, "cannot be used"),
    (dict, "risk_score: Field required"),
    (lambda: GOOD | {"risk_score": None}, "risk_score"),
    (lambda: GOOD | {"risk_score": "12"}, "risk_score"),
    (lambda: GOOD | {"risk_score": 12.0}, "risk_score"),
    (lambda: GOOD | {"risk_score": 70.5}, "risk_score"),
    (lambda: GOOD | {"risk_score": float("nan")}, "risk_score"),
    (lambda: GOOD | {"risk_score": True}, "risk_score"),
    (lambda: GOOD | {"risk_score": -1}, "risk_score"),
    (lambda: GOOD | {"risk_score": 101}, "risk_score"),
    (lambda: {"risk_score": 3}, "classification: Field required"),
    (lambda: GOOD | {"rationale": 5}, "rationale"),
    (lambda: GOOD | {"rationale": "x" * 10_000_000}, "rationale"),
]


@pytest.mark.parametrize(("make", "reason"), FAILURES)
async def test_whatever_goes_wrong_a_person_decides(
    tmp_path: Path, make: Callable[[], Any], reason: str
) -> None:
    """The score is 100, and the reason is on record without what the assessor said."""
    case = await assessed(tmp_path, make)
    assert case.status is Status.PENDING_REVIEW
    assert case.assessment is not None and case.assessment.risk_score == 100
    assert reason in case.assessment.rationale and "4711" not in case.assessment.rationale
    assert len(case.assessment.rationale) < 1000


@pytest.mark.parametrize(
    ("score", "status"),
    [(0, "AUTHORIZED"), (69, "AUTHORIZED"), (70, "PENDING_REVIEW"), (100, "PENDING_REVIEW")],
)
async def test_the_threshold_divides_what_needs_a_person(tmp_path: Path, score: int, status: str) -> None:
    """Below 70 it is approved by itself, from 70 a person decides."""
    case = await assessed(tmp_path, lambda: GOOD | {"risk_score": score})
    assert case.status.value == status


CALLS = [
    # tool, arguments, whether a person decides
    ("check_status", {"beneficiary_id": "BEN-123"}, False),
    ("request_extension", {"days": 14, "documents": ["D-1"]}, False),
    ("request_extension", {"days": 15, "documents": ["D-1"]}, True),
    ("request_extension", {"days": 3, "documents": []}, True),
    ("request_extension", {"days": 3}, True),
    ("request_extension", {"days": 3, "documents": ["D-1", ""]}, True),
    ("request_payment_extension", {"reason": "illness"}, True),
    ("modify_welfare_record", {"changes": {}}, True),
    ("a_tool_that_no_rule_names", {}, True),
]


@pytest.mark.parametrize(("tool", "arguments", "needs_person"), CALLS)
async def test_the_shipped_policy_asks_a_person_about_what_weighs_on_people(
    tool: str, arguments: dict[str, Any], needs_person: bool
) -> None:
    """By tool name and arguments."""
    facts = ToolFacts(name=tool, description="", is_read_only=None, is_destructive=None, is_idempotent=None)
    answer = await Policy(SHIPPED).judge(tool_call(tool, **arguments), facts)
    assert (answer["risk_score"] >= 70) is needs_person


@pytest.mark.parametrize(
    ("hints", "score"),
    [
        (ToolAnnotations(read_only_hint=True), 20),
        (ToolAnnotations(destructive_hint=True), 90),
        (ToolAnnotations(read_only_hint=True, destructive_hint=True), 100),  # contradicts itself
        (ToolAnnotations(destructive_hint=False), 100),
        (None, 100),
    ],
)
async def test_a_tool_that_no_rule_names_is_judged_by_its_annotations(
    hints: ToolAnnotations | None, score: int
) -> None:
    """What says nothing of itself, or contradicts itself, goes to a person."""
    server = FastMCP("tools")

    @server.tool(annotations=hints)
    def unnamed() -> str:
        """Do something."""
        return ""

    answer = await Policy(SHIPPED).judge(tool_call("unnamed"), await tool_facts(server, "unnamed"))
    assert answer["risk_score"] == score


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rule = 3", "rule"),
        ("[annotations]\nread_only = 1", "annotations.destructive"),
        ("[annotations]\nread_only = 101\ndestructive = 1\nunknown = 1", "annotations.read_only"),
        ("not TOML", "Expected"),
        (None, "No such file"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    """At start, before any call."""
    path = tmp_path / "policy.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PolicyInvalid, match=reason):
        Policy(path)


async def test_a_condition_that_cannot_be_evaluated_goes_to_a_person(tmp_path: Path) -> None:
    """A rule about an argument that is not there must not let the call through."""
    path = tmp_path / "policy.toml"
    rule = ["[[rule]]", 'tool = "*"', 'when = "args.amount < 10"', "score = 1"]
    words = ['classification = "low"', 'rationale = "Small."']
    path.write_text(
        "\n".join([*rule, *words, "[annotations]", "read_only = 1", "destructive = 1", "unknown = 1"])
    )
    facts = ToolFacts(name="pay", description="", is_read_only=None, is_destructive=None, is_idempotent=None)
    policy = Policy(path)
    assert (await policy.judge(tool_call("pay", amount=9), facts))["risk_score"] == 1
    with pytest.raises(Exception, match="amount"):
        await policy.judge(tool_call("pay"), facts)


async def test_a_condition_that_is_neither_true_nor_false_goes_to_a_person(tmp_path: Path) -> None:
    """A text is no yes."""
    path = tmp_path / "policy.toml"
    path.write_text(
        """
        annotations = { read_only = 1, destructive = 1, unknown = 1 }
        [[rule]]
        tool = "*"
        when = "args.reason"
        score = 1
        classification = "low"
        rationale = "Small."
        """
    )
    facts = ToolFacts(name="pay", description="", is_read_only=None, is_destructive=None, is_idempotent=None)
    with pytest.raises(TypeError, match="neither true nor false"):
        await Policy(path).judge(tool_call("pay", reason="false"), facts)
