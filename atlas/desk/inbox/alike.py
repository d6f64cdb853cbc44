"""Calls that are alike stand together: of one agent, to one tool, and caught by the same rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from atlas.cases.lists.listing import Line

FEWEST = 3  # that are folded; fewer are seen at once without


@dataclass(frozen=True)
class Group:
    """Some lines of a list, in its order; one alone is a group too."""

    lines: tuple[Line, ...]

    @property
    def first(self) -> Line:
        """The line that says of all what they share."""
        return self.lines[0]

    @property
    def is_folded(self) -> bool:
        """Whether it is shown as one line that a person opens."""
        return len(self.lines) >= FEWEST

    @property
    def nearest_end(self) -> datetime | None:
        """When the first of them ends; None where none has an end, or all are frozen."""
        return min(
            (line.expires_at for line in self.lines if line.expires_at and not line.frozen_at), default=None
        )

    @property
    def highest_risk(self) -> int | None:
        """The highest score among them."""
        return max((line.risk_score for line in self.lines if line.risk_score is not None), default=None)

    @property
    def name(self) -> str:
        """By which a page knows the group again."""
        return "g" + sha256(repr(_kind(self.first)).encode()).hexdigest()[:12]


def groups_of(lines: Sequence[Line]) -> list[Group]:
    """The groups of a page, each where its first line stands."""
    kinds: dict[tuple[object, ...], list[Line]] = {}
    for line in lines:
        kinds.setdefault(_kind(line), []).append(line)
    found: list[Group] = []
    for line in lines:
        together = kinds[_kind(line)]
        if len(together) < FEWEST:
            found.append(Group((line,)))
        elif together[0] is line:
            found.append(Group(tuple(together)))
    return found


def _kind(line: Line) -> tuple[object, ...]:
    # A changed policy can give a rule of the same name another class, or other reviewers.
    return (line.tool_name, line.principal, line.rules, line.classification, line.reviewers)
