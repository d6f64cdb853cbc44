"""Tells each open stream where the ledger stands and which cases changed, read once for all of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial

from sqlalchemy.exc import DBAPIError

from atlas.cases.store import CaseStore
from atlas.desk.live.news import News, news_after
from atlas.desk.live.streams import Stream, Streams
from atlas.ledger import newest
from atlas.models import Case

GATHER_SECONDS = 0.2  # changes that come together are told together
POLL_SECONDS = 2.0  # a change that no one told of is seen after this long
BEAT_SECONDS = 15.0  # so that a browser and the proxies before it know that the stream lives
SESSION_SECONDS = 3.0  # how long a stream may outlive its session

RETRY = b"retry: 1000\n"  # milliseconds after which a browser comes back

logger = logging.getLogger(__name__)


class Teller:
    """Reads the ledger for the open streams, once for all of them; without streams it does nothing."""

    def __init__(
        self, store: CaseStore, *, valid: Callable[[Collection[str]], Awaitable[Collection[str]]]
    ) -> None:
        self.streams = Streams()
        self._store = store
        self._valid = valid  # which of some sessions still hold; asking renews none
        self._at = 0  # up to which entry the ledger was read,
        self._told = 0  # and up to which all streams know what concerns a page
        self._looks: set[str] = set()
        self._looked_at: Callable[[], Collection[str]] = tuple
        self._woken = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        store.listeners.append(self._changed)
        store.database.hints.listeners.append(self._changed_elsewhere)

    def follow(self, looked_at: Callable[[], Collection[str]]) -> None:
        """Tell also of cases that wait for no person, while a person looks at them."""
        self._looked_at = looked_at

    def looks_changed(self, case_id: str) -> None:
        """Other people look at a case now, or no longer."""
        if self.streams:
            self._looks.add(case_id)
            self._woken.set()

    async def news(self, after: int) -> News:
        """What changed after an entry of the ledger, for a page that was away."""
        return await self._store.database.look(
            partial(news_after, after=after, looked_at=tuple(self._looked_at()))
        )

    async def listen(self, stream: Stream) -> AsyncIterator[bytes]:
        """The messages of one stream; the first says where the ledger stands."""
        at = await self._store.database.look(newest)
        if self._work is None or self._work.done():
            self._at = self._told = at
            self._work = asyncio.create_task(self._tell_all())
        yield RETRY + News(after=at, at=at).event("hello")
        async for message in stream.messages():
            yield message

    def close(self) -> None:
        """End all streams: the gateway stops."""
        self.streams.close()
        if self._work is not None:
            self._work.cancel()

    def _changed(self, case: Case) -> None:
        # Each change of each call comes by here: those that no page shows cost this line.
        if self.streams and (case.expires_at is not None or case.case_id in self._looked_at()):
            self._woken.set()

    def _changed_elsewhere(self, case_ids: frozenset[str] | None) -> None:
        # Whether a page shows one of them, the ledger says; it is read a few times a second at most.
        if self.streams:
            self._woken.set()

    async def _tell_all(self) -> None:
        """Tell all streams what changes, while there are any."""
        loop = asyncio.get_running_loop()
        beat = check = loop.time()
        while self.streams:
            with suppress(asyncio.TimeoutError):  # in Python 3.10 it is another than the built-in one
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
                await asyncio.sleep(GATHER_SECONDS)
            self._woken.clear()
            await self._tell()
            if loop.time() - check >= SESSION_SECONDS:
                check = loop.time()
                await self._end_signed_out()
            if loop.time() - beat >= BEAT_SECONDS:
                beat = loop.time()
                self.streams.tell(News(after=self._told, at=self._told).event("beat"))

    async def _tell(self) -> None:
        looks, self._looks = tuple(sorted(self._looks)), set()
        try:
            news = await self.news(self._at)
        except DBAPIError as error:  # the next round reads from the same entry
            self._looks.update(looks)
            logger.warning("The desk cannot read what changed: %s", type(error).__name__)
            return
        self._at = news.at
        news = news.model_copy(update={"after": self._told, "looks": looks})
        if not news.is_empty:
            self._told = news.at
            self.streams.tell(news.event("news"))

    async def _end_signed_out(self) -> None:
        sessions = {stream.session for stream in self.streams if stream.session is not None}
        if not sessions:
            return
        with suppress(DBAPIError):  # asked again in three seconds; each page asks for itself too
            valid = await self._valid(sessions)
            for stream in self.streams:
                if stream.session is not None and stream.session not in valid:
                    stream.end()
