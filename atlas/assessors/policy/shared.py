"""Keeps the policy of a gateway the one that is in force for all gateways of its store."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.assessors.policy.in_force import PolicyInForce
from atlas.assessors.policy.stored import StoredPolicy, newest, newest_or, newest_version
from atlas.background import in_background
from atlas.database.database import Database
from atlas.database.hints import OF_NO_CASE
from atlas.database.processes import note_policy
from atlas.errors import PolicyInvalid

LOOK_SECONDS = 2.0  # between two looks for another policy
BY_GATEWAY = "gateway"  # who puts the first one in force
REFUSAL = (
    "This gateway judges no call: it cannot use the policy that {by} put in force for all gateways. {why}"
    " Bring this gateway to the version and the reviewers of the others, or put another policy in force."
)

logger = logging.getLogger(__name__)


class SharedPolicy:
    """Looks for what was put in force, and has the gateway judge by it, or refuse."""

    def __init__(self, policy: PolicyInForce, database: Database) -> None:
        self._policy = policy
        self._database = database
        self._version = 0  # that was taken
        self._looking = asyncio.Lock()
        self._hinted = asyncio.Event()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """While this is entered the gateway judges by what is in force for all; raises PolicyInvalid.

        The first gateway of a store puts its own file in force.
        """
        first = partial(newest_or, file=self._policy.policy.file, by=BY_GATEWAY)
        self._policy.follow(self._look)
        await self._take(await self._database.write(first))
        self._database.hints.listeners.append(self._hear)
        try:
            async with in_background(self._look_again_and_again):
                yield
        finally:
            self._database.hints.listeners.remove(self._hear)

    def _hear(self, case_ids: frozenset[str] | None) -> None:
        """Another gateway, or a command, changed something: a policy is of no case."""
        if case_ids is None or OF_NO_CASE in case_ids:
            self._hinted.set()

    async def _look_again_and_again(self) -> None:
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), LOOK_SECONDS)
            self._hinted.clear()
            try:
                await self._look()
            except SQLAlchemyError as error:
                logger.warning("Which policy is in force cannot be read now: %s", type(error).__name__)

    async def _look(self) -> None:
        """Take what was put in force since the last look; what cannot be used is tried at each look."""
        async with self._looking:
            if await self._database.read(newest_version) == self._version:
                return
            stored = await self._database.read(newest)
            if stored is not None:
                await self._take_or_refuse(stored)

    async def _take_or_refuse(self, stored: StoredPolicy) -> None:
        try:
            await self._take(stored)
        except PolicyInvalid as error:
            await self._refuse(stored, str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:  # what cannot be read is not judged by
            logger.exception("The policy %s cannot be read", stored.policy_sha256[:12])
            await self._refuse(stored, f"{type(error).__name__}.")

    async def _take(self, stored: StoredPolicy) -> None:
        place = Path(f"version {stored.policy_version} in the store")
        await asyncio.to_thread(self._policy.take, stored.policy.encode(), place=place)
        logger.info(
            "The policy %s is in force for all gateways: %s put it.", stored.policy_sha256[:12], stored.put_by
        )
        await self._database.write(partial(self._note, stored.policy_sha256))
        self._version = stored.policy_version

    async def _refuse(self, stored: StoredPolicy, why: str) -> None:
        said = REFUSAL.format(by=stored.put_by, why=why)
        if said == self._policy.refusal:
            return
        self._policy.refuse(said)
        logger.error("%s", said)
        await self._database.write(partial(self._note, None))

    def _note(self, policy_sha256: str | None, connection: Connection) -> None:
        note_policy(connection, self._database.lease.process_id, policy_sha256)
