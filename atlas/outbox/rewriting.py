"""Messages in chats are rewritten when their review is over, in any way: no button of a dead case lives.

What has to be rewritten is found by the state of its case, so that no way to end a review can be forgotten.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.store import read_case
from atlas.cases.tables import cases
from atlas.database.database import Database
from atlas.errors import NotDelivered
from atlas.instants import now
from atlas.models import Case, Status, plain_text
from atlas.outbox.channels.slack import SLACK_APP, SlackMessages
from atlas.outbox.deliveries import LONGEST_TRYING, pause_after
from atlas.outbox.messages import CASE_PAGE
from atlas.outbox.tables import deliveries, notices

ROUND_SECONDS = 1.0
AT_ONCE = 20
LATEST = LONGEST_TRYING
WAITS = [status.value for status in Status if status.is_undecided]

ENDS = {
    Status.REJECTED: "It was rejected. The tool was not called.",
    Status.DENIED: "The policy refuses it. The tool was not called.",
    Status.WITHDRAWN: "The agent took it back. The tool was not called.",
    Status.EXPIRED: "The time to decide is over. The tool was not called.",
    Status.FAILED: "It was approved, and the gateway could not call the tool.",
}

logger = logging.getLogger(__name__)

_DUE = (
    sa.select(
        deliveries.c.delivery_id,
        deliveries.c.receipt,
        deliveries.c.attempts,
        deliveries.c.sent_at,
        deliveries.c.case_id,
        notices.c.round_number,
    )
    .join(notices, notices.c.notice_id == deliveries.c.notice_id)
    .join(cases, cases.c.case_id == deliveries.c.case_id)
    .where(
        deliveries.c.receipt.is_not(None),
        deliveries.c.channel == SLACK_APP,
        sa.or_(cases.c.status.not_in(WAITS), cases.c.round_number > notices.c.round_number),
    )
    .order_by(deliveries.c.next_at)
    .limit(AT_ONCE)
)


@dataclass(frozen=True)
class Stale:
    """A message whose case does not wait any more, or waits in another round."""

    delivery_id: str
    receipt: str
    attempts: int
    sent_at: datetime
    title: str
    text: str


def stale(connection: Connection, *, at: datetime, url: str) -> list[Stale]:
    """The messages that have to be rewritten now."""
    rows = connection.execute(_DUE.where(deliveries.c.next_at <= at)).all()
    return [_stale(row, read_case(connection, row.case_id), url=url) for row in rows]


def _stale(row: Any, case: Case, *, url: str) -> Stale:
    lines = (
        f"Reference: {case.case_id}",
        f"Tool: {plain_text(case.call.tool_name)}",
        f"Agent: {plain_text(case.call.principal)}",
        f"{url}{CASE_PAGE}{case.case_id}",
    )
    title = how_it_ended(case, row.round_number)
    return Stale(row.delivery_id, row.receipt, row.attempts, row.sent_at, title, "\n".join(lines))


def how_it_ended(case: Case, round_number: int) -> str:
    """What a message says of a review that is over."""
    if case.round_number > round_number:
        return "It was judged again. What counts is the newer message, or the desk."
    if case.decision is None:
        return ENDS.get(case.status, "It does not wait for a person any more.")
    said, done = case.decision, case.decision.decision.value.lower()
    for_whom = f" for {plain_text(said.on_behalf_of)}" if said.on_behalf_of else ""
    through = f", through {said.way}" if said.way else ""
    return f"It was {done} by {plain_text(said.reviewer)}{for_whom}{through}."


class Rewriter:
    """Rewrites messages, over restarts, until the chat has taken it or has no such message."""

    def __init__(self, database: Database, chat: SlackMessages, *, url: Callable[[], str]) -> None:
        self._database = database
        self._chat = chat
        self._url = url

    async def run(self) -> None:
        """Rewrite until cancelled."""
        while True:
            try:
                await self.round()
            except Exception:  # the store has it still, so that the next round finds it again
                logger.exception("A round of rewriting messages in chats failed")
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        """Rewrite what has to be now."""
        while found := await self._database.read(partial(stale, at=now(), url=self._url())):
            await asyncio.gather(*(self._rewrite(one) for one in found))

    async def _rewrite(self, one: Stale) -> None:
        try:
            await self._chat.rewrite(one.receipt, title=one.title, text=one.text)
        except NotDelivered as error:
            logger.warning("A message in a chat was not rewritten (%s)", error.reason)
            if not error.is_final and now() - one.sent_at < LATEST:
                later = {"attempts": one.attempts + 1, "next_at": now() + pause_after(one.attempts + 1)}
                await self._database.write(partial(_note, one=one, values=later))
                return
        await self._database.write(partial(_note, one=one, values={"receipt": None}))


def _note(connection: Connection, *, one: Stale, values: dict[str, Any]) -> None:
    this = deliveries.c.delivery_id == one.delivery_id
    connection.execute(deliveries.update().where(this, deliveries.c.receipt == one.receipt).values(values))
