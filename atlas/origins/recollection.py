"""What an agent did and read before, out of the case store: nothing is kept twice on disk.

What was read once stays in memory, bounded; the case store alone says what counts. At each call the entries
of the ledger that are newer than what is remembered are gone through, whichever process wrote them. A call
sees what was on disk when it was admitted, and the same when it is judged again.
"""

import json
from collections import OrderedDict
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.instants import read_instant
from atlas.ledger import Action, newest
from atlas.models import Case
from atlas.origins.agent import MOST_CALLS, MOST_CHARACTERS, Agent, Reading, Session, in_order, part_of
from atlas.origins.heard import Heard
from atlas.origins.remembered import (
    LONG_AGO,
    MOST_CHANGES,
    Change,
    Remembered,
    admitted,
    call_of,
    calls_of,
    changes_after,
    readings_of,
    upstream_of,
)

MOST_DEFINITIONS = 1000  # of which it is remembered whose tool they are
MOST_AGENTS = 1000  # in memory
FEW = 20  # entries of the ledger that are gone through in the thread of the loop
MOST_IN_ALL = 8_000_000  # characters in memory; as values are looked for, each takes about 15 bytes
USUAL_IDLE = timedelta(minutes=30)

FAR_OFF = datetime(9999, 1, 1, tzinfo=timezone.utc)
A_WHILE = timedelta(minutes=1)  # by which a call may have come later by the clock than by the ledger
NOW = 2**63 - 1  # after every entry


class Past(NamedTuple):
    """What an agent did and read before a call."""

    earlier: tuple[Earlier, ...] = ()  # the oldest first
    is_whole: bool = True  # whether that is all of the session
    read_unrecorded: bool = False  # whether the session read text from outside that is not among it


class _Records(NamedTuple):
    records: tuple[Earlier, ...]  # the oldest first
    own: int  # how many of them are of the session
    since: datetime  # when the session may have begun
    compared: int  # how many of the session's own are compared


class TakesLong(Exception):
    """What came before a call has to be read in a thread of its own."""


