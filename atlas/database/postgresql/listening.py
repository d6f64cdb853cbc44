"""The connection on which PostgreSQL tells a gateway what other gateways changed (LISTEN/NOTIFY)."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.exc import SQLAlchemyError

from atlas.background import end
from atlas.database.hints import EVERYONE, Hints, Message
from atlas.database.postgresql.address import Address
from atlas.errors import HintsNotHeard

CASES = "atlas_cases"  # a channel: who says it, then references
MESSAGES = "atlas_messages"  # another: who says it, for whom, what, and a reference
NAME = "atlas-listening"  # as pg_stat_activity shows it
ANY = "*"  # in the place of references: more than a message holds
LONGEST = 7000  # of the 8000 bytes that PostgreSQL allows
PING_SECONDS = 10.0  # a connection that was silent for so long is asked whether it lives
PONG_SECONDS = 5.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0  # between attempts to connect

logger = logging.getLogger(__name__)


def notify(origin: str, case_ids: Collection[str]) -> str:
    """The statement that tells all gateways, when its transaction is committed, which cases changed."""
    said = " ".join([origin, *sorted(case_ids)])
    payload = said if len(said) <= LONGEST else f"{origin} {ANY}"
    return _notify(CASES, payload)


def _notify(channel: str, payload: str) -> str:
    return f"NOTIFY {channel}, {sql.Literal(payload).as_string()}"


class Listening:
    """Listens until it is closed; a connection that is lost is made again, for ever."""

    def __init__(
        self,
        address: Address,
        hints: Hints,
        *,
        origin: str,
        say: Callable[[str], Awaitable[None]],
    ) -> None:
        self._address = address
        self._hints = hints
        self._origin = origin  # the process, which does not hear itself
        self._say = say  # on another connection to the same database
        hints.say = self._say_message
        self._work: asyncio.Task[None] | None = None
        self._echo: asyncio.Future[None] | None = None  # of what this gateway said itself
        self._problem: str | None = None

    def open(self) -> None:
        """Begin; what changes before it is connected is looked for then."""
        self._work = asyncio.create_task(self._listen_for_ever())

    async def close(self) -> None:
        """Disconnect."""
        if self._work is not None:
            await end(self._work)

    async def _listen_for_ever(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._listen()
            except (psycopg.Error, SQLAlchemyError, OSError, asyncio.TimeoutError, HintsNotHeard) as error:
                pause = FIRST_PAUSE_SECONDS if self._hints.is_sound else min(2 * pause, LONGEST_PAUSE_SECONDS)
                self._note_lost(error)
            await asyncio.sleep(pause)

    def _note_lost(self, error: Exception) -> None:
        said = str(error) or type(error).__name__
        if said != self._problem:
            logger.warning("What other gateways change is not told, and looked for each second: %s", said)
        self._problem = said
        self._hints.is_sound = False

    async def _listen(self) -> None:
        """Hear what is told until the connection is lost, which raises."""
        async with await self._address.connect(name=NAME) as connection:
            connection.add_notify_handler(lambda told: self._hear(told.channel, told.payload))
            await connection.execute(f"LISTEN {CASES}; LISTEN {MESSAGES}")
            while True:
                await self._hear_itself(connection)
                if not self._hints.is_sound:
                    self._begin()
                await self._read(connection, seconds=PING_SECONDS)

    def _begin(self) -> None:
        if self._problem is not None:
            logger.info("What other gateways change is told again")
        self._problem = None
        self._hints.is_sound = True
        self._hints.tell(None)  # what came before

    async def _hear_itself(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        """Say something on another connection; raise HintsNotHeard if it is not heard on this one.

        PgBouncer that pools by transaction takes LISTEN, and hands nothing on.
        """
        self._echo = asyncio.get_running_loop().create_future()
        await asyncio.wait_for(self._say(notify(self._origin, ())), PONG_SECONDS)
        if not await self._read(connection, seconds=PONG_SECONDS, until=self._echo):
            raise HintsNotHeard

    async def _read(
        self,
        connection: "psycopg.AsyncConnection[Any]",
        *,
        seconds: float,
        until: "asyncio.Future[None] | None" = None,
    ) -> bool:
        """Hear what is told, as it comes, for a while; whether it ended before that.

        psycopg's own `notifies()` wakes ten times a second while nothing is told.
        """
        loop = asyncio.get_running_loop()
        end = until or loop.create_future()
        # Its own: libpq closes a connection that is lost, and its number goes to the next one that is opened.
        descriptor = os.dup(connection.fileno())
        loop.add_reader(descriptor, partial(self._take, connection.pgconn, end))
        try:
            await asyncio.wait_for(end, seconds)
        except asyncio.TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return True

    def _take(self, wire: "psycopg.pq.abc.PGconn", end: "asyncio.Future[None]") -> None:
        try:
            wire.consume_input()
            while told := wire.notifies():
                self._hear(told.relname.decode(), told.extra.decode())
        except psycopg.Error as error:
            if not end.done():
                end.set_exception(error)

    async def _say_message(self, message: Message) -> None:
        await self._say(_notify(MESSAGES, " ".join([self._origin, *message])))

    def _hear(self, channel: str, payload: str) -> None:
        origin, *said = payload.split()
        if channel == MESSAGES:
            self._hear_message(origin, said)
        else:
            self._hear_hint(origin, said)

    def _hear_message(self, origin: str, said: list[str]) -> None:
        if len(said) != 3 or origin == self._origin:
            return
        message = Message(*said)
        if message.to in (self._origin, EVERYONE):
            for hear in self._hints.hearers:
                hear(origin, message)

    def _hear_hint(self, origin: str, case_ids: list[str]) -> None:
        if origin == self._origin:
            if self._echo is not None and not self._echo.done():
                self._echo.set_result(None)
        elif case_ids:
            self._hints.tell(None if ANY in case_ids else frozenset(case_ids))
