"""A courier over a real store, and cases that wait, for tests of the outbox."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import sqlalchemy as sa
from gateway_process import WAIT_SECONDS, eventually
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, settings_of_test, tool_call

from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_assessment
from atlas.instants import now
from atlas.models import Case
from atlas.outbox.courier import Courier
from atlas.outbox.tables import deliveries, notices
from atlas.people.tables import profiles

GATEWAY_URL = "https://gateway.example.com"


class Outbox:
    """A store and its courier."""

    def __init__(self, store: CaseStore, courier: Courier) -> None:
        self.store = store
        self.courier = courier

    async def waiting_case(self, *, tool: str = "modify_record", score: int = 80, **fields: Any) -> Case:
        """A case that was put before a person, under a ruling with such fields."""
        waiting = await waiting_case(self.store, tool=tool, score=score, **fields)
        self.courier.wake()
        return waiting

    async def rows(self, **where: Any) -> list[Any]:
        """The deliveries in the store."""
        query = deliveries.select().where(*(deliveries.c[name] == value for name, value in where.items()))
        return await self.store.database.read(lambda connection: connection.execute(query).all())

    async def until_all_are_done(self, count: int) -> list[Any]:
        """Wait until there are so many deliveries, each sent or given up."""

        async def are_done() -> list[Any]:
            rows = await self.rows()
            return rows if len(rows) == count and all(row.sent_at or row.given_up_at for row in rows) else []

        return list(await eventually(are_done, seconds=WAIT_SECONDS))


async def waiting_case(
    store: CaseStore, *, tool: str = "modify_record", score: int = 80, **fields: Any
) -> Case:
    """The same in a store, for which no courier need run."""
    case = await open_case(store, tool_call(tool, secret=f"of a person {token_hex(4)}"))

    def wait(connection: Connection) -> Case:
        judged = add_assessment(connection, case, assessment_of(case.call, score, **fields))
        return request_review(connection, judged, timedelta(hours=2), reason="A test.")

    return await store.change(case.case_id, wait)


async def add_profile(store: CaseStore, person: str, *channels: str, **fields: Any) -> None:
    """A person who is told by such channels."""
    values = {"person": person, "groups": "[]", "languages": "[]", "changed_at": now(), "has_key": True}
    if "groups" in fields:
        fields["groups"] = json.dumps(fields["groups"])
    row = values | {"channels": json.dumps(channels)} | fields
    await store.database.write(lambda connection: connection.execute(profiles.insert().values(row)).rowcount)


async def let_age(store: CaseStore, length: timedelta) -> None:
    """Have all notices that are not spread yet be so much older."""

    def work(connection: Connection) -> None:
        for notice_id, made_at in connection.execute(sa.select(notices.c.notice_id, notices.c.made_at)).all():
            this = notices.update().where(notices.c.notice_id == notice_id)
            connection.execute(this.values(made_at=made_at - length))

    await store.database.write(work)


@asynccontextmanager
async def without_courier(directory: Path, **settings: Any) -> AsyncIterator[Outbox]:
    """A store whose notices are kept for the courier that comes after it."""
    async with open_store(directory) as store:
        courier = Courier(settings_of_test(directory, **settings), store.database, url=lambda: GATEWAY_URL)
        yield Outbox(store, courier)
        await courier.close()


@asynccontextmanager
async def outbox(directory: Path, **settings: Any) -> AsyncIterator[Outbox]:
    """A store with a courier that runs."""
    async with open_store(directory) as store:
        courier = Courier(settings_of_test(directory, **settings), store.database, url=lambda: GATEWAY_URL)
        running = asyncio.create_task(courier.run())
        try:
            yield Outbox(store, courier)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await courier.close()
