"""One request and its answer on their way through, where the answer is looked at before the client has it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atlas.agents.sessions.handshake import Handshake, read_handshake

START = "http.response.start"
REPLACED = frozenset({b"accept", b"content-length", b"content-type", b"last-event-id", b"mcp-session-id"})

Keep = Callable[[str, Handshake], Awaitable[None]]


class Attempt:
    """A request whose answer "there is no such session" is kept back, so that it can be made once more.

    That answer comes before anything of the request is done. Until then the parts that were read are kept.
    """

    def __init__(self, receive: Receive, send: Send, *, session_id: str) -> None:
        self._receive, self._send = receive, send
        self._session_id = session_id  # under which the client knows the session
        self._received: deque[Message] = deque()
        self._is_answered = False
        self.is_refused = False

    async def receive(self) -> Message:
        """The next piece of the request."""
        message = await self._receive()
        if not self._is_answered:
            self._received.append(message)
        return message

    async def receive_again(self) -> Message:
        """The pieces that were received, then the next ones."""
        return self._received.popleft() if self._received else await self._receive()

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on."""
        if message["type"] == START:
            self._is_answered, self.is_refused = True, message["status"] == 404
            if not self.is_refused:
                self._received.clear()
        if not self.is_refused:
            await self._send(self._under_own_id(message))

    def _under_own_id(self, message: Message) -> Message:
        """A piece of the answer, with the id by which the client knows its session."""
        if message["type"] == START:
            headers = MutableHeaders(raw=list(message["headers"]))
            if MCP_SESSION_ID_HEADER in headers:
                headers[MCP_SESSION_ID_HEADER] = self._session_id
            return {**message, "headers": headers.raw}
        return message


class Opening:
    """A request that may open a session; its client hears of the session once what it said is kept."""

    def __init__(self, receive: Receive, send: Send, *, keep: Keep) -> None:
        self._receive, self._send, self._keep = receive, send, keep
        self._said = bytearray()
        self._start: Message | None = None  # held back until it is known what follows

    async def receive(self) -> Message:
        """The next piece of the request."""
        message = await self._receive()
        self._said += message.get("body", b"")
        return message

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on; the head waits for the first piece of the body."""
        if message["type"] == START:
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            await self._note(start, message.get("body", b""))
            await self._send(start)
        await self._send(message)

    async def _note(self, start: Message, body: bytes) -> None:
        session_id = Headers(raw=start["headers"]).get(MCP_SESSION_ID_HEADER)
        handshake = read_handshake(self._said, body) if start["status"] == 200 else None
        self._said = bytearray()
        if session_id is not None and handshake is not None:
            await self._keep(session_id, handshake)


class Answer:
    """What an app answers to a request that the gateway makes on behalf of a client."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 500, Headers(), b""

    async def send(self, message: Message) -> None:
        """Take a piece of the answer."""
        if message["type"] == START:
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
        else:
            self.body += message.get("body", b"")


async def post(app: ASGIApp, scope: Scope, body: bytes, *, session_id: str | None = None) -> Answer:
    """Post a message with the rights of a request that is there already, and return the whole answer."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in REPLACED]
    added = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "content-length": str(len(body)),
    } | ({MCP_SESSION_ID_HEADER: session_id} if session_id else {})
    headers = [*kept, *((name.encode(), value.encode()) for name, value in added.items())]
    return await _ask(app, {**scope, "method": "POST", "headers": headers}, body)


async def end(app: ASGIApp, scope: Scope, *, session_id: str) -> Answer:
    """End a session with the rights of a request of its agent."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in REPLACED]
    headers = [*kept, (MCP_SESSION_ID_HEADER.encode(), session_id.encode())]
    return await _ask(app, {**scope, "method": "DELETE", "headers": headers}, b"")


async def _ask(app: ASGIApp, scope: Scope, body: bytes) -> Answer:
    answer, bodies = Answer(), [body]

    async def receive() -> Message:
        if not bodies:
            await asyncio.Future()  # a caller in the same process does not go away
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    await app(scope, receive, answer.send)
    return answer


def under(scope: Scope, session_id: str) -> Scope:
    """The same request, for a session of this process."""
    headers = MutableHeaders(raw=list(scope["headers"]))
    headers[MCP_SESSION_ID_HEADER] = session_id
    return {**scope, "headers": headers.raw}
