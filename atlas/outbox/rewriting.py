"""Messages in chats are rewritten when their review is over, in any way: no button of a dead case lives.

What has to be rewritten is found by the state of its case, so that no way to end a review can be forgotten.
It is rewritten again until the case has ended: what is approved can be rejected, refused or judged again.
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
from atlas.errors import CaseNotFound, NotDelivered
from atlas.instants import now
from atlas.models import Case, Status, Verdict, plain_text
from atlas.outbox.channels.slack import SLACK_APP, SlackMessages
from atlas.outbox.deliveries import is_free, is_long_since, pause_after
from atlas.outbox.messages import CASE_PAGE
from atlas.outbox.tables import deliveries, notices

ROUND_SECONDS = 1.0
AT_ONCE = 20
WAITS = [status.value for status in Status if status.is_undecided]
FINAL = [status.value for status in Status if status.is_final]
# Of these a message says the same.
LET_PASS = [Status.AUTHORIZED.value, Status.EXECUTING.value, Status.EXECUTED.value]
COPY = "This is a copy of another message. What counts is that one, or the desk."

ENDS = {
    Status.REJECTED: "It was rejected. The tool was not called.",
    Status.DENIED: "The policy refuses it. The tool was not called.",
    Status.WITHDRAWN: "The agent took it back. The tool was not called.",
    Status.EXPIRED: "The time to decide is over. The tool was not called.",
    Status.FAILED: "It was approved, and the gateway could not call the tool.",
}
# What became of a call that a person approved.
AFTER_APPROVAL = {
    Status.FAILED: "The gateway could not call the tool.",
    Status.OUTCOME_UNKNOWN: "The tool was called, and its answer is not known.",
    Status.DENIED: "The tool was not called.",
}

logger = logging.getLogger(__name__)

_HERE = sa.cast(cases.c.round_number, sa.String) + " "
_STANDING = _HERE + sa.case((cases.c.status.in_(LET_PASS), Status.AUTHORIZED.value), else_=cases.c.status)
_DUE = (
    sa.select(
        deliveries.c.delivery_id,
        deliveries.c.receipt,
        deliveries.c.attempts,
        deliveries.c.failing_since,
        deliveries.c.shown,
        deliveries.c.case_id,
        notices.c.round_number,
    )
    .join(notices, notices.c.notice_id == deliveries.c.notice_id)
    .join(cases, cases.c.case_id == deliveries.c.case_id)
    .where(
        deliveries.c.receipt.is_not(None),
        deliveries.c.channel == SLACK_APP,
        sa.or_(cases.c.status.not_in(WAITS), cases.c.round_number > notices.c.round_number),
        sa.or_(deliveries.c.shown.is_(None), deliveries.c.shown != _STANDING, cases.c.status.in_(FINAL)),
    )
    .order_by(deliveries.c.next_at)
    .limit(AT_ONCE)
)


@dataclass(frozen=True)
class Stale:
    """A message whose case does not wait any more, or waits in another round than it says."""

    delivery_id: str
    receipt: str
    attempts: int
    failing_since: datetime | None
    shown: str | None  # the standing for which it was rewritten last
    standing: str
    is_last: bool  # nothing can follow
    title: str
    text: str


def stale(connection: Connection, *, at: datetime, url: str, process_id: str) -> list[Stale]:
    """The messages that have to be rewritten now, by the gateway that sent them; of a dead one by any."""
    rows = connection.execute(_DUE.where(deliveries.c.next_at <= at, is_free(process_id))).all()
    return [_stale(row, read_case(connection, row.case_id), url=url) for row in rows]


def _stale(row: Any, case: Case, *, url: str) -> Stale:
    return Stale(
        delivery_id=row.delivery_id,
        receipt=row.receipt,
        attempts=row.attempts,
        failing_since=row.failing_since,
        shown=row.shown,
        standing=standing_of(case),
        is_last=case.status.is_final,
        title=how_it_ended(case),
        text=_text_of(case, url=url),
    )


def _text_of(case: Case, *, url: str) -> str:
    lines = (
        f"Reference: {case.case_id}",
        f"Tool: {plain_text(case.call.tool_name)}",
        f"Agent: {plain_text(case.call.principal)}",
        f"{url}{CASE_PAGE}{case.case_id}",
    )
    return "\n".join(lines)


def standing_of(case: Case) -> str:
    """For what a message is rewritten once: the round, and the status as far as a message tells it."""
    is_passed = case.status.value in LET_PASS
    return f"{case.round_number} {(Status.AUTHORIZED if is_passed else case.status).value}"


def how_it_ended(case: Case) -> str:
    """What a message says of a review that is over: how its case stands now, in whichever round."""
    if case.status.is_undecided:
        return "It was judged again. What counts is the newer message, or the desk."
    if case.decision is None:
        return ENDS.get(case.status, "It does not wait for a person any more.")
    said, done = case.decision, case.decision.decision.value.lower()
    for_whom = f" for {plain_text(said.on_behalf_of)}" if said.on_behalf_of else ""
    through = f", through {said.way}" if said.way else ""
    told = f"It was {done} by {plain_text(said.reviewer)}{for_whom}{through}."
    after = AFTER_APPROVAL.get(case.status) if said.decision is Verdict.APPROVED else None
    return f"{told} {after}" if after else told


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
        process_id = self._database.lease.process_id
        look = partial(stale, url=self._url(), process_id=process_id)
        while found := await self._database.read(partial(look, at=now())):
            await asyncio.gather(*(self._rewrite(one, process_id) for one in found))

    async def let_go(self, receipt: str, *, case_id: str, round_number: int) -> None:
        """Take the buttons of a pressed message away, where its review is over and no one else does that.

        It is a copy: the answer of the chat to a first attempt was lost.
        """
        find = partial(_dead_copy, receipt=receipt, case_id=case_id, round_number=round_number)
        case = await self._database.read(find)
        if case is None:
            return
        title = how_it_ended(case) if case.status.is_final else COPY  # what is not final is not told again
        try:
            await self._chat.rewrite(receipt, title=title, text=_text_of(case, url=self._url()))
        except NotDelivered as error:  # its buttons are tried again with the next press
            logger.warning("A copy of a message in a chat was not rewritten (%s)", error.reason)

    async def _rewrite(self, one: Stale, process_id: str) -> None:
        # Else another gateway could put older words in the place of newer ones.
        if not await self._database.write(partial(_claim, one=one, process_id=process_id)):
            return
        values: dict[str, Any] = {"shown": one.standing, "failing_since": None}
        if one.is_last:
            values["receipt"] = None
        try:
            if one.shown != one.standing:
                await self._chat.rewrite(one.receipt, title=one.title, text=one.text)
        except NotDelivered as error:  # it is tried again later, or let go for good
            logger.warning("A message in a chat was not rewritten (%s)", error.reason)
            is_over = error.is_final or is_long_since(one.failing_since, at=now())
            values = {"receipt": None} if is_over else _later(one, at=now())
        await self._database.write(partial(_note, one=one, values=values))


def _dead_copy(connection: Connection, *, receipt: str, case_id: str, round_number: int) -> Case | None:
    """The case of a message whose review is over and that is none of those to rewrite; None: leave it."""
    try:
        case = read_case(connection, case_id)
    except CaseNotFound:  # no message of ours: nothing is rewritten
        return None
    if case.status.is_undecided and case.round_number == round_number:
        return None
    of_ours = sa.select(deliveries.c.delivery_id).where(
        deliveries.c.case_id == case_id, deliveries.c.receipt == receipt
    )
    return case if connection.execute(of_ours).first() is None else None


def _later(one: Stale, *, at: datetime) -> dict[str, Any]:
    attempts = one.attempts + 1
    return {
        "attempts": attempts,
        "next_at": at + pause_after(attempts),
        "failing_since": one.failing_since or at,
    }


def _claim(connection: Connection, *, one: Stale, process_id: str) -> bool:
    """Keep other gateways from rewriting it; False: one of them does."""
    this = (deliveries.c.delivery_id == one.delivery_id, deliveries.c.receipt == one.receipt)
    claim = deliveries.update().where(*this, is_free(process_id)).values(claimed_by=process_id)
    return connection.execute(claim).rowcount == 1


def _note(connection: Connection, *, one: Stale, values: dict[str, Any]) -> None:
    this = deliveries.c.delivery_id == one.delivery_id
    connection.execute(deliveries.update().where(this, deliveries.c.receipt == one.receipt).values(values))
