"""Two gateways with one database send each notice once, and what a dead one had begun to send once more."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from outbox_of_test import GATEWAY_URL, Outbox
from postgres import PostgresServer
from receivers import Taken, receiver
from slack import keys_and_settings_of, slack
from sqlalchemy.engine import Connection
from store import decisions, rejection, settings_of_test

from atlas.cases.store import CaseStore
from atlas.database import processes
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.outbox.courier import Courier
from atlas.outbox.tables import deliveries

MANY = 30


@asynccontextmanager
async def outbox_of_one(directory: Path, url: str, **fields: Any) -> AsyncIterator[Outbox]:
    """A gateway's store and courier, which does not run yet."""
    database = PostgresDatabase(Address(url), directory)
    await database.open()
    try:
        settings = settings_of_test(directory, **fields)
        courier = Courier(settings, database, url=lambda: GATEWAY_URL)
        yield Outbox(CaseStore(database), courier)
        await courier.close()
    finally:
        await database.close()


@asynccontextmanager
async def running(box: Outbox) -> AsyncIterator[None]:
    """Its courier runs."""
    task = asyncio.create_task(box.courier.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ids_of(taken: Taken) -> Counter[str]:
    """How often each delivery came."""
    return Counter(request["headers"]["webhook-id"] for request in taken.requests)


async def test_each_notice_is_sent_by_one_of_two_gateways(server: PostgresServer, tmp_path: Path) -> None:
    """Both look for what is due at the same time."""
    url = server.new_database(f"outbox_{token_hex(4)}")
    async with receiver() as taken, AsyncExitStack() as stack:
        boxes = [
            await stack.enter_async_context(outbox_of_one(tmp_path / name, url, atlas_notify_url=taken.url))
            for name in "ab"
        ]
        for _ in range(MANY):
            await boxes[0].waiting_case()
        for box in boxes:
            await stack.enter_async_context(running(box))
        rows = await boxes[1].until_all_are_done(MANY)
        assert ids_of(taken) == dict.fromkeys((row.delivery_id for row in rows), 1)
        assert all(row.attempts == 1 and row.sent_at for row in rows)


async def test_what_another_gateway_sends_is_left_to_it_until_it_is_given_up(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Then it is sent again with the same id, so that the receiver knows a copy."""
    url = server.new_database(f"outbox_{token_hex(4)}")
    dead = token_hex(8)

    def claim(connection: Connection) -> None:
        processes.enter(connection, dead)
        connection.execute(deliveries.update().values(claimed_by=dead))

    async with receiver() as taken, outbox_of_one(tmp_path / "a", url, atlas_notify_url=taken.url) as box:
        await box.waiting_case()
        await box.courier._spread()
        await box.store.database.write(claim)
        async with running(box):
            free = await box.waiting_case()
            await taken.accepted(1)
            assert [one["event_id"] for one in taken.bodies] == [free.case_id]
            await box.store.database.write(partial(processes.leave, process_id=dead))
            rows = await box.until_all_are_done(2)
            assert ids_of(taken) == dict.fromkeys((row.delivery_id for row in rows), 1)


async def test_a_message_in_a_chat_is_rewritten_by_the_gateway_that_sent_it(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Two could put older words in the place of newer ones; of a dead one another gateway does it."""
    url = server.new_database(f"outbox_{token_hex(4)}")
    async with slack() as here, AsyncExitStack() as stack:
        sender, other = [
            await stack.enter_async_context(outbox_of_one(tmp_path / name, url, **keys_and_settings_of(here)))
            for name in "ab"
        ]
        case = await sender.waiting_case()
        async with running(sender):
            await sender.until_all_are_done(1)
        await decisions(sender.store).record(case.case_id, rejection("ben"))
        rewriter = other.courier.rewriter
        assert rewriter is not None
        await rewriter.round()
        await here.shown(case.case_id, "waits for your decision", live=True)
        gone = partial(processes.leave, process_id=sender.store.database.lease.process_id)
        await other.store.database.write(gone)
        await rewriter.round()
        await here.shown(case.case_id, "It was rejected by ben.", live=False)
