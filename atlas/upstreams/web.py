"""An upstream that is a URL, over streamable HTTP or SSE: one TLS context, shared sockets, and limits."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from atlas.upstreams.config import Transport, UpstreamConfig
from atlas.upstreams.keys import Keys, NoToken, to_sign_in
from atlas.upstreams.redirects import CIRCLE, MOST_REDIRECTS, NotFollowed, next_request
from atlas.upstreams.tls import tls_context
from atlas.upstreams.wires import LONGEST_ANSWER, TOO_LONG, RelaySession, Wire

CONNECT_SECONDS = 10.0
# Reading is not timed here: a tool may be silent for as long as its call may take, which others watch.
TIMEOUTS = httpx2.Timeout(CONNECT_SECONDS, read=None)
NEVER_LEFT = (
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol),
    httpx2.ProxyError,  # it has made no connection
)
MOST_TOKENS = 3  # with which one request is tried: another process may have renewed the one before
EVENTS = "text/event-stream"
# The statuses that say that a request was not taken; behind others something may have been done.
REFUSALS = frozenset((400, 401, 402, 403, 404, 405, 406, 407, 411, 413, 414, 415, 421, 422, 426, 429, 431))


class Sockets:
    """The open sockets to one upstream, which its sessions share, and its tokens."""

    def __init__(self, config: UpstreamConfig, keys: Keys | None) -> None:
        self.config = config
        self.keys = keys
        self._transport: httpx2.AsyncHTTPTransport | None = None

    @property
    def transport(self) -> httpx2.AsyncHTTPTransport:
        """Made when it is needed first."""
        if self._transport is None:
            self._transport = httpx2.AsyncHTTPTransport(verify=tls_context(), proxy=self.config.proxy)
        return self._transport

    async def close(self) -> None:
        """Close them all."""
        if self._transport is not None:
            await self._transport.aclose()


class RedirectRefused(httpx2.ProtocolError):
    """A redirect that was not followed."""

    def __init__(self, refusal: NotFollowed) -> None:
        super().__init__(refusal.reason)
        self.is_unsent = refusal.is_unsent


class CheckedAnswers(httpx2.AsyncBaseTransport):
    """Sends over the shared sockets, with a token, and notes on one session's wire what posts come to."""

    def __init__(self, sockets: Sockets, wire: Wire, way: Transport) -> None:
        self._sockets = sockets
        self._wire = wire
        self._way = way

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; it is sent again only if the server says by 401 that it did not take it."""
        request.headers["Accept-Encoding"] = "identity"  # what is counted is what is kept
        is_post = request.method == "POST"
        is_answered = self._wire.is_answered
        is_call = is_post and not is_answered and _is_request(request)
        try:
            response = await self._authorized(request)
        except NEVER_LEFT as error:
            if is_call:
                self._wire.note_unsent(reason_of(error))
            elif is_post:  # the call is under way: its agent's answer to a question, for instance
                self._wire.note_broken(reason_of(error))
            raise
        except RedirectRefused as error:
            # A refused post that is not the call says nothing of the call, which may be under way.
            is_before_call = is_call or (not is_post and not is_answered)
            note = self._wire.note_unsent if error.is_unsent and is_before_call else self._wire.note_broken
            if is_post or self._way is Transport.SSE:  # else it is a stream that no answer needs
                note(str(error))
            raise
        except httpx2.TransportError as error:
            if is_post:
                self._wire.note_broken(reason_of(error))
            raise
        if is_call:
            self._wire.status, self._wire.is_answered = response.status_code, True
        if is_post and self._way is Transport.SSE and response.status_code >= 300:
            self._note_without_answer(response.status_code, is_call=is_call)
        is_events = response.headers.get("Content-Type", "").startswith(EVENTS)
        is_lifeline = not is_post and self._way is Transport.SSE
        counted = Counted(response, self._wire if is_post or is_lifeline else Wire(), is_events, is_lifeline)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=counted, extensions=response.extensions
        )

    async def _authorized(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to a request with a token that the server takes. Raises NoToken."""
        keys, spent = self._sockets.keys, None
        if keys is None:
            return await self._followed(request)
        for _ in range(MOST_TOKENS):
            token = await keys.token(spent=spent)
            if token is not None:
                request.headers["Authorization"] = f"Bearer {token}"
            response = await self._followed(request)
            if response.status_code != 401 or (token is None and not _asks_for_token(response)):
                return response
            await response.aclose()
            spent = token or ""
        raise NoToken(to_sign_in(self._sockets.config, again=True))

    async def _followed(self, request: httpx2.Request) -> httpx2.Response:
        """The answer behind redirects, which the SDK does not see. Raises RedirectRefused."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._sockets.transport.handle_async_request(request)
            follows = next_request(request, response)
            if follows is None:
                return response
            await response.aclose()
            if isinstance(follows, NotFollowed):
                raise RedirectRefused(follows)
            request = follows
        raise RedirectRefused(CIRCLE)

    def _note_without_answer(self, status: int, *, is_call: bool) -> None:
        """On SSE an answer comes on the stream, and none comes to what was posted in vain."""
        note = self._wire.note_unsent if is_call and status in REFUSALS else self._wire.note_broken
        note(f"it answered HTTP {status}")

    async def aclose(self) -> None:
        """Leave the sockets open: other sessions use them."""


class Counted(httpx2.AsyncByteStream):
    """The body of an answer, up to the longest that is read."""

    def __init__(self, response: httpx2.Response, wire: Wire, is_events: bool, is_lifeline: bool) -> None:
        self._stream = response.stream
        self._wire = wire
        self._is_events = is_events  # of which the SDK measures each
        self._is_lifeline = is_lifeline  # the stream without which an SSE session gets no answers
        self._is_packed = response.headers.get("Content-Encoding", "identity") != "identity"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces."""
        assert isinstance(self._stream, httpx2.AsyncByteStream)  # noqa: S101  (the transport is asynchronous)
        if self._is_packed:
            raise self._lost("its answer is compressed, which was not asked for")
        length = 0
        try:
            async for piece in self._stream:
                length += len(piece)
                if length > LONGEST_ANSWER and not self._is_events:
                    raise self._lost(TOO_LONG)
                yield piece
            if self._is_lifeline:
                self._wire.note_broken("its event stream ended")
        except httpx2.TransportError as error:
            self._wire.note_broken(reason_of(error))
            raise

    def _lost(self, reason: str) -> httpx2.ReadError:
        self._wire.note_broken(reason)
        return httpx2.ReadError(reason)

    async def aclose(self) -> None:
        """Give the socket back."""
        assert isinstance(self._stream, httpx2.AsyncByteStream)  # noqa: S101
        await self._stream.aclose()


