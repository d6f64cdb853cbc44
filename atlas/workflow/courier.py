"""What the workflow is told, and the courier that tells it again until the case store shows it was heard.

The gateway that changed a case tells at once. To what was not heard sees one of the gateways that share a
store, for each case the same one, which all of them know without asking: by the names of those that live.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta

import inngest
import sqlalchemy as sa

from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.database.processes import is_at_work
from atlas.instants import now
from atlas.models import Case, Status
from atlas.stop.covering import covered_by, stops_in_force

EXECUTION_REQUESTED = "atlas/tool.execution_requested"
SARAH_DECISION = "atlas/sarah.decision"

ROUND_SECONDS = 1.0
REMIND_SECONDS = (1.0, 2.0)  # between the reminders of a decision; then another run takes the case up
LATER_SECONDS = 30.0  # between the further attempts
SILENCE_SECONDS = 120.0  # a run of which so long nothing shows may be lost: another one takes the case up
OVERDUE_SECONDS = 5.0  # the same for a call that was judged again, whose run may not wait for its new end
BEGIN_SECONDS = 2.0  # the same for an approved call whose begin was put off
BATCH = 200
PAGE = 500  # cases that a round sees to; where there are more, the next ones are seen to in the next round
BEGINNING = [Status.AUTHORIZED, Status.EXECUTING]  # what a stop keeps from it, and from being repeated
MOVING = tuple(status for status in Status if status.is_up_to_the_workflow)

logger = logging.getLogger(__name__)


@dataclass
class Delivery:
    """How often the events of a case went out in its present state, and when they go out again."""

    due_at: float
    sent: int = 0


@dataclass
class Sweep:
    """How far a round has come with a question of which cases are unheard, which may be very many."""

    statuses: tuple[Status, ...]
    after: tuple[str, str] | None = None  # status and reference of the last case; None: it begins again
    unseen: set[tuple[str, Status, int]] = field(default_factory=set)  # of what was known when it began


def execution_requested(case: Case, *, again: bool = False) -> inngest.Event:
    """The event that starts the run of a case; the engine drops a second one unless asked again."""
    return inngest.Event(
        name=EXECUTION_REQUESTED,
        id=f"{case.case_id}.{time.time_ns()}" if again else case.case_id,
        data={
            "event_id": case.case_id,
            "tool_name": case.call.tool_name,
            "arguments_sha256": case.call.arguments_sha256,
            "principal": case.call.principal,
        },
    )


def sarah_decision(case: Case) -> inngest.Event:
    """The event that wakes the run of a case; it has no authority, the decision is the row in the store."""
    decision = case.decision.decision.value if case.decision else None
    return inngest.Event(name=SARAH_DECISION, data={"event_id": case.case_id, "decision": decision})


def _begins() -> sa.ColumnElement[bool]:
    """What begins at a time is asked to when its run has not done so by itself."""
    is_past = cases.c.begins_at < now() - timedelta(seconds=BEGIN_SECONDS)
    return sa.or_(cases.c.begins_at.is_(None), is_past, cases.c.status != Status.AUTHORIZED.value)


def sees_to(case_id: str, living: Collection[str]) -> str:
    """The process that sees to a case, of those that live; if one dies, only its cases go to others."""
    return max(living, key=lambda process_id: hashlib.sha256(f"{process_id} {case_id}".encode()).digest())


def _key(case: Case) -> tuple[str, Status, int]:
    """A state in which a case stands at most once: what is judged again is told again."""
    return case.case_id, case.status, case.round_number


def _is_woken(case: Case) -> bool:
    """Whether its run sleeps until an event: of a decision, or of the lift of the stop that held it."""
    return case.decision is not None or (case.frozen_at is not None and case.status in BEGINNING)


def _is_silent(case: Case) -> bool:
    """Whether nothing shows of the run of a new call for so long that another one takes it up.

    By its age, and not by how long this gateway has known it: each start would begin to wait again.
    """
    return case.status is Status.QUEUED and now() - case.opened_at > timedelta(seconds=SILENCE_SECONDS)


class Courier:
    """Sends events to Inngest as long as the case store shows that they are needed."""

    def __init__(self, client: inngest.Inngest, store: CaseStore) -> None:
        self._client = client
        self._store = store
        self._urgent: dict[str, Case] = {}
        self._deliveries: dict[tuple[str, Status, int], Delivery] = {}
        self._moving = Sweep(MOVING)
        self._overdue = Sweep(tuple(status for status in Status if status not in MOVING))
        self._wake = asyncio.Event()
        self._next_round = 0.0
        self.problem: str | None = None  # why the last send failed, in one line
        self._well_at = time.monotonic()  # when the server last had all that was due
        self.listeners: list[Callable[[float], None]] = []  # of the seconds that it took to take events

    def announce(self, case: Case) -> None:
        """Tell the workflow about a case at once; from then on the rounds see to it."""
        self._urgent[case.case_id] = case
        self._wake.set()

    @property
    def lag(self) -> float:
        """For how many seconds the server has not had all that was due."""
        return time.monotonic() - self._well_at

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            try:
                await self._round()
            except Exception:
                # The cases are on disk, so the next round finds them again.
                logger.exception("A round of the courier failed")
            alarm = asyncio.get_running_loop().call_later(ROUND_SECONDS, self._wake.set)
            await self._wake.wait()
            alarm.cancel()

    async def _round(self) -> None:
        urgent, self._urgent = self._urgent, {}
        changed_here = set(urgent)
        self._wake.clear()
        if time.monotonic() >= self._next_round:
            urgent |= {case.case_id: case for case in await self._unheard_cases()}
            self._next_round = time.monotonic() + ROUND_SECONDS
        moment = time.monotonic()
        due = [
            case
            for case in urgent.values()
            if self._delivery(case, moment=moment, is_new=case.case_id in changed_here).due_at <= moment
        ]
        for start in range(0, len(due), BATCH):
            await self._deliver(due[start : start + BATCH], moment=moment)
        if self.problem is not None:  # what was not taken is the next to be sent
            self._moving.after = self._overdue.after = None
        elif self._moving.after is self._overdue.after is None:
            self._well_at = moment

    async def _unheard_cases(self) -> list[Case]:
        """The unreported cases whose next move is the workflow's: a page of them in each round."""
        is_unreported, status = cases.c.reported_at.is_(None), cases.c.status
        is_abandoned = sa.or_(status != Status.EXECUTING.value, ~is_at_work(cases.c.claimed_by))
        is_overdue = sa.and_(cases.c.frozen_at.is_(None), cases.c.expires_at < now() - timedelta(seconds=1))
        # In the store, since another process may stop and lift. What may not begin is not asked to.
        stops = await self._store.database.read(stops_in_force)
        is_free = ~sa.and_(status.in_(BEGINNING), covered_by(stops))
        # Two questions, each answered by an index: as one it would go through all cases that wait.
        moving = is_unreported, status.in_(MOVING), is_abandoned, is_free, _begins()
        overdue = is_unreported, status == Status.PENDING_REVIEW.value, is_overdue
        return await self._page(self._moving, *moving) + await self._page(self._overdue, *overdue)

    async def _page(self, sweep: Sweep, *conditions: sa.ColumnElement[bool]) -> list[Case]:
        """The next cases that this gateway sees to; what no page of a whole sweep has is forgotten."""
        if sweep.after is None:
            sweep.unseen = {key for key in self._deliveries if key[1] in sweep.statuses}
        page = [] if sweep.after else await self._store.select(*conditions, limit=PAGE)
        if (
            sweep.after or len(page) == PAGE
        ):  # the first ones would hide the others: by turns, which costs more
            page = await self._store.page(*conditions, limit=PAGE, after=sweep.after)
        found = [case for case in page if self._sees_to(case)]
        sweep.unseen -= {_key(case) for case in found}
        sweep.after = (page[-1].status.value, page[-1].case_id) if len(page) == PAGE else None
        if sweep.after is None:
            self._deliveries = {
                key: value for key, value in self._deliveries.items() if key not in sweep.unseen
            }
        return found

    @property
    def _is_alone(self) -> bool:
        return len(self._store.database.lease.living) < 2

    def _sees_to(self, case: Case) -> bool:
        living = self._store.database.lease.living
        return self._is_alone or sees_to(case.case_id, living) == self._store.process_id

    def _delivery(self, case: Case, *, moment: float, is_new: bool = False) -> Delivery:
        """How often its events went out; at first they are due, unless another gateway has just sent them."""
        waits_for_event = case.status is Status.QUEUED or _is_woken(case)
        is_overdue_again = case.status is Status.PENDING_REVIEW and case.round_number > 1
        silence = OVERDUE_SECONDS if is_overdue_again else SILENCE_SECONDS
        at_first = moment if is_new or self._is_alone else moment + REMIND_SECONDS[0]
        first = Delivery(due_at=at_first if waits_for_event else moment + silence, sent=int(_is_silent(case)))
        return self._deliveries.setdefault(_key(case), first)

    async def _deliver(self, due: list[Case], *, moment: float) -> None:
        try:
            events = [event for case in due for event in self._events(case)]
            await self._client.send(events, skip_middleware=True)  # there is none
        except Exception as error:
            self._note(problem=f"{type(error).__name__}: {error}")
            self._urgent = {case.case_id: case for case in due if not self._sees_to(case)} | self._urgent
            return
        self._note(problem=None)
        for listener in self.listeners:
            listener(time.monotonic() - moment)
        for case in due:
            self._schedule(case, moment=moment)

    def _events(self, case: Case) -> list[inngest.Event]:
        sent = self._deliveries[_key(case)].sent
        if not _is_woken(case):
            return [execution_requested(case, again=sent > 0 or case.status is not Status.QUEUED)]
        if sent == 0 and case.frozen_at is None:
            # The request too: it may never have reached the engine, and a second one with its id is dropped.
            return [execution_requested(case), sarah_decision(case)]
        if sent < len(REMIND_SECONDS):
            return [sarah_decision(case)]
        return [execution_requested(case, again=True)]

    def _schedule(self, case: Case, *, moment: float) -> None:
        delivery = self._deliveries[_key(case)]
        if not _is_woken(case):
            pause = SILENCE_SECONDS
        else:
            pause = REMIND_SECONDS[delivery.sent] if delivery.sent < len(REMIND_SECONDS) else LATER_SECONDS
        delivery.sent += 1
        delivery.due_at = moment + pause

    def _note(self, *, problem: str | None) -> None:
        if problem and problem != self.problem:
            logger.warning("Inngest does not take events; they are kept and sent again: %s", problem)
        if self.problem and not problem:
            logger.info("Inngest takes events again")
        self.problem = problem
