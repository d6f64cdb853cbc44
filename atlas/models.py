"""The data of one call in the order of its path: ToolCall, Assessment, Decision, Outcome, Case."""

import re
import unicodedata
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import Field

from atlas.frozen import Frozen as Frozen
from atlas.review_rules import ReviewRules
from atlas.traces import Trace

TRUST_META = "io.atlas/trust"  # beside it: what the servers file says of whom that server speaks for
UPSTREAM_META = "io.atlas/upstream"  # in a tool's `_meta`: the server behind the gateway that offers it
HAS_FAILED = " (failed)"  # at the end of the name of an assessor that could not judge a call
EVERY_AGENT = "anybody"  # the principal of every agent in open mode
NO_TOOL = "0" * 64  # in place of a definition's digest, and equal to none: there was no such tool
ANSWERS = "input_responses"  # as the canonical form of a call names them

SEEDED = "seeded"  # in `claimed_by`: the gateway made the case, to see whether people look

LARGEST_ROUND = 999_999_999  # that a request can name; every store keeps it, and no case comes near it

HIDDEN = ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")  # categories of characters that no one reads


def plain_text(text: str) -> str:
    """The text without what a terminal or a page would obey or hide: controls, formats, lone surrogates.

    A line break or a tab becomes a blank.
    """
    blanks = " ".join(re.split(r"[\t\n\v\f\r\x85\u2028\u2029]+", text))
    if blanks.isprintable():
        return blanks
    return "".join(character for character in blanks if unicodedata.category(character) not in HIDDEN)


