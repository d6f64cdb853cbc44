"""Verifies the whole ledger in the background, at a low pace, and notes in the store that it did.

Of several gateways one does it: each looks first when it was done last.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.database import Database
from atlas.database.resting import timed
from atlas.errors import LedgerBroken
from atlas.instants import now
from atlas.telemetry.tables import ledger_checks

BATCH = 200  # entries at a time, about 10 ms
REST = 20  # times as long as a batch took it leaves to others
LOOK_SECONDS = 300.0  # at most, between two looks whether it is due
FIRST_SECONDS = 5  # at most, after the start: several gateways do not begin at the same moment
KEPT = timedelta(days=30)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """One verification of the ledger."""

    ended_at: datetime
    entries: int
    problem: str | None


@dataclass(frozen=True)
class Checks:
    """What is known of verifications."""

    newest: Check | None
    whole: Check | None  # the newest that found the chain whole


class LedgerCheck:
    """Verifies the ledger as often as the settings say."""

    def __init__(self, database: Database, *, every: timedelta) -> None:
        self._database = database
        self._every = every

    async def run(self) -> None:
        """Verify until cancelled."""
        await asyncio.sleep(secrets.randbelow(FIRST_SECONDS * 1000) / 1000)
        while True:
            try:
                pause = await self._look()
            except Exception:
                logger.exception("The ledger could not be verified now; it is tried again")
                pause = LOOK_SECONDS
            await asyncio.sleep(pause)

    async def _look(self) -> float:
        """Verify if it is due, and say how many seconds may pass until the next look."""
        newest = (await self._database.look(read_checks)).newest
        left = self._every - (now() - newest.ended_at) if newest else timedelta(0)
        if left <= timedelta(0):
            await self.verify()
            return min(self._every.total_seconds(), LOOK_SECONDS)
        return min(left.total_seconds(), LOOK_SECONDS)

    async def verify(self) -> None:
        """Verify from the first entry to the newest, and note it; what is broken is an error in the log."""
        began_at, place, problem = now(), ledger.START, None
        try:
            while True:
                (place, is_end), seconds = await self._database.look(timed(partial(_follow, place=place)))
                if is_end:
                    break
                await asyncio.sleep(seconds * REST)
        except LedgerBroken as broken:
            place, problem = ledger.Place(int(broken.fields["seq"]) - 1, ""), str(broken)
            logger.error("The ledger is broken: %s See docs/explanation/what-the-ledger-proves.md.", problem)
        await self._database.write(partial(_note, began_at=began_at, place=place, problem=problem))


def _follow(connection: Connection, place: ledger.Place) -> tuple[ledger.Place, bool]:
    """The place after some more entries, and whether they were the last."""
    rows = ledger.entries_after(connection, place.seq, most=BATCH)
    return ledger.follow(rows, place), len(rows) < BATCH


def _note(connection: Connection, *, began_at: datetime, place: ledger.Place, problem: str | None) -> None:
    values = {"began_at": began_at, "ended_at": now(), "entries": place.seq, "entry_hash": place.entry_hash}
    connection.execute(ledger_checks.insert().values(values | {"problem": problem}))
    connection.execute(ledger_checks.delete().where(ledger_checks.c.ended_at < now() - KEPT))


def read_checks(connection: Connection) -> Checks:
    """The newest verification, and the newest that found nothing wrong."""
    query = sa.select(ledger_checks).order_by(ledger_checks.c.check_id.desc()).limit(1)
    return Checks(
        newest=_check(connection, query),
        whole=_check(connection, query.where(ledger_checks.c.problem.is_(None))),
    )


def _check(connection: Connection, query: "sa.Select[tuple[object, ...]]") -> Check | None:
    row = connection.execute(query).first()
    return None if row is None else Check(ended_at=row.ended_at, entries=row.entries, problem=row.problem)
