"""The policy: what the rules of a file say of one call. All rules that match count, and the strictest holds.

`python -m atlas.assessors.policy explain TOOL '{"amount": 900}'` says which rules match, and why.
"""

import asyncio
import sys
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from atlas.assessors import Question, ToolFacts
from atlas.assessors.general import GeneralScore, score_generally
from atlas.assessors.policy.file import policy_of, read_policy
from atlas.assessors.policy.matching import Match, Matched, match_at_once, match_plainly, match_rules
from atlas.assessors.policy.review import at_worst, review_of
from atlas.assessors.policy.rules import Rule
from atlas.errors import AtlasError
from atlas.models import Ruling
from atlas.review_rules import has_groups

WORST_SCORE = 100
# celpy raises the limit of the process to this when it is first used, on which no call may depend.
DEEPEST_PYTHON = 2500
MOST_TOOLS = 1000  # whose rules are kept together


class ConditionFailed(AtlasError):
    """{reason}"""

    @property
    def ruling(self) -> Ruling:
        """The worst score, with what the rules that matched ask of a review."""
        ruling: Ruling = self.fields["ruling"]
        return ruling


class Policy:
    """Rules on calls by a policy file, which is checked as a whole when it is read."""

    def __init__(self, path: Path, *, threshold: int, content: bytes | None = None) -> None:
        """Read a policy file, or take what would stand in it.

        Raises PolicyInvalid with what is wrong in it, and on which line.
        """
        sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEPEST_PYTHON))
        self.file = read_policy(path) if content is None else policy_of(content, path)
        self.threshold = threshold
        self.sha256 = self.file.sha256
        self.name = f"policy {self.sha256[:12]}"
        self._fitting = lru_cache(MOST_TOOLS)(self._find_fitting)

    def check_reviewers(self, names: Collection[str]) -> None:
        """Raise PolicyInvalid if a rule asks for a reviewer who is not there, or for more than there are."""
        self.file.check_reviewers(names)

    def names_reviewer(self, name: str) -> bool:
        """Whether a rule asks for a reviewer by name."""
        return any(name in (rule.reviewers or ()) for rule in self.file.rules)

    def fitting(self, tool: ToolFacts) -> list[Rule]:
        """The rules whose pattern matches, in the order of the file, as they hold for this definition."""
        return list(self._fitting(tool.name, tool.definition_sha256))

    def _find_fitting(self, tool_name: str, definition_sha256: str | None) -> tuple[Rule, ...]:
        return tuple(
            rule.for_definition(definition_sha256, threshold=self.threshold)
            for rule in self.file.rules
            if rule.fits(tool_name) and not rule.only_marks
        )

    def at_least(self, tool: ToolFacts) -> Ruling:
        """What the rules without a condition say of every call of a tool, beside all that the others add."""
        fitting = self.fitting(tool)
        rules = [rule for rule in fitting if rule.when is None]
        floor = max((rule.floor for rule in rules if rule.floor is not None), default=0)
        if not _names_tool(fitting) and self.file.unknown_tools == "person":
            floor = max(floor, self.threshold)
        return self._composed(rules, WORST_SCORE, floor)

    def marks(self, tool: ToolFacts) -> Rule | None:
        """The first rule that says whether a tool speaks for third parties."""
        fitting = (rule for rule in self.file.rules if rule.fits(tool.name))
        return next((rule for rule in fitting if rule.trust_of(tool.definition_sha256)), None)

    async def rule(self, question: Question) -> Ruling:
        """Rule on a call; raises ConditionFailed, with a ruling, if a condition cannot be evaluated on it."""
        fitting = self.fitting(question.tool)
        plainly = match_plainly(fitting, question)
        counting = _counting(plainly)
        if _denies(counting):  # first, so that no condition that takes long or fails comes between
            return self._ruling(counting, question)
        if None not in plainly and _names_tool(counting):
            return self._ruling(counting, question)
        # The general rules read all of the arguments, for which there is no limit of time.
        matched = match_at_once(fitting, question, plainly) if _names_tool(fitting) else None
        if matched is not None and _names_tool(_counting(matched)):
            return self._ruled(matched, question)
        return await asyncio.to_thread(self.rule_at_once, question)  # takes as long as the arguments want

    def rule_at_once(self, question: Question) -> Ruling:
        """Rule on a call in this thread; raises as `rule` does."""
        return self._ruled(match_rules(self.fitting(question.tool), question), question)

    def _ruled(self, matched: list[Matched], question: Question) -> Ruling:
        counting = _counting(matched)
        failed = next((entry for entry in matched if entry.match is Match.FAILED), None)
        if failed is None or _denies(counting):
            return self._ruling(counting, question)
        reason = f'The condition of the rule "{failed.rule.title}" cannot be evaluated: {failed.reason}.'
        asking = [entry.rule for entry in matched if entry.match is not Match.DOES_NOT_HOLD]
        raise ConditionFailed(reason=reason, ruling=self._at_worst(asking, reason))

    def ruling_at_worst(self, question: Question, *, reason: str) -> Ruling:
        """What holds when the conditions were not evaluated, in time for instance: as if all were true.

        Only a denial does not follow from a condition that was not evaluated: a person decides.
        """
        return self._at_worst(self.fitting(question.tool), reason)

    def _ruling(self, rules: list[Rule], question: Question) -> Ruling:
        if _denies(rules):
            return self._composed(rules, WORST_SCORE, WORST_SCORE)
        floor, sha256 = self._floor(rules), question.tool.definition_sha256
        if _names_tool(rules):
            score = _first(rules, "score")
            ruling = self._composed(rules, self.threshold if score is None else score, floor)
            return ruling.model_copy(update={"is_pinned": any(rule.is_pinned_to(sha256) for rule in rules)})
        general = score_generally(question)
        least = self.threshold if self.file.unknown_tools == "person" else general.score
        return self._composed(rules, general.score, max(floor, least), general)

    def _floor(self, rules: list[Rule]) -> int:
        """The highest that is given, and at least the threshold where the rules want a person."""
        given = [rule.floor for rule in rules if rule.floor is not None]
        wanted = [self.threshold] if why_person(rules) else []
        return max(given + wanted, default=0)

    def _at_worst(self, rules: list[Rule], reason: str) -> Ruling:
        if _denies([rule for rule in rules if rule.when is None]):
            return self._composed(rules, WORST_SCORE, WORST_SCORE)
        ruling = self._composed(rules, WORST_SCORE, WORST_SCORE)
        texts = {"classification": "not assessed", "rationale": f"{reason} A person decides."}
        review = {"is_denied": False, "review": at_worst(ruling.review, rules)}
        return ruling.model_copy(update=texts | review | _reviewers_at_worst(rules, ruling.approvals))

    def _composed(
        self, rules: list[Rule], score: int, floor: int, general: GeneralScore | None = None
    ) -> Ruling:
        """The strictest of what the rules give, with a score that is never below the floor."""
        reading = sorted(rules, key=lambda rule: not rule.deny)  # why it is denied comes before all else
        usual = general.classification if general else "not classified"
        timeouts = [rule.review_timeout for rule in rules if rule.review_timeout is not None]
        return Ruling(
            policy_sha256=self.sha256,
            rules=tuple(rule.title for rule in rules),
            score=max(score, floor),
            floor=floor,
            classification=_first(reading, "classification") or usual,
            rationale=_first(reading, "rationale") or self._usual_rationale(rules, general),
            legal_basis=_first(reading, "legal_basis"),
            is_denied=_denies(rules),
            reviewers=_first(rules, "reviewers") or (),
            approvals=max((rule.approvals or 1 for rule in rules), default=1),
            review_seconds=int(min(timeouts).total_seconds()) if timeouts else None,
            review=review_of(rules, floor=floor, threshold=self.threshold),
        )

    def _usual_rationale(self, rules: list[Rule], general: GeneralScore | None) -> str:
        if _denies(rules):
            return "The policy denies this call."
        if general is None and _first(rules, "score") is None:
            return "No rule gives a score, so a person decides."
        if general is None:
            return "The policy gives no reason."
        then = "a person decides" if self.file.unknown_tools == "person" else "the general rules score it"
        return f"No rule of the policy scores this call, so {then}: {'; '.join(general.reasons)}."


