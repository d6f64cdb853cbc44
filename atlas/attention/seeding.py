"""Puts seeded cases before people: so many of a hundred as the policy says, some time after others came.

What is due is kept in memory: after a restart a few are never made, and none is made twice.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas import ledger
from atlas.attention.seeded import expire_overdue, overdue, seed
from atlas.canonical import digest
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.instants import now
from atlas.models import NO_TOOL, SEEDED, Assessment, Case, Status, ToolCall

PACE_SECONDS = 5.0  # between two looks
LONGEST_DELAY = 600.0  # seconds after the case that a seeded one follows: who counts pairs learns nothing

logger = logging.getLogger(__name__)
_random = secrets.SystemRandom()


class Seed(Protocol):
    """A call that is known to be bad."""

    @property
    def tool(self) -> str:
        """The tool that it would call."""

    @property
    def arguments(self) -> dict[str, object]:
        """With what."""

    @property
    def why(self) -> str:
        """What is wrong with it."""


class Seeds(Protocol):
    """What the policy says above its rules."""

    @property
    def seeded_share(self) -> int:
        """So many of a hundred cases that people get."""

    @property
    def seeded(self) -> tuple[Seed, ...]:
        """From which they are taken."""


class Seeding:
    """Watches which cases are put before people, and adds to them."""

    def __init__(
        self,
        store: CaseStore,
        *,
        rule: Callable[[Case], Awaitable[Assessment]],
        seeds: Callable[[], Seeds],
        tell: Callable[[Case], None],
        timeout: timedelta,
    ) -> None:
        self._store = store
        self._rule = rule
        self._seeds = seeds
        self._tell = tell
        self._timeout = timeout
        self._due: list[float] = []  # on the loop's clock

    async def run(self) -> None:
        """Look, again and again; what cannot be done now is done at a later look."""
        position: int | None = None
        while True:
            try:
                if position is None:
                    position = await self._store.database.look(ledger.newest)
                position = await self.look(position)
            except SQLAlchemyError as error:
                logger.warning("Seeded cases cannot be made now: %s", type(error).__name__)
            except Exception as error:  # a policy or a tool that cannot be used: people decide without them
                logger.warning("A seeded case could not be made: %s", type(error).__name__)
            await asyncio.sleep(PACE_SECONDS)

    async def look(self, position: int) -> int:
        """Do what is due after an entry of the ledger, and return the newest one that was seen."""
        seen, came = await self._store.database.look(partial(_put_before_people, after=position))
        clock = asyncio.get_running_loop().time
        share = self._seeds().seeded_share if self._seeds().seeded else 0
        # Of a hundred that people get, so many are seeded: the others are what came.
        chance = 1.0 if share >= 100 else share / (100 - share)
        chance /= len(self._store.database.lease.living) or 1  # each gateway does the same
        self._due += [
            clock() + _random.uniform(0, LONGEST_DELAY) for _ in range(came) if _random.random() < chance
        ]
        due = [at for at in self._due if at <= clock()]
        self._due = [at for at in self._due if at > clock()]
        for _ in due:
            await self._make()
        await self._expire()
        return seen

    async def _make(self) -> None:
        seeds = self._seeds()
        if not seeds.seeded:
            return
        chosen = _random.choice(seeds.seeded)
        principal = await self._store.database.look(partial(_caller_of, tool=chosen.tool))
        call = ToolCall(
            principal=principal,
            tool_name=chosen.tool,
            arguments=dict(chosen.arguments),
            arguments_sha256=digest(chosen.arguments),
        )
        draft = Case(case_id=SEEDED, call=call, status=Status.QUEUED, opened_at=now())
        ruled = await self._rule(draft)
        if ruled.definition_sha256 in (None, NO_TOOL):
            logger.warning("The policy seeds a call of %s, and no agent is offered such a tool.", chosen.tool)
            return
        if not ruled.needs_person or ruled.is_denied:  # one that waited all the same would be known by that
            logger.warning("The policy seeds a call of %s that it leaves to no person.", chosen.tool)
            return
        work = partial(seed, call=call, ruled=ruled, why=chosen.why, timeout=self._timeout)
        case = await self._store.database.write(work)
        if case is not None:
            self._told(case)
            self._tell(case)

    async def _expire(self) -> None:
        if not await self._store.database.look(overdue):
            return
        for case in await self._store.database.write(expire_overdue):
            self._told(case)

    def _told(self, case: Case) -> None:
        for listener in self._store.listeners:
            listener(case)


def _put_before_people(connection: Connection, *, after: int) -> tuple[int, int]:
    """The newest entry of the ledger, and how many cases that agents made came before people since one."""
    newest = ledger.newest(connection)
    entries = ledger.entries
    since = (entries.c.seq > after, entries.c.seq <= newest)
    asked = entries.c.action == ledger.Action.REVIEW_REQUESTED.value
    made = sa.func.coalesce(cases.c.claimed_by, "") != SEEDED
    query = sa.select(sa.func.count()).select_from(entries.join(cases, cases.c.case_id == entries.c.case_id))
    return newest, int(connection.scalar(query.where(*since, asked, made)) or 0)


def _caller_of(connection: Connection, *, tool: str) -> str:
    """The agent that called a tool last, or else any tool: a seeded call looks like one of its own."""
    newest = sa.select(cases.c.principal).order_by(cases.c.opened_at.desc()).limit(1)
    of_tool = connection.scalar(newest.where(cases.c.tool_name == tool))
    return str(of_tool or connection.scalar(newest) or "agent")
