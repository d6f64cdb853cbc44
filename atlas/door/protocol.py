"""uvicorn's two protocols with a guard in front: bounded headers, time-outs, and closing so that it is read.

uvicorn 0.54 has a time-out for idle connections alone. It bounds headers with h11 but not with httptools.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import h11
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from atlas.door.connections import WRITE_SECONDS, Door
from atlas.door.lingering import LINGER_SECONDS, LingeringTransport
from atlas.door.refusals import BODY_LATE, HEAD_LATE, HEAD_TOO_LARGE, TOO_MANY_CONNECTIONS, Refusal

LARGEST_HEAD = 64 * 2**10
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guarded(asyncio.Protocol):
    """What is the same with both protocols; a subclass tells what of a request is there."""

    door: Door

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        this: Any = self
        self._inner: Application = this.app
        this.app = self._serve
        self._head_size = 0
        self._seen: Any = None  # the newest request whose headers were complete
        self._deadline: float | None = None
        self._write_deadline: float | None = None
        self._transport: Any = None  # until there is a connection

    def connection_made(self, transport: Any) -> None:
        """Let it in; the first request has to come at once."""
        self._transport = LingeringTransport(transport)
        super().connection_made(self._transport)
        self._deadline = self._in(self.door.limits.head_seconds)
        self.door.enter(self, (transport.get_extra_info("peername") or ("",))[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.door.leave(self)
        if self._transport is not None:
            self._transport.ended()
        this: Any = self
        this.app = self._inner  # no circle that has to be collected
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, and see how far the request is."""
        transport = self._transport
        if transport is None or transport.is_lingering:
            if transport is not None:
                transport.throw_away(len(data))
            return
        if self._deadline is None and not self._is_served:
            self._deadline = self._in(self.door.limits.head_seconds)
        transport.sends_still = True
        of_body = self.owes_body
        super().data_received(data)
        if not transport.is_closing():
            self._head_size += 0 if of_body else len(data)
            self._look_at_request(transport)

    def _look_at_request(self, transport: LingeringTransport) -> None:
        cycle = self._cycle
        if cycle is not self._seen:
            self._seen, self._head_size = cycle, 0
            self._deadline = self._in(self.door.limits.body_seconds)
        transport.sends_still = self.owes_body or self._head_size > 0
        if not transport.sends_still:
            self._deadline = None  # it is all there, and the app takes the time that it needs
        if self._head_size > LARGEST_HEAD:
            self.refuse(HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        """The client does not read: it has a while to begin."""
        self._write_deadline = self._in(WRITE_SECONDS)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_deadline = None
        super().resume_writing()

    @property
    def is_new(self) -> bool:
        """Whether no request has come yet."""
        return self._cycle is None

    @property
    def _cycle(self) -> Any:
        this: Any = self
        return this.cycle

    @property
    def owes_body(self) -> bool:
        """Whether a body has begun and not ended."""
        raise NotImplementedError

    @property
    def _is_served(self) -> bool:
        return self._cycle is not None and not self._cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether a part of a request is still to come, so that nothing is lost if it is closed."""
        return self.owes_body or not self._is_served

    def is_late(self, now: float) -> bool:
        """Whether what is still to come, or to be read by the client, should have been."""
        if self._deadline is not None and self.owes_body and not self._is_served:  # answered already
            self._deadline = min(self._deadline, now + LINGER_SECONDS)
        deadlines = [when for when in (self._deadline, self._write_deadline) if when is not None]
        return bool(deadlines) and min(deadlines) < now

    def give_up(self) -> None:
        """Say that it took too long, and close at once: its place is wanted."""
        self.door.leave(self)
        transport = self._transport
        if self._write_deadline is not None or transport.is_lingering:
            transport.abort()
            return
        self.refuse(BODY_LATE if self.owes_body else HEAD_LATE, is_sent=self._deadline is not None)

    def refuse(self, refusal: Refusal, *, is_sent: bool = True) -> None:
        """Answer in place of the app where it has not begun to, and close; who is idle is told nothing."""
        transport, cycle = self._transport, self._cycle
        if is_sent and not self._is_behind_another and not (self._is_served and cycle.response_started):
            transport.write(refusal.as_http())
        if self._is_served:
            cycle.disconnected = True
            cycle.message_event.set()
        transport.sends_still = refusal is HEAD_TOO_LARGE
        self._deadline = None
        transport.close()

    @property
    def _is_behind_another(self) -> bool:
        """Whether an earlier request is still being answered (httptools alone pipelines)."""
        this: Any = self
        return bool(getattr(this, "pipeline", None))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["atlas.peer"] = scope.get("client")  # before X-Forwarded-For counts
        authorization = Headers(scope=scope).get("authorization", "")
        if self.door.is_known(self, authorization):
            await self._inner(scope, receive, send)
        else:
            await TOO_MANY_CONNECTIONS(scope, receive, send)

    def _in(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds


def guarded_protocol(
    door: Door, protocol: type[asyncio.Protocol] = AutoHTTPProtocol
) -> type[asyncio.Protocol]:
    """One of uvicorn's protocols behind a door: by default httptools' where it is installed, else h11's."""
    kind = OverH11 if protocol.__name__ == "H11Protocol" else OverHttpTools
    return type(f"Guarded{protocol.__name__}", (kind, protocol), {"door": door})


class OverH11(Guarded):
    """Asks h11 where a request stands."""

    @property
    def owes_body(self) -> bool:
        """Whether a body has begun and not ended."""
        this: Any = self
        return bool(this.conn.their_state is h11.SEND_BODY)


class OverHttpTools(Guarded):
    """Notes what httptools calls; it has no state that could be asked."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._owes = False

    @property
    def owes_body(self) -> bool:
        """Whether a body has begun and not ended."""
        return self._owes

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._owes = True
        super().on_headers_complete()  # type: ignore[misc]

    def on_message_complete(self) -> None:
        """All is there."""
        self._owes = False
        super().on_message_complete()  # type: ignore[misc]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a field behind a body in chunks, where no one looks for it: those are dropped."""
        if not self._owes:
            super().on_header(name, value)  # type: ignore[misc]