def as_seen(name: str) -> str:
    """A name as a reader sees it, by which names are compared: in small letters, without other spellings."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain_text(name)).casefold()).strip()


class Status(str, Enum):
    """Where a case stands, with the transitions out of it."""

    QUEUED = "QUEUED"  # -> PENDING_REVIEW, AUTHORIZED, REJECTED, DENIED, WITHDRAWN
    # -> AUTHORIZED, REJECTED, EXPIRED, DENIED, WITHDRAWN, itself: judged again
    PENDING_REVIEW = "PENDING_REVIEW"
    AUTHORIZED = "AUTHORIZED"  # -> EXECUTING, PENDING_REVIEW, REJECTED, DENIED, FAILED
    EXECUTING = "EXECUTING"  # -> EXECUTED, OUTCOME_UNKNOWN, FAILED
    EXECUTED = "EXECUTED"  # final: the tool answered, with a result or an error of its own
    REJECTED = "REJECTED"  # final: a person refused
    DENIED = "DENIED"  # final: the policy forbids it, and no person can lift that
    WITHDRAWN = "WITHDRAWN"  # final: the agent took it back before anyone decided
    EXPIRED = "EXPIRED"  # final: no one decided in time, which is a refusal
    FAILED = "FAILED"  # final: approved but never executed, because the gateway itself could not
    OUTCOME_UNKNOWN = (
        "OUTCOME_UNKNOWN"  # final: begun, and the process died before the tool's answer was kept
    )

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self not in TRANSITIONS

    @property
    def is_undecided(self) -> bool:
        """Whether neither the score nor a person has decided yet."""
        return self in (Status.QUEUED, Status.PENDING_REVIEW)

    @property
    def is_judged(self) -> bool:
        """Whether the call has its score and has not ended."""
        return self in (Status.PENDING_REVIEW, Status.AUTHORIZED, Status.EXECUTING)

    @property
    def is_not_begun(self) -> bool:
        """Whether a person can still stop the call."""
        return self.is_undecided or self is Status.AUTHORIZED

    @property
    def may_have_run(self) -> bool:
        """Whether the tool was called, or may have been."""
        return self in (Status.EXECUTED, Status.OUTCOME_UNKNOWN)

    @property
    def is_up_to_the_workflow(self) -> bool:
        """Whether the workflow has to act next, or has to hear of a rejection."""
        return self in (Status.QUEUED, Status.AUTHORIZED, Status.EXECUTING, Status.REJECTED)


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset(
        {Status.PENDING_REVIEW, Status.AUTHORIZED, Status.REJECTED, Status.DENIED, Status.WITHDRAWN}
    ),
    Status.PENDING_REVIEW: frozenset(
        {
            Status.AUTHORIZED,
            Status.REJECTED,
            Status.EXPIRED,
            Status.DENIED,
            Status.WITHDRAWN,
            Status.PENDING_REVIEW,
        }
    ),
    Status.AUTHORIZED: frozenset(
        {Status.EXECUTING, Status.PENDING_REVIEW, Status.REJECTED, Status.DENIED, Status.FAILED}
    ),
    Status.EXECUTING: frozenset({Status.EXECUTED, Status.OUTCOME_UNKNOWN, Status.FAILED}),
}


class Verdict(str, Enum):
    """The only two decisions a person can take."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class ToolCall(Frozen):
    """One tool call as the agent made it."""

    principal: str
    tool_name: str
    arguments: dict[str, Any]
    arguments_sha256: str  # 64 hex digits, of the RFC 8785 form
    intent: str | None = None  # what the agent says the call is for; a claim
    user_request: str | None = None  # what the agent says its user asked for; a claim
    continuation: dict[str, Any] | None = None  # what the agent adds when the tool asks; digested too
    session: str | None = None  # which calls belong together; 32 hex digits, None: not known

    @property
    def answers_name(self) -> str | None:
        """The name, of no argument, under which judges see what the agent answers; None: nothing."""
        if not (self.continuation or {}).get("inputResponses"):
            return None
        name = ANSWERS
        while name in self.arguments:
            name += "_"
        return name

    def with_answers(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments, and beside them what the agent answers to what the tool asked for."""
        name = self.answers_name
        return arguments if name is None else arguments | {name: (self.continuation or {})["inputResponses"]}

    @property
    def claims(self) -> dict[str, str]:
        """What the agent says of its call, for those who decide on it; it can be false."""
        said = {"intent": self.intent, "user_request": self.user_request}
        return {name: text for name, text in said.items() if text is not None}


class Inquiry(Frozen):
    """A question that a model elsewhere was asked, and under which reference its answer can be fetched."""

    assessor: str
    reference: str
    asked_at: datetime
    definition_sha256: str | None = None  # that the model was told; NO_TOOL: none was there


class Ruling(Frozen):
    """What the policy says of one call (scores 0-100); of several rules that match, the strictest holds."""

    policy_sha256: str  # 64 hex digits, of the policy file
    rules: tuple[str, ...]  # those that matched, as a person finds them in the file; none: an unnamed tool
    score: int = Field(ge=0, le=100)  # what the call gets when no model is asked
    floor: int = Field(ge=0, le=100)  # below which no model can take it
    classification: str
    rationale: str
    legal_basis: str | None = None
    is_denied: bool = False  # which no person can lift
    reviewers: tuple[str, ...] = ()  # who may decide; none: every reviewer
    approvals: int = Field(default=1, ge=1)  # of different reviewers
    # Where it is not known which of several lists with groups holds: each of them approves for itself.
    each_of: tuple[tuple[str, ...], ...] = ()
    is_pinned: bool = False  # by a rule that names this very definition of the tool
    review_seconds: int | None = None  # how long they may take; None: ATLAS_REVIEW_TIMEOUT
    review: ReviewRules = ReviewRules()


class Assessment(Frozen):
    """How risky a call was judged, by what, and against which threshold (all scores 0-100)."""

    risk_score: int = Field(ge=0, le=100)
    classification: str
    action: str
    rationale: str
    assessor: str
    threshold: int
    arguments_sha256: str  # of the arguments that were judged
    assessed_at: datetime
    ruling: Ruling | None = None  # None: the policy could not be applied, or the record is older than rulings
    model_score: int | None = None  # None: no model was asked, or its answer could not be used
    model: str | None = None
    prompt_version: str | None = None
    definition_sha256: str | None = None  # that was judged; NO_TOOL: none was there; None: not on record
    reopened_because: str | None = None  # what had changed, so that the call was judged again
    is_outside: bool = False  # whether what the tool answers comes from third parties
    trace: Trace | None = None  # None: it could not be made, or the record is older than traces

    @property
    def has_failed(self) -> bool:
        """Whether the call could not be judged, so that the score is the worst one."""
        return self.assessor.endswith(HAS_FAILED)

    @property
    def needs_person(self) -> bool:
        """Whether a person decides on the call."""
        return self.risk_score >= self.threshold

    @property
    def is_denied(self) -> bool:
        """Whether no one can let the call through."""
        return self.ruling is not None and self.ruling.is_denied

    @property
    def approvals(self) -> int:
        """How many reviewers have to approve, where a person decides."""
        return self.ruling.approvals if self.ruling else 1


class Approval(Frozen):
    """One of the approvals that together are a decision, where the policy asks for more than one."""

    reviewer: str
    reason: str | None
    arguments_sha256: str
    decided_at: datetime
    on_behalf_of: str | None = None  # for whom a delegate decided
    way: str | None = None  # the system that vouched for the reviewer, where one did


class Decision(Frozen):
    """What a person decided."""

    decision: Verdict
    reviewer: str
    reason: str | None
    arguments_sha256: str  # of the arguments that were decided on
    decided_at: datetime
    on_behalf_of: str | None = None  # for whom a delegate decided
    way: str | None = None  # the system that vouched for the reviewer, where one did


class PlanUse(Frozen):
    """The plan that let a call pass: a person approved it beforehand, in a bounded set of calls."""

    plan_id: str  # plan_ and 12 lowercase hex digits
    made_by: str
    reason: str
    arguments_sha256: str  # of the call that it let pass
    used_at: datetime


class Edit(Frozen):
    """The arguments as a person changed them, which hold from this round of a case on."""

    round_number: int
    arguments: dict[str, Any]
    arguments_sha256: str  # 64 hex digits, of the call with them
    edited_by: str
    edited_at: datetime


class AgentQuestion(Frozen):
    """What a person asked the agent of its call, and what it answered: a claim."""

    asked_by: str
    question: str
    asked_at: datetime
    round_number: int
    answer: str | None = None
    answered_at: datetime | None = None


class Outcome(Frozen):
    """What the tool answered: an MCP CallToolResult as JSON, or None where no answer was kept."""

    result: dict[str, Any] | None
    detail: str | None
    finished_at: datetime

    @property
    def is_error(self) -> bool:
        """Whether the tool itself answered with an error."""
        return self.result is not None and bool(self.result.get("isError"))

    @property
    def asks_for_input(self) -> bool:
        """Whether the tool wants more from the agent, which then calls it again (MCP 2026-07-28)."""
        return self.result is not None and self.result.get("resultType") == "input_required"


class Scope(str, Enum):
    """What a stop stops."""

    EVERYTHING = "everything"
    AGENT = "agent"
    TOOL = "tool"  # by the name that agents call
    SERVER = "server"  # behind the gateway, by its name in the MCP configuration


class Stop(Frozen):
    """What a person stopped, until a person lifts it."""

    stop_id: str  # stop_ and 12 lowercase hex digits
    scope: Scope
    target: str  # the name of the agent, tool or server; empty for everything
    reason: str
    stopped_by: str
    stopped_at: datetime
    lifted_by: str | None = None
    lifted_at: datetime | None = None
    lift_reason: str | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether it holds."""
        return self.lifted_at is None

    @property
    def what(self) -> str:
        """What is stopped, as it stands in a sentence."""
        if self.scope is Scope.EVERYTHING:
            return "all calls"
        return f"the {self.scope.value} {plain_text(self.target)}"


class Case(Frozen):
    """One governed call with all that is known of it."""

    case_id: str  # evt_ and 16 lowercase hex digits
    call: ToolCall
    status: Status
    opened_at: datetime
    expires_at: datetime | None = None
    claimed_by: str | None = None
    held_by: str | None = None  # the process at which its agent waits, or waited last
    reported_at: datetime | None = None
    collected_at: datetime | None = None  # when its ending was handed to the agent first
    definition_sha256: str | None = None  # of its tool; None: admitted before definitions were recorded
    waiting_before: tuple[str, ...] = ()  # calls of the same agent and tool that waited when it came
    told_before: tuple[str, ...] = ()  # those of them that the agent made: of a seeded one it is not told
    # Since when a stop keeps its time to decide from running, or the call from beginning; what is approved
    # keeps it until it begins.
    frozen_at: datetime | None = None
    stop: Stop | None = None  # that covers it at the moment
    round_number: int = 1  # how often it was judged; what was decided in an earlier round does not count
    begins_at: datetime | None = None  # not before: until then an approval can be taken back
    questions: tuple[AgentQuestion, ...] = ()  # the oldest first
    edit: Edit | None = None  # what a person changed; the call itself stays as the agent made it
    inquiry: Inquiry | None = None
    assessment: Assessment | None = None
    decision: Decision | None = None
    plan: PlanUse | None = None  # that let it pass in this round, in the place of a decision
    outcome: Outcome | None = None

    @property
    def is_seeded(self) -> bool:
        """Whether no agent made it, and no tool may ever get it."""
        return self.claimed_by == SEEDED

    @property
    def call_in_force(self) -> ToolCall:
        """The call that is judged, approved and executed: the agent's, with what a person changed."""
        if self.edit is None:
            return self.call
        changed = {"arguments": self.edit.arguments, "arguments_sha256": self.edit.arguments_sha256}
        return self.call.model_copy(update=changed)

    @property
    def open_questions(self) -> tuple[AgentQuestion, ...]:
        """What the agent is asked now; once the call is decided, nothing."""
        if self.status is not Status.PENDING_REVIEW:
            return ()
        return tuple(one for one in self.questions if one.answer is None)

    @property
    def finished_at(self) -> datetime | None:
        """When a finished case ended."""
        if not self.status.is_final:
            return None
        if self.outcome is not None:
            return self.outcome.finished_at
        if self.status is Status.EXPIRED:
            return self.expires_at
        return self.reported_at if self.decision is None else self.decision.decided_at
