"""What an agent did and read before, out of the case store: nothing is kept twice on disk.

What was read once stays in memory, bounded; the case store alone says what counts. At each call the entries
of the ledger that are newer than what is remembered are gone through, whichever process wrote them. A call
sees what was on disk when it was admitted, and the same when it is judged again.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.cases.store import CaseStore
from atlas.database.statements import one_moment
from atlas.instants import read_instant
from atlas.ledger import Action
from atlas.models import Case
from atlas.origins.remembered import (
    LONG_AGO,
    MOST_CHANGES,
    MOST_LOADED,
    Change,
    Part,
    Remembered,
    call_of,
    calls_of,
    changes_after,
    newest_entry,
    readings_of,
    said_of,
)

MOST_CALLS = 100  # of one agent, with which a call is compared: those to which something happened last
MOST_CHARACTERS = 2_000_000  # of one agent's arguments and answers, with which a call is compared
MOST_AGENTS = 1000  # in memory
MOST_IN_ALL = 8_000_000  # characters in memory; as values are looked for, each takes about 15 bytes
USUAL_IDLE = timedelta(minutes=30)

FAR_OFF = datetime(9999, 1, 1, tzinfo=timezone.utc)

Session = str | None


class Past(NamedTuple):
    """What an agent did and read before a call."""

    earlier: tuple[Earlier, ...] = ()  # the oldest first
    is_whole: bool = True  # whether that is all of the session
    read_unrecorded: bool = False  # whether the session read text from outside that is not among it


class Reading(NamedTuple):
    """That an agent read something beside its calls."""

    seq: int
    session: Session
    at: datetime


@dataclass(eq=False)
class Agent:
    """What is remembered of one agent."""

    calls: dict[str, Remembered]
    floor: int  # what happened up to this entry may have been forgotten; 0: nothing was
    readings: list[Reading]
    looked: dict[Session, tuple[datetime, bool]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Characters in memory."""
        return sum(one.said.size for one in self.calls.values() if one.said is not None)

    def read_outside(self, connection: Connection, case: Case) -> bool:
        """Whether the session had read from outside before a call; each part of it is looked at once."""
        until, is_outside = self.looked.get(case.call.session, (LONG_AGO, False))
        if until > case.opened_at:  # one that is judged again
            return _part(case, LONG_AGO).read_outside(connection)
        is_outside = is_outside or _part(case, until).read_outside(connection)
        self.looked[case.call.session] = case.opened_at, is_outside
        return is_outside

    def forget(self) -> None:
        """Forget calls that are too many, and texts that are too long together."""
        if len(self.calls) <= MOST_LOADED + MOST_CALLS and self.size <= 2 * MOST_CHARACTERS:
            return
        newest = sorted(self.calls.values(), key=lambda one: one.ended or one.admitted)
        for one in newest[:-MOST_CALLS]:
            one.said = None
            one.records.clear()
        for one in newest[:-MOST_LOADED]:
            self.floor = max(self.floor, one.ended or one.admitted)
            del self.calls[one.case_id]


