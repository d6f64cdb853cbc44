"""A stop in its order: say so, take no one in any more, end what was begun, answer who waits."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.cases.draining import Draining
from atlas.cases.store import CaseStore

PAUSE_SECONDS = 0.02
ANSWER_SECONDS = 1.0  # in which those who wait are answered, when their time is over
TURNS = 50  # of the event loop, in which an answer passes through the SDK and the web server


class Drain:
    """Brings a process from its first signal to the moment at which nothing is lost if it ends."""

    def __init__(
        self,
        store: CaseStore,
        *,
        is_executing: Callable[[], bool],
        drain_time: timedelta,
        stop_timeout: timedelta,
    ) -> None:
        self._store = store
        self._is_executing = is_executing
        self._drain_seconds = drain_time.total_seconds()
        self._stop_seconds = stop_timeout.total_seconds()
        self.is_hurried = False  # a second signal came

    @property
    def state(self) -> Draining:
        """How far it is."""
        return self._store.draining

    async def leave(self) -> None:
        """Serve on for a while in which /readyz says 503, so that balancers send what is new elsewhere."""
        self.state.is_leaving = True
        await self._until(lambda: False, seconds=self._drain_seconds)

    async def finish(self) -> None:
        """Answer what waits for a person, let tools end, and answer the rest; no one can connect any more."""
        self.state.is_closed = True
        self._store.wake()
        await self._until(lambda: not self._is_executing() and self._are_answered(), self._stop_seconds)
        self.state.is_over = True
        self._store.wake()
        await self._until(self._are_answered, ANSWER_SECONDS)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _are_answered(self) -> bool:
        """Whether no agent waits: that one has the ending may be noted on disk before it is sent."""
        return not self._store.is_watched and not self.state.calls

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not (condition() or self.is_hurried) and loop.time() < end:  # noqa: ASYNC110  (many conditions)
            await asyncio.sleep(PAUSE_SECONDS)


class ClosesConnections:
    """Ends each connection with its next answer once a stop has begun, so that clients connect elsewhere."""

    def __init__(self, app: ASGIApp, *, state: Draining) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._state.is_leaving:
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["connection"] = "close"
                message = {**message, "headers": headers.raw}
            await send(message)

        await self._app(scope, receive, closing)
