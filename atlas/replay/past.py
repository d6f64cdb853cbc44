"""The calls on record, the oldest first, with what each was judged by in its first round."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.database.beside import Beside
from atlas.instants import instant_text
from atlas.models import Status, Verdict
from atlas.replay.span import Span
from atlas.traces import NO_ORIGINS

STEP_ROWS = 500
AT_ONCE = 50  # rows that are read together: a row can be large
STEP_CHARACTERS = 8_000_000  # of arguments and traces, after which a step ends

# The first round alone: what was judged again was judged because tool or policy had changed meanwhile. And no
# seeded cases, which no agent made; but while one waits it is there as others are, or a person could tell it.
ROWS = sa.text("""
SELECT c.case_id, c.opened_at, c.principal, c.tool_name, c.arguments, c.intent, c.user_request, c.session,
       c.status, c.round_number, c.frozen_at IS NOT NULL, d.decision,
       a.risk_score, a.threshold, a.assessor, a.model_score, a.classification, a.rationale,
       coalesce(a.definition_sha256, c.definition_sha256), a.ruling, a.trace, a.is_outside, c.continuation
FROM cases AS c
LEFT JOIN assessments AS a ON a.case_id = c.case_id AND a.round_number = 1
LEFT JOIN decisions AS d ON d.case_id = c.case_id AND d.round_number = c.round_number
WHERE (c.opened_at, c.case_id) > (:after, :after_case) AND (c.opened_at, c.case_id) <= (:end, :end_case)
  AND (coalesce(c.claimed_by, '') != 'seeded' OR c.status = 'PENDING_REVIEW')
ORDER BY c.opened_at, c.case_id
LIMIT :most
""")
END = sa.text("""
SELECT opened_at, case_id FROM cases WHERE (opened_at, case_id) > (:after, :after_case) AND opened_at < :until
ORDER BY opened_at, case_id LIMIT 1 OFFSET :calls
""")
COUNT = sa.text("""
SELECT count(*) FROM cases
WHERE opened_at >= :since AND opened_at < :until
  AND (coalesce(claimed_by, '') != 'seeded' OR status = 'PENDING_REVIEW')
""")


@dataclass(frozen=True)
class Judged:
    """What the first round of a case came to."""

    risk_score: int
    threshold: int
    assessor: str
    model_score: int | None
    classification: str
    rationale: str
    ruling: dict[str, Any] | None
    trace: str | None  # JSON
    is_outside: bool

    @property
    def has_failed(self) -> bool:
        """Whether the policy or a model could not judge the call, so that a person had to."""
        return self.assessor.endswith("(failed)")

    @property
    def is_of_policy(self) -> bool:
        """Whether the policy judged alone, or failed."""
        return self.assessor.startswith("policy ")

    @property
    def has_lost_trace(self) -> bool:
        """Whether no trace could be made; one that is older than traces has none either."""
        return self.trace is None and self.rationale.startswith(NO_ORIGINS)


@dataclass(frozen=True)
class Past:
    """One call on record."""

    case_id: str
    opened_at: str  # as it is kept, which sorts
    principal: str
    tool_name: str
    arguments: str  # JSON
    intent: str | None
    user_request: str | None
    session: str | None
    status: Status
    round_number: int
    is_frozen: bool
    decision: Verdict | None
    definition_sha256: str | None
    judged: Judged | None  # None: it was never judged
    continuation: str | None = None  # JSON: what the agent added because the tool asked
    earlier: tuple[Earlier, ...] = ()  # the calls before it, where the policy can depend on them


Place = tuple[str, str]  # when a call came, and its reference


class Window(NamedTuple):
    """The calls behind one place, up to another one."""

    after: Place
    end: Place


Looks = Callable[[Connection, Past], tuple[Earlier, ...]]  # for what was before a call


def count(store: Beside, since: datetime, until: datetime) -> int:
    """How many calls came in a span of time."""
    bounds = {"since": instant_text(since), "until": instant_text(until)}
    return int(store.look(lambda connection: connection.execute(COUNT, bounds).scalar_one()))


def windows_of(store: Beside, span: Span, calls: int) -> list[Window]:
    """The span in windows of so many calls each; the last one is open for those that come meanwhile."""
    until = instant_text(span.until)

    def read(connection: Connection) -> list[Window]:
        found: list[Window] = []
        place: Place = (instant_text(span.since), "")
        values = {"until": until, "calls": calls - 1}
        while end := connection.execute(END, values | {"after": place[0], "after_case": place[1]}).first():
            found.append(Window(place, (end[0], end[1])))
            place = found[-1].end
        return [*found, Window(place, (until, ""))]

    return store.look(read)


def steps(store: Beside, window: Window, earlier: Looks) -> Iterator[list[Past]]:
    """The calls of a window in steps; between two of them nothing of the store is held."""
    while rows := store.look(partial(_step, window=window, earlier=earlier)):
        yield rows
        window = Window((rows[-1].opened_at, rows[-1].case_id), window.end)


def _step(connection: Connection, *, window: Window, earlier: Looks) -> list[Past]:
    calls, characters = [], 0
    (after, after_case), (end, end_case) = window
    values = {"after": after, "after_case": after_case, "end": end, "end_case": end_case, "most": STEP_ROWS}
    for row in connection.execute(ROWS, values, execution_options={"yield_per": AT_ONCE}):
        past = _past(row)
        calls.append(replace(past, earlier=earlier(connection, past)))
        characters += (
            len(row[4])
            + len(row[20] or "")
            + len(row[22] or "")
            + sum(len(one.result) for one in calls[-1].earlier[-1:])
        )
        if characters > STEP_CHARACTERS:
            break
    return calls


def _past(row: Any) -> Past:
    return Past(
        case_id=row[0],
        opened_at=row[1],
        principal=row[2],
        tool_name=row[3],
        arguments=row[4],
        intent=row[5],
        user_request=row[6],
        session=row[7],
        status=Status(row[8]),
        round_number=row[9],
        is_frozen=bool(row[10]),
        decision=Verdict(row[11]) if row[11] else None,
        definition_sha256=row[18],
        judged=None if row[12] is None else _judged(*row[12:18], *row[19:22]),
        continuation=row[22],
    )


def _judged(
    score: int,
    threshold: int,
    assessor: str,
    model_score: int | None,
    classification: str,
    rationale: str,
    ruling: str | None,
    trace: str | None,
    is_outside: int,
) -> Judged:
    return Judged(
        risk_score=score,
        threshold=threshold,
        assessor=assessor,
        model_score=model_score,
        classification=classification,
        rationale=rationale[: len(NO_ORIGINS)],
        ruling=json.loads(ruling) if ruling else None,
        trace=trace,
        is_outside=bool(is_outside),
    )
