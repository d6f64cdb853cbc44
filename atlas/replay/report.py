"""What is told of a policy tried on the past: counts, the calls that change, and what was not compared."""

from collections import Counter
from datetime import date, datetime

from pydantic import Field

from atlas.instants import read_instant
from atlas.models import Frozen
from atlas.models import Verdict as Decided
from atlas.replay.comparing import Compared
from atlas.replay.verdicts import Said, Verdict

MOST_REFERENCES = 5  # of one line
MOST_LINES = 100  # of tools or rules in one change; the rest is summed
OTHERS = "others"
NO_RULE = "no rule"


class Share(Frozen):
    """How many calls of a change are of one tool, or of one rule."""

    name: str
    calls: int
    references: tuple[str, ...] = ()  # some of them, the newest last


class Change(Frozen):
    """The calls that the policy would have led elsewhere."""

    before: Verdict
    after: Verdict
    calls: int
    approved_by_people: int  # of them, those that a person approved then
    rejected_by_people: int
    tools: tuple[Share, ...]
    rules: tuple[Share, ...]  # of the policy that was tried; a call counts at each rule that matched
    rules_before: tuple[Share, ...]  # that matched then


class Load(Frozen):
    """What people have, or would have had, to decide."""

    calls: int  # put before a person
    decisions: int  # that takes: more, where a rule asks for several approvals
    a_day: float  # of the decisions, on average
    busiest_day: date | None = None
    on_busiest_day: int = 0


class Notes(Frozen):
    """How many calls are not compared, or not with all that was known then."""

    not_judged: int = 0  # ended, or wait, before they were judged: left out
    without_trace: int = 0
    lost_trace: int = 0
    without_definition: int = 0
    without_tags: int = 0
    model_used: int = 0  # whose model score is on record
    model_missing: int = 0
    failed_then: int = 0
    failed_now: int = 0
    failures: tuple[Share, ...] = ()  # why conditions failed
    reopened: int = 0
    withdrawn: int = 0
    frozen: int = 0
    other_threshold: int = 0
    denied_then_asked: int = 0
    other_trust: int = 0  # of a tool for which this policy says another `trust` than was recorded


class Report(Frozen):
    """All that is told."""

    policy_sha256: str
    policy_name: str
    threshold: int
    since: datetime
    until: datetime
    calls: int  # that were compared
    first: datetime | None = None  # of them
    last: datetime | None = None
    days: int = 0  # from the first to the last, both included, in UTC
    verdicts: dict[str, dict[str, int]] = Field(default_factory=dict)  # then, and by the policy
    changes: tuple[Change, ...] = ()
    people_then: Load
    people_now: Load
    notes: Notes
    left_out: int = 0  # calls that were not looked at, because the time was up

    @property
    def changed(self) -> int:
        """How many calls the policy would have led elsewhere."""
        return sum(change.calls for change in self.changes)


class _Shares:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.references: dict[str, list[str]] = {}

    def add(self, name: str, reference: str) -> None:
        name = name if name in self.counts or len(self.counts) < 10 * MOST_LINES else OTHERS
        self.counts[name] += 1
        kept = self.references.setdefault(name, [])
        kept.append(reference)
        del kept[:-MOST_REFERENCES]

    def told(self) -> tuple[Share, ...]:
        """The largest first, then by name."""
        ordered = sorted(self.counts.items(), key=lambda item: (item[0] == OTHERS, -item[1], item[0]))
        shown = [Share(name=n, calls=c, references=tuple(self.references[n])) for n, c in ordered]
        if len(shown) <= MOST_LINES:
            return tuple(shown)
        rest = sum(share.calls for share in shown[MOST_LINES - 1 :])
        return (*shown[: MOST_LINES - 1], Share(name=OTHERS, calls=rest))