class WebTransport(ClientTransport):
    """A session over streamable HTTP or SSE, with the headers of the file and no others."""

    def __init__(self, config: UpstreamConfig, wire: Wire, sockets: Sockets) -> None:
        self._config = config
        self._wire = wire
        self._sockets = sockets
        self.legacy_only = config.way is Transport.SSE

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncIterator[ClientSession]:
        """Yield a session of its own; the sockets may be those of others."""
        try:
            async with (
                self._streams() as (incoming, outgoing),
                RelaySession(incoming, outgoing, **session_kwargs) as session,
            ):
                yield session
        finally:
            self._wire.close()

    @contextlib.asynccontextmanager
    async def _streams(self) -> AsyncIterator[Any]:
        if self._config.way is Transport.SSE:
            async with sse_client(self._config.url, httpx_client_factory=self._client) as streams:
                yield streams
        else:
            async with (
                self._client() as client,
                streamable_http_client(
                    self._config.url, http_client=client, max_sse_event_size=LONGEST_ANSWER
                ) as streams,
            ):
                yield streams

    def _client(
        self,
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        watched = CheckedAnswers(self._sockets, self._wire, self._config.way)
        return httpx2.AsyncClient(transport=watched, headers=dict(self._config.headers), timeout=TIMEOUTS)


def _asks_for_token(response: httpx2.Response) -> bool:
    return bool(response.headers.get("WWW-Authenticate", "").lower().startswith("bearer"))


def _is_request(request: httpx2.Request) -> bool:
    """Whether what is posted asks for something; else it is an answer or a notification."""
    message = json.loads(request.content)
    return isinstance(message, dict) and "method" in message and "id" in message


def reason_of(error: BaseException) -> str:
    """Why a connection failed, without a URL, which may hold a password."""
    if isinstance(error, httpx2.HTTPStatusError):
        return f"it answered HTTP {error.response.status_code}"
    # Other texts may quote what was sent, a header with a key in it for instance, or what the upstream said.
    said = str(error) if isinstance(error, httpx2.ConnectError) else getattr(error, "strerror", None)
    return said if isinstance(said, str) and said and "://" not in said else type(error).__name__
