"""Which gateway holds the agent of a call: that one executes it, so that the tool can talk to the agent.

The engine calls any gateway. One that does not hold the agent asks the one that does, and goes on by itself
when that one has ended its part, does not answer, or is dead. The claim in the store decides who calls it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from atlas.agents.held_calls import WaitingAgents
from atlas.cases.store import CaseStore
from atlas.database.hints import EVERYONE, Message
from atlas.database.processes import lives
from atlas.models import Case, Status

EXECUTE, BEGUN, LET_GO, DONE, STOP = "execute", "begun", "let_go", "done", "stop"
BEGIN_SECONDS = 3.0  # in which the other gateway has to say that it begins
CLAIM_SECONDS = 30.0  # in which it has to claim the case then

logger = logging.getLogger(__name__)


class _Asked:
    """What another gateway said of a call that it was asked to execute."""

    def __init__(self) -> None:
        self.begins: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.is_done = False

    def hear(self, what: str) -> None:
        """Take what it says."""
        if what in (BEGUN, LET_GO) and not self.begins.done():
            self.begins.set_result(what == BEGUN)
        elif what == DONE:
            self.is_done = True


class Holders:
    """Asks other gateways, and answers them.

    `execute` executes a call here, with all checks; `talks` says whether its tool may talk to its agent.
    """

    def __init__(
        self,
        store: CaseStore,
        waiting: WaitingAgents,
        *,
        execute: Callable[[str], Awaitable[Case]],
        talks: Callable[[Case], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._hints = store.database.hints
        self._waiting = waiting
        self._execute = execute
        self._talks = talks
        self._asked: dict[str, _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hints.hearers.append(self._hear)
        waiting.stop_elsewhere = self._stop_elsewhere

    async def hand_over(self, case_id: str) -> None:
        """Have the gateway that holds the agent execute a call; returns at once if there is none.

        Whether or not it was executed there, the store says.
        """
        case = await self._store.read_call(case_id)
        if case.held_by in (None, self._store.process_id) or self._waiting.is_held(case_id):
            return
        case = await self._store.read(case_id)  # on disk, so that the other one finds it
        there = case.held_by or ""
        if case.status is Status.AUTHORIZED and await self._lives(there) and await self._talks(case):
            await self._ask(case, there)

    async def _lives(self, process_id: str) -> bool:
        if process_id in self._store.database.lease.living:
            return True
        return await self._store.database.read(partial(lives, process_id=process_id))

    async def _ask(self, case: Case, there: str) -> None:
        asked = self._asked[case.case_id] = _Asked()
        try:
            await self._hints.say(Message(there, EXECUTE, case.case_id))
            if await asyncio.wait_for(asked.begins, BEGIN_SECONDS):
                await self._until_claimed(case, asked, there)
        except asyncio.TimeoutError:
            logger.warning("%s goes on without its agent, whose gateway does not answer", case.case_id)
        except SQLAlchemyError as error:  # the claim will say so, too
            logger.warning("No other gateway could be asked to execute: %s", type(error).__name__)
        finally:
            del self._asked[case.case_id]

    async def _until_claimed(self, case: Case, asked: _Asked, there: str) -> None:
        """Wait until the other gateway has claimed the case, has ended without that, or is given up."""
        lease = self._store.database.lease
        is_watched = there in lease.living

        def is_over(case: Case) -> bool:
            is_dead = is_watched and there not in lease.living
            return case.status is not Status.AUTHORIZED or case.stop is not None or asked.is_done or is_dead

        with self._store.watch(case) as watch:
            await watch.until(is_over, seconds=CLAIM_SECONDS)

    def _hear(self, sender: str, message: Message) -> None:
        case_id = message.case_id
        if message.what == STOP:
            self._waiting.stop_here(case_id)
        elif message.what == EXECUTE:
            self._begin(self._answer(sender, case_id))
        elif case_id in self._asked:
            self._asked[case_id].hear(message.what)

    async def _answer(self, sender: str, case_id: str) -> None:
        """Execute a call for another gateway, if its agent still waits here."""
        is_held = self._waiting.is_held(case_id)
        await self._hints.say(Message(sender, BEGUN if is_held else LET_GO, case_id))
        if not is_held:
            return
        try:
            await self._execute(case_id)
        except Exception as error:  # the other one goes on, and the store says how far this one came
            logger.warning("A call of an agent here was not executed: %s %s", case_id, type(error).__name__)
        finally:
            await self._hints.say(Message(sender, DONE, case_id))

    def _stop_elsewhere(self, case_id: str) -> None:
        self._begin(self._hints.say(Message(EVERYONE, STOP, case_id)))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_told(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _told(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except SQLAlchemyError as error:  # what is not heard is waited for no longer than a few seconds
        logger.warning("Another gateway could not be told: %s", type(error).__name__)
