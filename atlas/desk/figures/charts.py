"""What the figures of a period look like: each chart is a picture, what it says, and the table behind it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from atlas.cases.figures.period import Figures
from atlas.cases.figures.tallies import BAND, QUICK_SECONDS, Answer, Ending, Tally, median, percentile
from atlas.desk.figures.pictures import Picture, columns, rows
from atlas.desk.seen import seen_plain
from atlas.desk.words import span_text
from atlas.models import Verdict

MOST_DAYS = 31  # a longer period is shown by week
WEEK = 7
MOST_NAMED = 12  # tools or people; the others stand in one line
OTHERS = "all others"
ENDINGS = {
    Ending.EXECUTED_BY_SCORE: "executed, approved by the score",
    Ending.EXECUTED_BY_PERSON: "executed, approved by a person",
    Ending.REJECTED: "rejected by a person",
    Ending.DENIED: "denied by the policy",
    Ending.EXPIRED: "expired",
    Ending.WITHDRAWN: "withdrawn by the agent",
    Ending.FAILED: "failed before the call",
    Ending.OUTCOME_UNKNOWN: "outcome unknown",
    Ending.OPEN: "not ended yet",
}
ANSWERS = {
    Answer.APPROVED_BY_SCORE: "approved by the score",
    Answer.APPROVED_BY_PERSON: "approved by a person",
    Answer.REJECTED: "rejected by a person",
    Answer.DENIED: "denied by the policy",
    Answer.NONE: "expired or withdrawn",
    Answer.OPEN: "not decided yet",
}
VERDICTS = {"approved_by_person": "approved", "rejected": "rejected"}
WAITING = {"waiting": "waiting"}
DECIDED = {"decided": "decisions"}
AGES = (
    ("under 1 h", timedelta(hours=1)),
    ("1 to 4 h", timedelta(hours=4)),
    ("4 to 24 h", timedelta(days=1)),
    ("1 to 3 d", timedelta(days=3)),
    ("3 to 7 d", timedelta(days=7)),
    ("over 7 d", timedelta.max),
)
SPEEDS = (
    ("under 10 s", QUICK_SECONDS),
    ("10 to 60 s", 60.0),
    ("1 to 5 min", 300.0),
    ("5 to 60 min", 3600.0),
    ("1 to 8 h", 8 * 3600.0),
    ("8 to 24 h", 24 * 3600.0),
    ("over 1 d", float("inf")),
)


@dataclass(frozen=True)
class Chart:
    """A picture, what it says, and the table behind it."""

    name: str  # without blanks: it is part of an id
    title: str
    said: str
    head: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    picture: Picture
    legend: tuple[tuple[str, str, int], ...] = ()  # kind, words, how many


@dataclass(frozen=True)
class Reviewer:
    """How one person decided."""

    name: str
    approved: int
    rejected: int
    median: str
    p95: str
    quick: int

    @property
    def decided(self) -> int:
        """How many decisions."""
        return self.approved + self.rejected


def charts_of(figures: Figures) -> dict[str, Chart]:
    """The pictures of the page, by their names."""
    made = [
        waiting_chart(figures),
        endings_chart(figures),
        speed_chart(figures),
        scores_chart(figures),
        tools_chart(figures),
        reviewers_chart(figures),
    ]
    return {chart.name: chart for chart in made}


def tiles_of(figures: Figures) -> list[tuple[str, str, str]]:
    """What the page says first: a name, a value, and a few words on it."""
    seconds = figures.all.seconds_of()
    decided, oldest = len(seconds), figures.waiting[-1:]
    rejected = len(figures.all.seconds_of(verdict=Verdict.REJECTED))
    return [
        (
            "Waiting now",
            f"{len(figures.waiting):,}",
            f"the oldest for {span_text(oldest[0])}" if oldest else "none",
        ),
        ("Calls", f"{figures.all.calls:,}", "came in this period"),
        ("Decided by a person", f"{decided:,}", f"{rejected:,} of them rejected{_share(rejected, decided)}"),
        ("Half decided within", spoken(median(seconds)), "the median" if decided else "no decision yet"),
        (
            "95 % decided within",
            spoken(percentile(seconds, 0.95)),
            "one in twenty took longer" if decided else "no decision yet",
        ),
    ]


def _share(part: int, whole: int) -> str:
    return f", {100 * part / whole:.0f}\u00a0%" if whole else ""


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def spoken(seconds: float | None) -> str:
    """A length of time, or a dash where nothing was measured."""
    if seconds is None:
        return "–"
    return "under 1 s" if seconds < 1 else span_text(timedelta(seconds=seconds))


def waiting_chart(figures: Figures) -> Chart:
    """What waits now, by age."""
    counts = _buckets([age.total_seconds() for age in figures.waiting], _seconds(AGES))
    oldest = f" The oldest came {span_text(figures.waiting[-1])} ago." if figures.waiting else ""
    return Chart(
        "waiting",
        "Waiting now, by age",
        f"{_counted(len(figures.waiting), 'call waits', 'calls wait')} for a person.{oldest}",
        ("age", "calls"),
        _table(counts),
        rows([(name, {"waiting": count}) for name, count in counts], WAITING),
    )


def speed_chart(figures: Figures) -> Chart:
    """How long decisions took."""
    seconds = figures.all.seconds_of()
    counts = _buckets(seconds, SPEEDS)
    said = f"{_counted(len(seconds), 'decision', 'decisions')} of people."
    if seconds:
        said += f" Median {spoken(median(seconds))}, 95 % within {spoken(percentile(seconds, 0.95))}."
    return Chart(
        "speed",
        "Time from the call to the decision",
        said,
        ("time", "decisions"),
        _table(counts),
        rows([(name, {"decided": count}) for name, count in counts], DECIDED),
    )


def _seconds(ages: Sequence[tuple[str, timedelta]]) -> list[tuple[str, float]]:
    return [(name, end.total_seconds()) for name, end in ages]


def _buckets(values: Sequence[float], ends: Sequence[tuple[str, float]]) -> list[tuple[str, int]]:
    """How many values are below each end and not below the one before."""
    below = [0, *(sum(value < end for value in values) for _, end in ends)]
    return [(name, below[index + 1] - below[index]) for index, (name, _) in enumerate(ends)]


def _table(counts: Sequence[tuple[str, int]]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, f"{count:,}") for name, count in counts)


def endings_chart(figures: Figures) -> Chart:
    """How the calls of each day ended; of a long period, of each week."""
    spans = list(_weeks(figures.by_day) if len(figures.by_day) > MOST_DAYS else _days(figures.by_day))
    kinds = _present(figures.all)
    picture = columns([(name, _amounts(tally, kinds)) for name, tally in spans], _words(ENDINGS))
    return Chart(
        "endings",
        f"Calls by how they ended, by {'week' if len(spans) < len(figures.by_day) else 'day'}",
        f"{_counted(figures.all.calls, 'call', 'calls')}. Each stands at the day on which it came, in UTC.",
        ("from", *(ENDINGS[kind] for kind in kinds), "all"),
        tuple((name, *_cells(tally, kinds), f"{tally.calls:,}") for name, tally in spans),
        picture,
        tuple((kind.value, ENDINGS[kind], _ended(figures.all)[kind]) for kind in kinds),
    )


def _days(by_day: Mapping[date, Tally]) -> Iterator[tuple[str, Tally]]:
    for day, tally in by_day.items():
        yield f"{day.day} {day:%b}", tally


def _weeks(by_day: Mapping[date, Tally]) -> Iterator[tuple[str, Tally]]:
    """Weeks that end today; the first one may be shorter."""
    days = list(by_day)
    first = len(days) % WEEK or WEEK
    for begin, end in zip(
        [0, *range(first, len(days), WEEK)], range(first, len(days) + 1, WEEK), strict=True
    ):
        week = Tally()
        for day in days[begin:end]:
            week.add(by_day[day])
        yield f"{days[begin].day} {days[begin]:%b}", week


def _ended(tally: Tally) -> Counter[Ending]:
    ended: Counter[Ending] = Counter()
    for (_, ending), count in tally.endings.items():
        ended[ending] += count
    return ended


def _present(tally: Tally) -> list[Ending]:
    """The endings that there were, in their order."""
    ended = _ended(tally)
    return [ending for ending in Ending if ended[ending]]


def _amounts(tally: Tally, kinds: Sequence[Ending]) -> dict[str, int]:
    ended = _ended(tally)
    return {kind.value: ended[kind] for kind in kinds}


def _cells(tally: Tally, kinds: Sequence[Ending]) -> list[str]:
    return [f"{count:,}" for count in _amounts(tally, kinds).values()]


def _words(said: Mapping[Ending, str] | Mapping[Answer, str]) -> dict[str, str]:
    return {kind.value: text for kind, text in said.items()}


def scores_chart(figures: Figures) -> Chart:
    """What was decided at which score."""
    answers = figures.all.answers
    bands = [None, *range(0, 100, BAND)] if any(band is None for band, _ in answers) else range(0, 100, BAND)
    kinds = [answer for answer in Answer if any(answers[band, answer] for band in bands)]
    lines = [(_band(band), {kind.value: answers[band, kind] for kind in kinds}) for band in bands]
    return Chart(
        "scores",
        "Scores against decisions",
        "What was decided on the calls of each score, from 0 (harmless) to 100. A score that a rule hides "
        "counts as 100 until the call is decided.",
        ("score", *(ANSWERS[kind] for kind in kinds), "all"),
        tuple(
            (name, *(f"{count:,}" for count in row.values()), f"{sum(row.values()):,}") for name, row in lines
        ),
        rows(lines, _words(ANSWERS), left=20),
        tuple((kind.value, ANSWERS[kind], sum(row[kind.value] for _, row in lines)) for kind in kinds),
    )


def _band(band: int | None) -> str:
    if band is None:
        return "no score"
    return f"{band}–{100 if band == 90 else band + BAND - 1}"


def tools_chart(figures: Figures) -> Chart:
    """How the calls of each tool ended."""
    kinds = _present(figures.all)
    calls: Counter[str] = Counter()
    for (tool, _), count in figures.all.endings.items():
        calls[tool] += count
    named = [tool for tool, _ in calls.most_common(MOST_NAMED)]
    lines = [(seen_plain(tool, 60), _of_tools(figures.all, {tool}, kinds)) for tool in named]
    others = calls.keys() - set(named)
    if others:
        lines.append((f"{OTHERS} ({len(others)})", _of_tools(figures.all, others, kinds)))
    return Chart(
        "tools",
        "By tool",
        f"{_counted(len(calls), 'tool was', 'tools were')} called.",
        ("tool", *(ENDINGS[kind] for kind in kinds), "all"),
        tuple(
            (name, *(f"{count:,}" for count in row.values()), f"{sum(row.values()):,}") for name, row in lines
        ),
        rows(lines, _words(ENDINGS), left=42),
        tuple((kind.value, ENDINGS[kind], _ended(figures.all)[kind]) for kind in kinds),
    )


def _of_tools(tally: Tally, tools: set[str], kinds: Sequence[Ending]) -> dict[str, int]:
    return {kind.value: sum(tally.endings[tool, kind] for tool in tools) for kind in kinds}


def reviewers_of(tally: Tally) -> list[Reviewer]:
    """How each person decided, the one with the most decisions first."""
    names = {name for name, _ in tally.decided}
    found = [_reviewer(tally, name) for name in names]
    return sorted(found, key=lambda one: (-one.decided, one.name))


def _reviewer(tally: Tally, name: str) -> Reviewer:
    seconds = tally.seconds_of(name)
    rejected = len(tally.seconds_of(name, Verdict.REJECTED))
    return Reviewer(
        name,
        len(seconds) - rejected,
        rejected,
        spoken(median(seconds)),
        spoken(percentile(seconds, 0.95)),
        sum(one < QUICK_SECONDS for one in seconds),
    )


def reviewers_chart(figures: Figures) -> Chart:
    """What each person decided."""
    found = reviewers_of(figures.all)
    lines = [
        (seen_plain(one.name, 60), {"approved_by_person": one.approved, "rejected": one.rejected})
        for one in found[:MOST_NAMED]
    ]
    return Chart(
        "reviewers",
        "By person",
        "Decisions that count now. One on an earlier round of a call that was judged again does not.",
        ("person", "approved", "rejected", "median", "95 % within", f"under {QUICK_SECONDS:.0f} s"),
        tuple(
            (
                seen_plain(one.name, 60),
                f"{one.approved:,}",
                f"{one.rejected:,}",
                one.median,
                one.p95,
                f"{one.quick:,}",
            )
            for one in found
        ),
        rows(lines, VERDICTS, left=26),
        tuple((kind, word, sum(line[kind] for _, line in lines)) for kind, word in VERDICTS.items()),
    )