class Recollection:
    """Remembers for each agent what it did and read before; one reads at a time."""

    def __init__(self, *, idle: timedelta = USUAL_IDLE) -> None:
        self._idle = idle
        self._agents: OrderedDict[str, Agent] = OrderedDict()  # the one that called last is the last
        self._size = 0
        self._seen = 0
        self._heard = Heard()
        self._upstreams: dict[str, str | None] = {}  # by the digest of a definition, which never changes
        self._is_at_once = False  # whether nothing may be read that can be long

    def past(self, connection: Connection, case: Case) -> Past:
        """What the same agent did and read before a call of now was admitted."""
        self._follow(connection, case)
        agent = self._agent(connection, case.call.principal)
        size = agent.size
        this = agent.calls.get(case.case_id) or call_of(connection, case.case_id)
        position = this.admitted if this is not None else newest(connection) + 1
        compared, before = self._before(connection, agent, case, position)
        past = self._past(connection, compared, case, before, position)
        agent.forget()
        self._bound(agent.size - size)
        return past

    def records(self, connection: Connection, case: Case) -> tuple[Earlier, ...]:
        """The same of a call of long ago, without what the record of its trace says already.

        Calls are asked about in the order in which they came.
        """
        this = call_of(connection, case.case_id)
        if this is None:
            return ()
        self._follow(connection, case, until=this.admitted)
        agent = self._agent(connection, case.call.principal, until=case.opened_at + A_WHILE)
        size = agent.size
        compared, before = self._before(connection, agent, case, this.admitted)
        records = self._records(connection, compared, case, before, this.admitted).records
        agent.forget()
        self._bound(agent.size - size)
        return records

    def _before(
        self, connection: Connection, agent: Agent, case: Case, position: int
    ) -> tuple[Agent, list[Remembered]]:
        """What had come before a call, read again where it may have been forgotten."""
        before = agent.before(case, position)
        if not agent.floor or _reaches(before, position) > agent.floor:
            return agent, before
        self._may_take_long()
        calls, floor = calls_of(connection, case.call.principal, case.opened_at)
        compared = Agent(_by_id(in_order(calls, position)), floor, agent.readings)
        return compared, compared.before(case, position)

    def _follow(self, connection: Connection, case: Case, *, until: int = NOW) -> None:
        """Take in what was written since; the one place that says what is new, by whichever gateway."""
        changes = changes_after(connection, self._seen, until) if self._agents else []
        if not self._agents or len(changes) > FEW:
            self._may_take_long()
        if not self._agents or len(changes) == MOST_CHANGES:
            self._agents.clear()
            self._size, self._seen = 0, min(newest(connection), until - 1)
            return
        for change in changes:
            self._take_in(connection, change, case)
            self._seen = change.seq

    def _take_in(self, connection: Connection, change: Change, case: Case) -> None:
        if change.action == Action.ADMITTED.value and (agent := self._agents.get(change.actor)) is not None:
            is_this = change.case_id == case.case_id
            one = self._admitted(connection, case, change) if is_this else call_of(connection, change.case_id)
        elif change.action == Action.EXECUTED.value:
            one = self._ended(connection, change)
            agent = self._agents.get(one.principal) if one is not None else None
        else:
            if change.action == Action.READ.value and change.actor in self._agents:
                self._agents[change.actor].readings.append(_reading(change))
            elif change.action == Action.EDITED.value:
                self._size += sum(agent.read_again(change.case_id) for agent in self._agents.values())
            return
        if one is not None and agent is not None:
            one.said = self._heard.take(one.case_id) if one.ended is not None else None
            size = agent.size
            agent.take_in(one)
            self._size += agent.size - size

    def _admitted(self, connection: Connection, case: Case, change: Change) -> Remembered:
        sha256 = case.definition_sha256 or ""
        if sha256 not in self._upstreams:
            if len(self._upstreams) >= MOST_DEFINITIONS:
                self._upstreams.clear()
            self._upstreams[sha256] = upstream_of(connection, sha256)
        return admitted(case, change.seq, upstream=self._upstreams[sha256])

    def _ended(self, connection: Connection, change: Change) -> Remembered | None:
        for agent in reversed(self._agents.values()):  # most often that of the newest call
            known = agent.calls.get(change.case_id)
            if known is not None:
                return known.when_ended(change)
        return call_of(connection, change.case_id)

    def _agent(self, connection: Connection, principal: str, *, until: datetime = FAR_OFF) -> Agent:
        agent = self._agents.get(principal)
        if agent is None:
            self._may_take_long()
            calls, floor = calls_of(connection, principal, until)
            readings = [_reading(change) for change in readings_of(connection, principal)]
            agent = Agent(_by_id(in_order(calls, NOW)), floor, readings)
            self._agents[principal] = agent
        self._agents.move_to_end(principal)
        return agent

    def _past(
        self, connection: Connection, agent: Agent, case: Case, before: list[Remembered], position: int
    ) -> Past:
        records, own, since, compared = self._records(connection, agent, case, before, position)
        is_whole = compared == own
        if agent.floor or len(before) > MOST_CALLS:
            is_whole = is_whole and not _goes_back(before, case.call.session)
            is_whole = is_whole and part_of(case, since).calls(connection) <= compared
        since = since if is_whole else LONG_AGO
        read_unrecorded = any(
            one.seq < position and one.session == case.call.session and one.at >= since
            for one in agent.readings
        ) or (not is_whole and agent.read_outside(connection, case))
        return Past(records, is_whole, read_unrecorded)

    def _records(
        self, connection: Connection, agent: Agent, case: Case, before: list[Remembered], position: int
    ) -> "_Records":
        own, since = _session(before[:MOST_CALLS], case, position, self._idle)
        room, records, compared = MOST_CHARACTERS, [], 0
        for one in before[:MOST_CALLS]:
            said = one.said
            if room > 0:
                if said is None:
                    self._may_take_long()
                    said = agent.said_in(connection, one)
                room -= said.size
            is_own, is_compared = one.case_id in own, room >= 0 and said is not None
            seen = (not is_own, one.ended is not None and one.ended < position, is_compared)
            records.append(one.records.get(seen) or one.record(*seen))
            compared += is_compared and is_own
        return _Records(tuple(reversed(records)), len(own), since, compared)

    def _may_take_long(self) -> None:
        if self._is_at_once:
            raise TakesLong

    def _bound(self, grown: int) -> None:
        """Forget agents where they are too many together, but not the last one; they are on disk."""
        self._size += grown
        while len(self._agents) > 1 and (len(self._agents) > MOST_AGENTS or self._size > MOST_IN_ALL):
            _, agent = self._agents.popitem(last=False)
            self._size -= agent.size


def _by_id(newest_first: list[Remembered]) -> dict[str, Remembered]:
    return {one.case_id: one for one in reversed(newest_first)}


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


def _goes_back(before: list[Remembered], session: Session) -> bool:
    """Whether a call beyond those that are compared is known to be of a session; False: the file says it."""
    return session is not None and any(one.session == session for one in before[MOST_CALLS:])


def _reading(change: Change) -> Reading:
    return Reading(change.seq, json.loads(change.detail or "{}").get("session"), read_instant(change.at))
