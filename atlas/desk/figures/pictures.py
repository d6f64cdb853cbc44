"""Places the parts of a picture: what is across is a share of the width, so that letters keep their size.

Pictures are SVG that the templates write. Each part has a kind, which has a colour and a pattern.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LINE = 30  # pixels from one row to the next
BAR = 18  # of them, the bar
TALL = 180  # pixels of the highest column
LABELS = 6  # at most below the columns
SCALE = 7  # percent of the width, for the numbers of the scale


@dataclass(frozen=True)
class Part:
    """One bar, or a piece of one: `x` and `width` in percent, `y` and `height` in pixels."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    said: str


@dataclass(frozen=True)
class Label:
    """A text beside a bar; `x` in percent, `y` in pixels."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Picture:
    """What stands in one picture of so many pixels in height."""

    height: int
    parts: tuple[Part, ...]
    labels: tuple[Label, ...]  # of rows and of columns
    numbers: tuple[Label, ...]  # behind bars, and at the lines of a scale


Amounts = Mapping[str, int]  # by kind, in the order in which they are drawn


def rows(lines: Sequence[tuple[str, Amounts]], words: Mapping[str, str], *, left: int = 26) -> Picture:
    """Bars that lie, one below the other; `left` percent are for what stands before them."""
    room = 100 - left - 10  # the rest is for the number behind the bar
    most = max((sum(amounts.values()) for _, amounts in lines), default=0) or 1
    parts: list[Part] = []
    labels, numbers = [], []
    for index, (name, amounts) in enumerate(lines):
        top, x = index * LINE, float(left)
        for kind, amount in amounts.items():
            width = room * amount / most
            if amount:
                said = f"{name}: {amount:,} {words[kind]}"
                parts.append(Part(kind, round(x, 2), top + (LINE - BAR) / 2, round(width, 2), BAR, said))
            x += width
        labels.append(Label(0, top + LINE / 2, name))
        numbers.append(Label(round(x + 1, 2), top + LINE / 2, f"{sum(amounts.values()):,}"))
    return Picture(len(lines) * LINE, tuple(parts), tuple(labels), tuple(numbers))


def columns(spans: Sequence[tuple[str, Amounts]], words: Mapping[str, str]) -> Picture:
    """Bars that stand, one beside the other in the order of time, on a scale."""
    top = scale(max((sum(amounts.values()) for _, amounts in spans), default=0))
    across = (100 - SCALE) / max(1, len(spans))
    every = math.ceil(len(spans) / LABELS)
    parts: list[Part] = []
    for index, (name, amounts) in enumerate(spans):
        y = float(TALL)
        for kind, amount in amounts.items():
            height = TALL * amount / top
            if amount:
                y -= height
                said = f"{name}: {amount:,} {words[kind]}"
                box = (round(SCALE + across * (index + 0.12), 2), round(y, 2), round(across * 0.76, 2))
                parts.append(Part(kind, *box, round(height, 2), said))
    labels = (
        Label(round(SCALE + across * (index + 0.5), 2), TALL + 18, name)
        for index, (name, _) in enumerate(spans)
        if (len(spans) - 1 - index) % every == 0
    )
    lines = (Label(0, TALL - TALL * share, f"{top * share:,.0f}") for share in (0.5, 1))
    return Picture(TALL + 26, tuple(parts), tuple(labels), tuple(lines))


def scale(most: int) -> int:
    """The end of a scale: an even number of two digits at most that is not below the highest column."""
    if most <= 2:
        return 2
    step: int = 10 ** max(0, math.floor(math.log10(most)) - 1)
    top = math.ceil(most / step) * step
    return top if top % 2 == 0 else top + step if step > 1 else top + 1