def _counting(matched: Sequence[Matched | None]) -> list[Rule]:
    return [entry.rule for entry in matched if entry and entry.match is Match.COUNTS]


def why_person(rules: list[Rule]) -> str | None:
    """Why these rules want a person in spite of any model, although no floor of theirs says so.

    A floor stands for a score only if its rule is about this tool and all its calls. Else a rule that makes
    some calls stricter would let a model do what it may not do with a tool that no rule names.
    """
    if any((rule.approvals or 1) > 1 for rule in rules):
        return "more than one reviewer has to approve"
    named = [rule for rule in rules if rule.names_one_tool]
    is_settled = any(rule.floor is not None and rule.when is None for rule in named)
    if named and not is_settled and _first(rules, "score") is None:
        return "no rule gives a score"
    return None


def _reviewers_at_worst(rules: list[Rule], approvals: int) -> dict[str, Any]:
    """All reviewers who could be meant, and how many of them have to approve.

    With so many, each of the lists that could be meant has approved as often as it has to: else an agent
    could choose its reviewers by breaking a condition. How many people a group has is not known here, so that
    lists with groups are kept apart, and each has to approve for itself.
    """
    lists: list[tuple[str, ...]] = []
    for rule in rules:
        if rule.reviewers:
            lists.append(tuple(dict.fromkeys(rule.reviewers)))
            if rule.when is None:  # the rules below are not asked
                break
    lists = list(dict.fromkeys(lists))
    everybody = tuple(dict.fromkeys(name for names in lists for name in names))
    if len(lists) > 1 and has_groups(everybody):
        return {"reviewers": everybody, "approvals": approvals * len(lists), "each_of": tuple(lists)}
    more = len(everybody) - min((len(names) for names in lists), default=0)
    return {"reviewers": everybody, "approvals": approvals + more}


def _denies(rules: list[Rule]) -> bool:
    return any(rule.deny for rule in rules)


def _names_tool(rules: list[Rule]) -> bool:
    return any(rule.score is not None or rule.names_one_tool for rule in rules)


def _first(rules: list[Rule], key: str) -> Any:
    return next((value for rule in rules if (value := getattr(rule, key)) is not None), None)
