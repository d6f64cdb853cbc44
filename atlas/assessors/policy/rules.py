"""The rules of a policy: what may stand in one, which tools it is about, and what it gives."""

import fnmatch
import re
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StringConstraints

from atlas.assessors import Trust
from atlas.models import Frozen
from atlas.review_rules import Escalation, group_of
from atlas.settings.as_written import Duration, read_duration

if TYPE_CHECKING:
    from atlas.assessors.policy.conditions import Condition
    from atlas.assessors.policy.plain import Holds


def _duration(value: Any) -> timedelta:
    duration = read_duration(value) if isinstance(value, str) else None
    if not isinstance(duration, timedelta) or duration < timedelta(seconds=1):
        raise ValueError("no duration")
    return duration


def _true(value: bool) -> bool:
    if not value:
        raise ValueError("not true")
    return value


def _named(value: str) -> str:
    if group_of(value) is not None and not (group_of(value) or "").strip():
        raise ValueError("a group without a name")
    return value


def _listed(value: Any) -> Any:
    """One step may stand without its list."""
    return [value] if isinstance(value, dict) else value


Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=2000)]
Line = Annotated[Text, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
# It takes the place of the pattern of a line, and so has all of it.
Pattern = Annotated[Line, StringConstraints(pattern=r"^[^\[\]\x00-\x1f\x7f]*$")]
Digest = Annotated[str, StringConstraints(strict=True, pattern=r"^sha256:[0-9a-f]{64}$")]
Score = Annotated[StrictInt, Field(ge=0, le=100)]
Reviewer = Annotated[Line, AfterValidator(_named)]  # a name, or group:NAME
Yes = Annotated[StrictBool, AfterValidator(_true)]


class EscalationTable(Frozen):
    """One step of `escalate`: to whom a case goes that waits so long."""

    after: Annotated[Duration, BeforeValidator(_duration)]
    to: Reviewer

    @property
    def given(self) -> Escalation:
        """The same for a ruling."""
        return Escalation(after_seconds=int(self.after.total_seconds()), to=self.to)


class RuleTable(Frozen):
    """One `[[rule]]` as it stands in the file."""

    tool: Pattern
    name: Line | None = None
    definition: Digest | None = None  # of the tool that it was written for
    when: Annotated[str, StringConstraints(strict=True)] | None = None
    score: Score | None = None  # what a call gets when no model is asked
    floor: Score | None = None  # below which no model can take it
    classification: Line | None = None
    rationale: Text | None = None
    legal_basis: Line | None = None
    reviewers: Annotated[tuple[Reviewer, ...], Field(min_length=1)] | None = None
    approvals: Annotated[StrictInt, Field(ge=1)] | None = None
    review_timeout: Annotated[Duration, BeforeValidator(_duration)] | None = None
    deny: Yes | None = None
    trust: Trust | None = None  # whether what the tool answers comes from third parties
    separate: Yes | None = None  # four eyes that have nothing to do with the agent or an earlier round
    requires_training: Line | None = None  # the scope of a training that the person who approves needs
    step_up: Yes | None = None  # to approve takes a passkey
    may_edit: Annotated[tuple[Line, ...], Field(min_length=1)] | None = (
        None  # arguments that a person may change
    )
    undo: Annotated[Duration, BeforeValidator(_duration)] | None = (
        None  # how long an approval can be taken back
    )
    answer_time: Annotated[Duration, BeforeValidator(_duration)] | None = (
        None  # by which a question extends it
    )
    escalate: Annotated[tuple[EscalationTable, ...], BeforeValidator(_listed), Field(min_length=1)] | None = (
        None
    )
    working_hours: Yes | None = None  # times of this rule count working hours alone
    hide_score: Yes | None = None  # until a first choice is made
    reason_from: Score | None = None  # from this score on an approval needs a typed reason
    min_seconds: Annotated[StrictInt, Field(ge=1, le=3600)] | None = (
        None  # what is quicker is asked once more
    )
    plans: Yes | None = None  # a plan may let pass what this rule gives a floor


class SeededTable(Frozen):
    """One `[[seeded]]`: a call that is known to be bad, which people are shown and no tool gets."""

    tool: Line
    arguments: dict[str, Any]
    why: Text  # what is wrong with it, told after the decision


class DeskTable(Frozen):
    """What a policy says above its rules to the desk, where people decide."""

    reject_reasons: Annotated[tuple[Line, ...], Field(max_length=20)] = ()  # offered to those who reject
    record_views: StrictBool = False  # whether it goes into the ledger that a person opened a case
    together_below: Score = 0  # alike calls with a lower score may be approved in one go
    seeded_share: Score = 0  # so many of a hundred cases that people get are known to be bad
    seeded: Annotated[tuple[SeededTable, ...], Field(max_length=200)] = ()  # from which those are taken


# Passes the gate without a case (atlas/admit.py): no rule is ever asked about it.
NEVER_GOVERNED = {  # why, by the name of the tool
    "get_outcome": "it only reads what became of a call and is never governed, so that no rule holds for it",
    "give_information": "it only answers a person and is never governed, so that no rule holds for it",
}


class Rule(RuleTable):
    """A rule with its place in the file, ready to be matched."""

    line: int | None  # of its [[rule]]; None where the file does not write it with such a header

    @property
    def title(self) -> str:
        """How a person finds it in the file."""
        return self.name or (f"{self.tool} (line {self.line})" if self.line else self.tool)

    @property
    def names_one_tool(self) -> bool:
        """Whether it is about one tool and no other."""
        return not set(self.tool) & set("*?")

    @property
    def gives(self) -> dict[str, Any]:
        """What it gives to a call, as the file has it."""
        return self.model_dump(exclude_none=True, exclude={"tool", "name", "definition", "when", "line"})

    @property
    def only_marks(self) -> bool:
        """Whether it only says for whom the tool speaks, and nothing about its calls."""
        return self.gives.keys() == {"trust"}

    def trust_of(self, definition_sha256: str | None) -> Trust | None:
        """For whom it says that the tool speaks; "inside" holds for no definition but its own."""
        is_another = self.definition is not None and not self.is_pinned_to(definition_sha256)
        return None if is_another and self.trust == "inside" else self.trust

    @cached_property
    def condition(self) -> "Condition | None":
        """What has to hold beside the name; raises ConditionInvalid, which reading the file has ruled out."""
        if self.when is None:
            return None
        from atlas.assessors.policy.conditions import Condition  # CEL: see CHECKED in file.py

        return Condition(self.when)

    @property
    def is_compiled(self) -> bool:
        """Whether `condition` is there already, which takes tens of milliseconds else."""
        return "condition" in self.__dict__

    @cached_property
    def holds_plainly(self) -> "Holds":
        """Whether its condition holds for a call with this trace, or None where only CEL can say."""
        from atlas.assessors.policy.plain import plain

        return plain(self.when or "true")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(fnmatch.translate(self.tool))

    def is_pinned_to(self, definition_sha256: str | None) -> bool:
        """Whether it was written for the tool of this very definition."""
        return self.definition is not None and self.definition == f"sha256:{definition_sha256}"

    def for_definition(self, definition_sha256: str | None, *, threshold: int) -> "Rule":
        """The rule as it holds for a tool of that definition: on any but its own a person decides."""
        if self.definition is None or self.is_pinned_to(definition_sha256):
            return self
        reason = f"The tool is not the one that this rule was written for. {self.rationale or ''}".strip()
        changed = {
            "score": None,
            "floor": max(self.floor or 0, threshold),
            "rationale": reason,
            "plans": None,
        }
        return self.model_copy(update=changed)

    def fits(self, tool_name: str) -> bool:
        """Whether its pattern matches, as `fnmatchcase` does: upper and lower case are different."""
        return self._pattern.match(tool_name) is not None

    def can_meet(self, other: "Rule") -> bool:
        """Whether both can be about one tool, as far as one of the patterns matches the other."""
        return self.fits(other.tool) or other.fits(self.tool)
