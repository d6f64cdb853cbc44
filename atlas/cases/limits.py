"""How much agents may ask for: calls a minute, cases that no one has decided, and the size of arguments.

The counts are in the case store, so a restart forgets none, and all that share the store share them.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.canonical import canonical_json
from atlas.cases.waiting import Waiting, WaitingCalls
from atlas.database.statements import Instant, Prepared, metadata
from atlas.instants import instant_of, now
from atlas.models import ToolCall
from atlas.settings import Settings

MINUTE = timedelta(minutes=1)
ALL = ""  # in the place of an agent's name, which is never empty

call_counts = sa.Table(
    "call_counts",
    metadata,
    sa.Column("principal", sa.String(200), primary_key=True),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("refused_at", Instant),
    sa.Column("refused", sa.Integer, nullable=False),
)
_COLUMNS = ("began_at", "calls", "refused_at", "refused")
_READ = Prepared(
    sa.select(*(call_counts.c[name] for name in _COLUMNS)).where(
        call_counts.c.principal == sa.bindparam("agent")
    )
)
_CHANGE = Prepared(
    call_counts.update()
    .where(call_counts.c.principal == sa.bindparam("agent"))
    .values({name: sa.bindparam(name) for name in _COLUMNS})
)
_INSERT = Prepared(call_counts.insert())


class Count(NamedTuple):
    """The calls of an agent, or of all, in a minute; and the newest burst of calls that were refused."""

    began_at: datetime
    calls: int = 0
    refused_at: datetime | None = None
    refused: int = 0

    def at(self, moment: datetime) -> "Count":
        """The same, or the beginning of another minute; also where the clock was put back."""
        is_over = not timedelta(0) <= moment - self.began_at < MINUTE
        return self._replace(began_at=moment, calls=0) if is_over else self

    def seconds_left(self, moment: datetime) -> int:
        """How long it is to the next minute, in full seconds."""
        return max(1, math.ceil((self.began_at + MINUTE - moment).total_seconds()))

    def is_in_burst(self, moment: datetime) -> bool:
        """Whether a call that is refused now follows another within a minute."""
        return self.refused_at is not None and abs(moment - self.refused_at) < MINUTE


class TooMuch(NamedTuple):
    """The limit that a call met, and when to come back, as the agent is told."""

    limit: str
    most: int
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"This call was refused: {self.reason} Nothing was done. {self.remedy}"


class Limits:
    """Says whether a call may open a case. Calls that were refused are one entry of the ledger a burst."""

    def __init__(self, settings: Settings) -> None:
        self._calls, self._undecided = settings.atlas_calls_per_minute, settings.atlas_waiting_cases
        self._all_calls = settings.atlas_calls_per_minute_in_all
        self._all_undecided = settings.atlas_waiting_cases_in_all
        self._kilobytes = settings.atlas_arguments_kb
        self._waiting = WaitingCalls()

    def meet(self, connection: Connection, call: ToolCall) -> TooMuch | None:
        """Count a call that is about to open a case, or say why it may not."""
        moment = now()
        own, everyone = (_read(connection, name, moment) for name in (call.principal, ALL))
        refusal = (
            self._too_large(call)
            or self._too_many(call.principal, own, everyone, moment)
            or self._too_many_undecided(connection, call.principal)
        )
        if refusal is None:
            _write(connection, call.principal, own._replace(calls=own.calls + 1))
            _write(connection, ALL, everyone._replace(calls=everyone.calls + 1))
        else:
            _note(connection, call, own, refusal, moment)
        return refusal

    def _too_large(self, call: ToolCall) -> TooMuch | None:
        size = len(canonical_json(call.arguments)) + len(canonical_json(call.continuation or {}))
        if size <= self._kilobytes * 1024:
            return None
        reason = f"its arguments have {math.ceil(size / 1024)} KB, and {self._kilobytes} KB are the limit."
        remedy = "Send less at a time; the same call will be refused again."
        return TooMuch("ATLAS_ARGUMENTS_KB", self._kilobytes, reason, remedy)

    def _too_many(self, agent: str, own: Count, everyone: Count, moment: datetime) -> TooMuch | None:
        limits = (
            ("ATLAS_CALLS_PER_MINUTE", self._calls.of(agent), own, "this agent has"),
            ("ATLAS_CALLS_PER_MINUTE_IN_ALL", self._all_calls, everyone, "all agents together have"),
        )
        for limit, most, count, who in limits:
            if count.calls >= most:
                reason = f"{who} made {most} calls in a minute, which is the limit."
                remedy = f"Make it again in {count.seconds_left(moment)} seconds."
                return TooMuch(limit, most, reason, remedy)
        return None

    def _too_many_undecided(self, connection: Connection, agent: str) -> TooMuch | None:
        limits = Waiting(self._undecided.of(agent), self._all_undecided)
        waiting = self._waiting.of(connection, agent, limits)
        settings = (
            ("ATLAS_WAITING_CASES", limits.of_agent, waiting.of_agent, "this agent"),
            ("ATLAS_WAITING_CASES_IN_ALL", limits.of_all, waiting.of_all, "all agents together"),
        )
        for limit, most, number, who in settings:
            if number >= most:
                reason = f"{most} calls of {who} wait for a decision, which is the limit."
                remedy = "Make it again when one of them is decided; get_outcome tells when that is."
                return TooMuch(limit, most, reason, remedy)
        return None


def _read(connection: Connection, agent: str, moment: datetime) -> Count:
    row = _READ.first(connection, {"agent": agent})
    if row is None:
        _INSERT.execute(
            connection, {"principal": agent, "began_at": moment, "calls": 0, "refused_at": None, "refused": 0}
        )
        return Count(moment)
    began_at, calls, refused_at, refused = row
    return Count(instant_of(began_at), calls, refused_at and instant_of(refused_at), refused).at(moment)


def _write(connection: Connection, agent: str, count: Count) -> None:
    values: Mapping[str, Any] = {"agent": agent} | count._asdict()
    _CHANGE.execute(connection, values)


def _note(connection: Connection, call: ToolCall, own: Count, refusal: TooMuch, moment: datetime) -> None:
    """Count a call that was refused; the first of a burst gets an entry, with the size of the one before."""
    if own.is_in_burst(moment):
        _write(connection, call.principal, own._replace(refused_at=moment, refused=own.refused + 1))
        return
    detail = {
        "limit": refusal.limit,
        "most": refusal.most,
        "tool_name": call.tool_name,
        "refused_in_burst_before": own.refused,
    }
    ledger.append(
        connection, ledger.NO_CASE, ledger.Action.LIMITED, actor=call.principal, detail=detail, at=moment
    )
    _write(connection, call.principal, own._replace(refused_at=moment, refused=1))
