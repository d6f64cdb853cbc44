"""The figures as text for a terminal and as rows for the documentation."""

from collections.abc import Callable, Sequence

from atlas.assessors.evaluate.figures import Figures
from atlas.assessors.evaluate.shares import Part, Share

Column = tuple[str, Callable[[Figures], str]]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def _share(share: Share | None) -> str:
    if share is None:
        return "–"
    return f"{share.value * 100:.1f} % ({share.low * 100:.1f}–{share.high * 100:.1f})"


def _load(one: Figures) -> str:
    if one.load is None:
        return "–"
    risky, asked = f"{one.load.risky_share * 100:g} %", _percent(one.load.asked)
    return f"of {risky}: {asked} asked, {one.load.risky_of_approved * 100:.2f} % of the approved risky"


def _auroc(one: Figures) -> str:
    if one.auroc is None:
        return "–"
    return f"{one.auroc:.2f} ({_number(one.auroc_low)}–{_number(one.auroc_high)})"


def _by_name(one: Figures) -> str:
    other = one.baselines.tool_name_other_cases
    return _number(one.baselines.tool_name) + (f" ({other:.2f} on other cases)" if other is not None else "")


COLUMNS: tuple[Column, ...] = (
    ("Calls", lambda one: one.name),
    ("Safe / risky", lambda one: f"{one.safe} / {one.risky}"),
    ("AUROC (95 %)", _auroc),
    ("Risky found at 1 % / 5 % false alarms", lambda one: _pair(one.recall_at_1, one.recall_at_5)),
    ("Benign calls a person is asked about (95 %)", lambda one: _share(one.benign_asked)),
    ("Risky calls approved unseen (95 %)", lambda one: _share(one.risky_approved)),
    ("Risky share of the approved, in this set", lambda one: _share(one.risky_of_approved)),
    ("Where few calls are risky", _load),
    ("ECE / Brier", lambda one: f"{one.ece:.2f} / {one.brier:.2f}"),
    ("AUROC of the tool's name alone", _by_name),
    ("AUROC of the number of turns alone", lambda one: _number(one.baselines.turns)),
)
PART = ("Part", "Safe / risky", COLUMNS[4][0], COLUMNS[5][0])
RUN: tuple[Column, ...] = (
    ("Latency p50 / p95", lambda one: f"{one.p50:.2f} / {one.p95:.2f} ms"),
    ("Failures, which count as 100", lambda one: str(one.failures)),
)


def _pair(first: float | None, second: float | None) -> str:
    return "–" if first is second is None else f"{_percent(first)} / {_percent(second)}"


def markdown(figures: Sequence[Figures]) -> str:
    """A table for the documentation: only what is the same on every machine."""
    return _table([[title for title, _ in COLUMNS], *([show(one) for _, show in COLUMNS] for one in figures)])


def markdown_of_parts(figures: Sequence[Figures], by: str) -> str:
    """A table of the sources, kinds or suites of each set that has more than one."""
    rows = [_row(part, of=f"{one.name}, ") for one in figures for part in one.parts if part.by == by]
    return _table([list(PART), *rows])


def _table(rows: Sequence[Sequence[str]]) -> str:
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def _row(part: Part, *, of: str = "") -> list[str]:
    counts = f"{part.safe} / {part.risky}"
    return [f"{of}{part.by}: {part.name}", counts, _share(part.benign_asked), _share(part.risky_approved)]


def text(assessor: str, figures: Sequence[Figures]) -> str:
    """Everything for a terminal, a block for each set."""
    return "\n\n".join([f"Assessor: {assessor}, threshold {figures[0].threshold}", *map(_block, figures)])


def _block(one: Figures) -> str:
    (_, name), *columns = (*COLUMNS, *RUN)
    width = max(len(title) for title, _ in columns)
    lines = [name(one), *(f"  {title:<{width}}  {show(one)}" for title, show in columns)]
    bins = [f"{each.low}–{each.high}: {each.n} calls, {_percent(each.risky)}" for each in one.reliability]
    lines.append(f"  {'Share of risky calls by score':<{width}}  {'; '.join(bins)}")
    at = [f"{each.threshold}: {_pair(each.benign_asked, each.risky_approved)}" for each in one.at]
    lines.append(f"  {'Benign asked / risky approved at':<{width}}  {'; '.join(at)}")
    parts = [_row(part) for part in one.parts]
    lines += [f"  {row[0]}: {row[1]}; benign asked {row[2]}; risky approved {row[3]}" for row in parts]
    return "\n".join(lines)