class _Change:
    def __init__(self) -> None:
        self.calls = 0
        self.decided: Counter[Decided] = Counter()
        self.tools, self.rules, self.rules_before = _Shares(), _Shares(), _Shares()

    def add(self, call: Compared, after: Said) -> None:
        self.calls += 1
        if call.decision is not None:
            self.decided[call.decision] += 1
        self.tools.add(call.tool_name, call.case_id)
        for shares, said in ((self.rules, after), (self.rules_before, call.before)):
            for rule in said.rules or (NO_RULE,):
                shares.add(rule, call.case_id)


class _Load:
    def __init__(self) -> None:
        self.calls = 0
        self.by_day: Counter[str] = Counter()

    def add(self, call: Compared, said: Said) -> None:
        if said.verdict is Verdict.ASKED:
            self.calls += 1
            self.by_day[call.opened_at[:10]] += said.approvals

    def told(self, days: int) -> Load:
        decisions = self.by_day.total()
        if not decisions:
            return Load(calls=0, decisions=0, a_day=0.0)
        day, most = max(self.by_day.items(), key=lambda item: (item[1], item[0]))
        mean = round(decisions / max(1, days), 2)
        return Load(
            calls=self.calls,
            decisions=decisions,
            a_day=mean,
            busiest_day=date.fromisoformat(day),
            on_busiest_day=most,
        )


class Counting:
    """Counts call after call, in an amount of memory that does not grow with them."""

    def __init__(self, *, threshold: int) -> None:
        self._threshold = threshold
        self._verdicts: Counter[tuple[Verdict, Verdict]] = Counter()
        self._changes: dict[tuple[Verdict, Verdict], _Change] = {}
        self._then, self._now = _Load(), _Load()
        self._noted: Counter[str] = Counter()
        self._failures = _Shares()
        self._first = self._last = ""
        self.seen = 0

    def skip(self) -> None:
        """Count a call that was never judged."""
        self.seen += 1
        self._noted["not_judged"] += 1

    def add(self, call: Compared, after: Said) -> None:
        """Count a call."""
        self.seen += 1
        self._first = self._first or call.opened_at
        self._last = call.opened_at
        pair = (call.before.verdict, after.verdict)
        self._verdicts[pair] += 1
        if call.before.verdict is not after.verdict:
            self._changes.setdefault(pair, _Change()).add(call, after)
        self._then.add(call, call.before)
        self._now.add(call, after)
        self._noted.update(call.noted)
        if after.failed_rule is not None:
            self._failures.add(after.failed_rule, call.case_id)

    def told(self, *, sha256: str, name: str, since: datetime, until: datetime, left_out: int) -> Report:
        """What was counted."""
        days = _days(self._first, self._last)
        verdicts = {
            one.value: {other.value: self._verdicts[one, other] for other in Verdict} for one in Verdict
        }
        return Report(
            policy_sha256=sha256,
            policy_name=name,
            threshold=self._threshold,
            since=since,
            until=until,
            calls=self._verdicts.total(),
            first=_instant(self._first),
            last=_instant(self._last),
            days=days,
            verdicts=verdicts,
            changes=tuple(self._told_changes()),
            people_then=self._then.told(days),
            people_now=self._now.told(days),
            notes=Notes(**self._noted, failures=self._failures.told()),
            left_out=left_out,
        )

    def _told_changes(self) -> list[Change]:
        ordered = sorted(self._changes.items(), key=lambda item: -item[1].calls)
        return [
            Change(
                before=before,
                after=after,
                calls=change.calls,
                approved_by_people=change.decided[Decided.APPROVED],
                rejected_by_people=change.decided[Decided.REJECTED],
                tools=change.tools.told(),
                rules=change.rules.told(),
                rules_before=change.rules_before.told(),
            )
            for (before, after), change in ordered
        ]


def _instant(text: str) -> datetime | None:
    return read_instant(text) if text else None


def _days(first: str, last: str) -> int:
    if not first:
        return 0
    return (date.fromisoformat(last[:10]) - date.fromisoformat(first[:10])).days + 1
