"""The one courier of notices: spreads what was written, and sends it until it is delivered or pointless."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.database.database import Database
from atlas.database.resting import rest_after, timed
from atlas.errors import NotDelivered, ProcessGivenUp
from atlas.instants import now
from atlas.outbox import deliveries, spreading
from atlas.outbox.addresses import OF_BROWSER, Addresses, Way
from atlas.outbox.channels import WEBHOOK, Channel, Message
from atlas.outbox.channels.apprise_urls import AppriseUrls, check_url
from atlas.outbox.channels.faults import fault_of
from atlas.outbox.channels.push import PUSH, WebPush
from atlas.outbox.channels.slack import SLACK_APP, SlackMessages
from atlas.outbox.channels.webhook import StandardWebhook
from atlas.outbox.deliveries import Delivery
from atlas.outbox.lanes import Lanes
from atlas.outbox.letters import Letter, letter_for
from atlas.outbox.rewriting import Rewriter
from atlas.outbox.room import MOST, room_after, room_of
from atlas.outbox.subscriptions import end_subscription, with_browsers
from atlas.outbox.vapid import PushKey
from atlas.people.records.profiles import profile_of
from atlas.settings import Settings
from atlas.settings.notices import ADDRESS

ROUND_SECONDS = 1.0
SHORT_SECONDS = 0.1  # between two rounds while there is something that could not begin
Queue = deque[tuple[Delivery, Way | None]]

logger = logging.getLogger(__name__)


class Courier:
    """Brings notices to people, over restarts; a receiver may get one twice, with the same id.

    Each gateway has one. What one of them sends, it has claimed; what a dead one had claimed is sent again.
    """

    def __init__(self, settings: Settings, database: Database, *, url: Callable[[], str]) -> None:
        """`url` says where people reach the gateway; raises ChannelUnusable."""
        self._database = database
        self._url = url
        self._addresses = Addresses(settings)
        self._owners = settings.owners_of_agents
        self._spreading = spreading.Spreading(self._addresses, self._owners)
        self._channels: dict[str, Channel] = {WEBHOOK: StandardWebhook(settings)}
        self._slack = SlackMessages(settings) if settings.atlas_slack_bot_token else None
        if self._slack is not None:
            self._channels[SLACK_APP] = self._slack
        self._channels[PUSH] = WebPush(settings, PushKey(settings.atlas_data_dir, database))
        self._by_apprise: Channel = AppriseUrls()
        self._lanes = Lanes()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._queues: dict[str, Queue] = {}  # by receiver: what was found at the last look, and has not begun
        # When it does so again, and until when it does not spread, by the clock of the loop.
        self._looks_at = self._spreads_at = self._rests_until = 0.0
        self._wake = asyncio.Event()
        self._well_at: float | None = None  # when a round went well last
        for url_of_house in settings.notify_urls:
            check_url("ATLAS_NOTIFY_URLS", url_of_house)
        for pattern in settings.notify_channels.values():
            check_url("ATLAS_NOTIFY_CHANNELS", pattern.replace(ADDRESS, "anna@example.com"))

    def wake(self) -> None:
        """Look at once whether there is something to send."""
        self._looks_at = self._spreads_at = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Bring notices until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._round()
            except Exception:
                # What has to be told is on disk, so the next round finds it again.
                logger.exception("A round of the courier of notices failed")
            alarm = asyncio.get_running_loop().call_later(self._pause(), self._wake.set)
            await self._wake.wait()
            alarm.cancel()

    @property
    def lag(self) -> float:
        """For how many seconds no round has gone well; 0 before the first."""
        return 0.0 if self._well_at is None else time.monotonic() - self._well_at

    def _pause(self) -> float:
        """How many seconds until the next round, if nothing is sent and nothing new comes before."""
        if self._queues or self._lanes.are_full:
            return SHORT_SECONDS
        rest = self._rests_until - _time()
        return min(rest, ROUND_SECONDS) if rest > 0 else ROUND_SECONDS

    @property
    def rewriter(self) -> Rewriter | None:
        """What rewrites messages in chats, where there is one."""
        return Rewriter(self._database, self._slack, url=self._url) if self._slack else None

    async def close(self) -> None:
        """Stop what is being sent; it is sent again after the next start."""
        sending = list(self._sending.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        for channel in (*self._channels.values(), self._by_apprise):
            await channel.close()

    async def _round(self) -> None:
        while _time() >= max(self._spreads_at, self._rests_until) and await self._spread():
            await self._begin_what_is_due()
        await self._begin_what_is_due()
        self._well_at = time.monotonic()

    async def _spread(self) -> bool:
        """Spread the oldest notices, and rest where many more wait; says whether there were any."""
        self._spreads_at = _time() + ROUND_SECONDS  # unless there are some, or it is woken meanwhile
        spreads, seconds = await self._database.look(timed(self._spreading.plan))
        if not spreads:
            return False
        self._spreads_at = 0.0
        for part in spreading.in_parts(spreads):
            write = partial(spreading.write, spreads=part, at=now())
            seconds += (await self._database.write(timed(write)))[1]
        if len(spreads) == spreading.BATCH:
            self._rests_until = _time() + rest_after(seconds, due_since=spreads[0].notice.made_at)
        if any(one.rows for one in spreads):
            self._looks_at = 0.0
        return True

    async def _begin_what_is_due(self) -> None:
        """Begin as much as the lanes have room for, and look what is due once what was found is used up."""
        if _time() < self._looks_at:
            self._begin_found()
        if _time() >= self._looks_at and not self._lanes.are_full:
            await self._look()

    def _begin_found(self) -> None:
        for receiver, queue in list(self._queues.items()):
            while queue and self._begin(*queue[0], receiver):
                queue.popleft()
            if not queue:  # there may be more of it
                del self._queues[receiver]
                self._looks_at = 0.0

    async def _look(self) -> None:
        """Find what is due, and begin it; a page of one full lane does not hide the others."""
        self._queues.clear()
        self._looks_at = _time() + ROUND_SECONDS
        without: set[str] = set()
        while not self._lanes.are_full:
            busy = set(self._sending)  # also what is sent while the page is read
            process_id = self._database.lease.process_id
            look = partial(deliveries.due, at=now(), without=without, process_id=process_id)
            page = await self._database.look(look)
            busy |= set(self._sending)
            without |= {one.address for one in page if one.is_for_digest and one.unit in busy}
            found = [one for one in page if one.unit not in busy]
            ways = await self._database.read(partial(self._ways_of, found=found))
            for delivery, way in zip(found, ways, strict=True):
                receiver = way.receiver if way else ""
                if receiver in self._queues or not self._begin(delivery, way, receiver):
                    without.add(delivery.address)
                    self._queues.setdefault(receiver, deque()).append((delivery, way))
            if len(page) < deliveries.PAGE or not without.intersection(one.address for one in page):
                return

    def _ways_of(self, connection: Connection, found: list[Delivery]) -> list[Way | None]:
        """The way of each; None if settings or profile do not have it any more."""
        names = {one.person for one in found if one.person}
        known = with_browsers(connection, [profile_of(connection, name) for name in names])
        people = {one.name: one for one in known}
        return [
            self._addresses.find(one.address, people[one.person] if one.person else None) for one in found
        ]

    def _begin(self, delivery: Delivery, way: Way | None, receiver: str) -> bool:
        """Begin to send, if there is room; what has no way any more is given up."""
        if delivery.unit in self._sending:
            return True
        if self._lanes.are_full or not self._lanes.has_room(receiver, at=now()):
            return False
        self._lanes.enter(receiver)
        task = asyncio.create_task(self._send(delivery, way, receiver))
        self._sending[delivery.unit] = task
        task.add_done_callback(lambda _: self._sending.pop(delivery.unit, None))
        return True

    async def _send(self, delivery: Delivery, way: Way | None, receiver: str) -> None:
        is_reached = True
        try:
            is_reached = await self._deliver(delivery, way)
        except (SQLAlchemyError, ProcessGivenUp) as error:  # it stays due
            logger.warning("A notice cannot be read or noted now: %s", type(error).__name__)
        finally:
            self._lanes.leave(receiver, is_reached=is_reached, at=now())
            if delivery.is_for_digest:  # of which there may be more than goes into one message
                self._looks_at = 0.0
            self._wake.set()

    async def _deliver(self, delivery: Delivery, way: Way | None) -> bool:
        """Send one message and note what became of it; says whether its receiver can be reached."""
        try:
            letter = await self._written(delivery, way)
        except NotDelivered as error:
            await self._note_failure(Letter(None, (delivery,)), error)
            return True
        if letter.quiet_until is not None:
            wait = partial(deliveries.postpone, some=letter.deliveries, next_at=letter.quiet_until)
            await self._database.write(wait)
            return True
        if not await self._claim(letter):
            return True
        if letter.message is None:
            return True
        if way is None:
            await self._give_up(letter, "the settings or the profile do not have it any more")
            return True
        await self._database.lease.confirm()
        try:
            receipt = await self._hand_over(way, letter.message)
        except NotDelivered as error:
            await self._note_failure(letter, error)
            return error.is_final
        note = partial(deliveries.note_sent, sent=letter.deliveries, receipt=receipt, at=now())
        await self._database.write(note)
        return True

    async def _hand_over(self, way: Way, message: Message) -> str | None:
        """Send by the channel of a way; raises NotDelivered, also for a fault of the channel itself."""
        channel = self._channels.get(way.channel, self._by_apprise)
        try:
            return await channel.send(way.url, message, at=now())
        except (NotDelivered, SQLAlchemyError, ProcessGivenUp):
            raise
        except Exception as error:  # tried again later, as what a receiver refused
            raise NotDelivered(reason=fault_of(error)) from None

    async def _written(self, delivery: Delivery, way: Way | None) -> Letter:
        """The letter of a delivery; raises NotDelivered for a fault of ours, so that the attempt counts."""
        try:
            # Only of a digest is there more than goes into one message.
            room = await asyncio.to_thread(room_of, way) if way and delivery.is_for_digest else MOST
            return await self._database.read(partial(self._letter, delivery=delivery, room=room))
        except (SQLAlchemyError, ProcessGivenUp):
            raise
        except Exception as error:  # tried again later, as what a receiver refused
            raise NotDelivered(reason=fault_of(error)) from None

    def _letter(self, connection: Connection, delivery: Delivery, room: int) -> Letter:
        return letter_for(
            connection,
            delivery,
            at=now(),
            url=self._url(),
            is_for_program=delivery.channel == WEBHOOK,
            process_id=self._database.lease.process_id,
            owners=self._owners,
            room=room_after(room, delivery.refusals),
        )

    async def _claim(self, letter: Letter) -> bool:
        """Keep other processes from sending it too, and close what is over; False: one of them does."""
        claim = partial(
            deliveries.claim,
            wanted=letter.deliveries,
            closed=letter.over,
            process_id=self._database.lease.process_id,
            at=now(),
        )
        return await self._database.write(claim)

    async def _note_failure(self, letter: Letter, error: NotDelivered) -> None:
        at, first = now(), letter.deliveries[0]
        logger.warning(
            "A notice was not delivered by %s (%s, attempt %s)",
            first.channel,
            error.reason,
            first.attempts + 1,
        )
        if error.is_final:
            await self._give_up(letter, error.reason)
            if first.channel == PUSH:  # the browser is gone
                gone = first.address.removeprefix(OF_BROWSER)
                await self._database.write(partial(end_subscription, digest=gone))
            return
        note = partial(deliveries.note_failed, failed=letter.deliveries, error=error.reason, at=at)
        await self._database.write(note)

    async def _give_up(self, letter: Letter, reason: str) -> None:
        give_up = partial(deliveries.give_up, lost=letter.deliveries, error=reason, at=now())
        await self._database.write(give_up)


def _time() -> float:
    return asyncio.get_running_loop().time()