class Memory:
    """Remembers for each agent what it did and read before."""

    def __init__(self, store: CaseStore, *, idle: timedelta = USUAL_IDLE) -> None:
        self._store = store
        self._idle = idle
        self._lock = threading.Lock()  # reading the file takes turns, in its threads
        self._agents: OrderedDict[str, Agent] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._seen = 0

    async def earlier(self, case: Case) -> Past:
        """What the same agent did and read before the call was admitted."""

        def read(connection: Connection) -> Past:
            with self._lock, one_moment(connection):
                return self._earlier(connection, case)

        return await self._store.database.read(read)

    def _earlier(self, connection: Connection, case: Case) -> Past:
        self._follow(connection)
        agent = self._agent(connection, case.call.principal)
        this = agent.calls.get(case.case_id) or call_of(connection, case.case_id)
        position = this.admitted if this is not None else newest_entry(connection) + 1
        before = _before(agent.calls.values(), case, position)
        if agent.floor and _reaches(before, position) <= agent.floor:
            calls, floor = calls_of(connection, case.call.principal, case.opened_at)
            agent = Agent({one.case_id: one for one in calls}, floor, agent.readings)
            before = _before(calls, case, position)
        past = self._past(connection, agent, case, before, position)
        self._bound(case.call.principal)
        return past

    def _follow(self, connection: Connection) -> None:
        """Take in what was written since; the one place that says what is new, by whichever gateway."""
        if not self._agents:
            self._seen = newest_entry(connection)
            return
        changes = changes_after(connection, self._seen)
        if len(changes) == MOST_CHANGES:
            self._agents.clear()
            self._sizes.clear()
            self._seen = newest_entry(connection)
            return
        for change in changes:
            self._take_in(connection, change)
            self._seen = change.seq

    def _take_in(self, connection: Connection, change: Change) -> None:
        if change.action == Action.READ.value and change.actor in self._agents:
            self._agents[change.actor].readings.append(_reading(change))
        is_new = change.action == Action.ADMITTED.value and change.actor in self._agents
        if not is_new and change.action != Action.EXECUTED.value:
            return
        one = call_of(connection, change.case_id)
        if one is not None and (agent := self._agents.get(one.principal)) is not None:
            agent.calls[one.case_id] = one

    def _agent(self, connection: Connection, principal: str) -> Agent:
        agent = self._agents.get(principal)
        if agent is None:
            calls, floor = calls_of(connection, principal, FAR_OFF)
            readings = [_reading(change) for change in readings_of(connection, principal)]
            agent = Agent({one.case_id: one for one in calls}, floor, readings)
            self._agents[principal] = agent
        self._agents.move_to_end(principal)
        return agent

    def _past(
        self, connection: Connection, agent: Agent, case: Case, before: list[Remembered], position: int
    ) -> Past:
        own, since = _session(before, case, position, self._idle)
        room, records, compared = MOST_CHARACTERS, [], 0
        for one in before[:MOST_CALLS]:
            if room > 0 and one.said is None:
                one.said = said_of(connection, one)
            room -= one.said.size if one.said is not None else 0
            is_read, is_other = one.ended_before(position), one.case_id not in own
            records.append(one.record(is_other=is_other, is_read=is_read, is_compared=room >= 0))
            compared += room >= 0 and not is_other
        is_whole, is_outside = True, False
        if agent.floor or compared < len(own):
            is_whole = _part(case, since).calls(connection) <= compared
            is_outside = not is_whole and agent.read_outside(connection, case)
        is_outside = is_outside or any(
            one.seq < position and one.session == case.call.session and one.at >= since
            for one in agent.readings
        )
        return Past(tuple(reversed(records)), is_whole, is_outside)

    def _bound(self, principal: str) -> None:
        """Forget what is too much, what was used least recently first; it is on disk."""
        agent = self._agents[principal]
        agent.forget()
        self._sizes[principal] = agent.size
        while len(self._agents) > 1 and (
            len(self._agents) > MOST_AGENTS or sum(self._sizes.values()) > MOST_IN_ALL
        ):
            name, _ = self._agents.popitem(last=False)
            self._sizes.pop(name, None)


def _before(calls: Iterable[Remembered], case: Case, position: int) -> list[Remembered]:
    """What had come before a call, that to which something happened last first."""
    before = [one for one in calls if one.admitted < position and one.case_id != case.case_id]
    return sorted(before, key=lambda one: one.newest(position), reverse=True)


def _reaches(before: list[Remembered], position: int) -> int:
    """Up to which entry a call is compared with what had happened before it; 0: with all of it."""
    return 0 if len(before) < MOST_CALLS else before[MOST_CALLS - 1].newest(position)


def _session(
    before: list[Remembered], case: Case, position: int, idle: timedelta
) -> tuple[set[str], datetime]:
    """Which of these calls are of the session of this one, and since when it lasts."""
    session = case.call.session
    if session is not None:
        return {one.case_id for one in before if one.session == session}, LONG_AGO
    own, since = set(), case.opened_at - idle
    for one in before:
        opened_at, last = one.moments(position)
        if one.session is None and last >= since:
            own.add(one.case_id)
            since = min(since, opened_at - idle)
    return own, since


def _part(case: Case, since: datetime) -> Part:
    return Part(case.call.principal, case.call.session, since, case.opened_at)


def _reading(change: Change) -> Reading:
    return Reading(change.seq, json.loads(change.detail or "{}").get("session"), read_instant(change.at))
