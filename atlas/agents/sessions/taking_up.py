"""Serves a session that this process does not know, if its agent opened it: in another process, or long ago.

FastMCP keeps sessions in memory: they are gone after a restart, and after half an hour without a request. The
client is told 404 then and has to begin again, which many never do. So what it said at the beginning is kept,
and said again on its behalf when it comes back. That opens a new session, known to the client by the old id.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from weakref import WeakValueDictionary

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types import INTERNAL_ERROR, INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.agents.session_of_call import CLIENTS_ID
from atlas.agents.sessions.exchanges import Attempt, Opening, end, post, under
from atlas.agents.sessions.handshake import INITIALIZED, Handshake
from atlas.agents.sessions.present import Key, PresentSessions
from atlas.agents.sessions.store import SessionStore
from atlas.database.failures import CommitUnknown
from atlas.models import EVERY_AGENT

MOST_KNOWN = 20_000  # sessions of which this process remembers that it served them
NOTE_SECONDS = 3600.0  # a session in use is noted as seen so often, and not at each request
SESSION_NOT_FOUND = -32001  # what servers on the TypeScript SDK say of such a session

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Known:
    """A session that this process serves."""

    inner_id: str  # by which FastMCP knows it
    noted_at: float = field(default_factory=monotonic)


class TakingUp:
    """Stands before FastMCP's app for streamable HTTP, behind the check of the key."""

    def __init__(self, app: ASGIApp, *, store: SessionStore, is_open: bool, most: int) -> None:
        self._app, self._store, self._is_open = app, store, is_open
        self._present = PresentSessions(most)
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; one without a valid key, or of the era without sessions, is only passed on."""
        principal = self._principal_of(scope)
        if principal is None or not _may_have_session(scope):
            await self._app(scope, receive, send)
            return
        session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session_id is None:
            await self._open(principal, scope, receive, send)
        elif scope["method"] == "DELETE":
            await self._end((principal, session_id), scope, receive, send)
        else:
            with self._present.serving((principal, session_id)):
                await self._serve((principal, session_id), scope, receive, send)

    def _principal_of(self, scope: Scope) -> str | None:
        user = scope.get("user")
        if isinstance(user, AuthenticatedUser):
            return user.access_token.client_id
        return EVERY_AGENT if self._is_open else None

    async def _open(self, principal: str, scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(session_id: str, handshake: Handshake) -> None:
            try:
                if not await self._store.keep(principal, session_id, handshake):
                    logger.warning("A client says too much of itself; its session ends with this process")
            except SQLAlchemyError as error:  # its calls will be told; here nothing is lost but the return
                logger.warning("A session ends with this process: %s", type(error).__name__)
            self._remember((principal, session_id), session_id)

        opening = Opening(receive, send, keep=keep)
        await self._app(scope, opening.receive, opening.send)
        await self._put_aside(principal, scope)

    async def _put_aside(self, principal: str, scope: Scope) -> None:
        """End what is idle and too much in memory. On disk it stays, so that its client can go on in it."""
        for key in self._present.to_put_aside(principal):
            self._present.has_gone(key)
            known = self._known.get(key)
            await end(self._app, scope, session_id=known.inner_id if known else key[1])

    async def _serve(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, CLIENTS_ID: key[1]}
        inner_id = await self._inner_id(key)
        attempt = Attempt(receive, send, session_id=key[1])
        await self._app(under(scope, inner_id), attempt.receive, attempt.send)
        if not attempt.is_refused:
            return
        taken_up = await self._take_up(key, scope, refused=inner_id)
        if isinstance(taken_up, Response):
            await taken_up(scope, receive, send)
            return
        again = Attempt(attempt.receive_again, send, session_id=key[1])
        await self._app(under(scope, taken_up), again.receive, again.send)
        if again.is_refused:  # ended meanwhile
            await _not_found()(scope, receive, send)

    async def _end(self, key: Key, scope: Scope, receive: Receive, send: Send) -> None:
        attempt = Attempt(receive, send, session_id=key[1])
        async with self._lock(key):  # no one takes it up at the same time
            try:
                was_kept = await self._store.forget(*key)
            except SQLAlchemyError as error:
                await _unavailable(error)(scope, receive, send)
                return
            known = self._known.pop(key, None)
            self._present.has_gone(key)
            inner_id = known.inner_id if known else key[1]
            await self._app(under(scope, inner_id), attempt.receive, attempt.send)
        if attempt.is_refused:
            await (Response() if was_kept else _not_found())(scope, receive, send)

    async def _take_up(self, key: Key, scope: Scope, *, refused: str) -> str | Response:
        """Open the session again, once for several requests; a response says why that is not possible."""
        async with self._lock(key):
            known = self._known.get(key)
            if known is not None and known.inner_id != refused:
                return known.inner_id
            try:
                handshake = await self._store.find(*key)
            except SQLAlchemyError as error:
                return _unavailable(error)
            return _not_found() if handshake is None else await self._shake_hands(key, scope, handshake)

    async def _shake_hands(self, key: Key, scope: Scope, handshake: Handshake) -> str | Response:
        answer = await post(self._app, scope, handshake.as_request())
        inner_id = answer.headers.get(MCP_SESSION_ID_HEADER)
        if answer.status != 200 or inner_id is None:  # too many sessions are open
            return Response(answer.body, answer.status, media_type=answer.headers.get("content-type"))
        await post(self._app, scope, INITIALIZED, session_id=inner_id)
        self._remember(key, inner_id)
        await self._put_aside(key[0], scope)
        await self._note_seen(key)
        logger.info("A session was taken up again")
        return inner_id

    async def _inner_id(self, key: Key) -> str:
        """The id by which FastMCP knows the session, as far as this process can tell."""
        known = self._known.get(key)
        if known is None:
            return key[1]
        self._known.move_to_end(key)
        if monotonic() - known.noted_at > NOTE_SECONDS:
            known.noted_at = monotonic()
            await self._note_seen(key)
        return known.inner_id

    async def _note_seen(self, key: Key) -> None:
        try:
            await self._store.note_seen(*key)
        except SQLAlchemyError as error:  # it is forgotten sooner
            logger.warning("It cannot be noted that a session is in use: %s", type(error).__name__)

    def _remember(self, key: Key, inner_id: str) -> None:
        self._known[key] = Known(inner_id)
        self._present.has_come(key)
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


def _may_have_session(scope: Scope) -> bool:
    version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
    return scope["type"] == "http" and (version is None or version in HANDSHAKE_PROTOCOL_VERSIONS)


def _not_found() -> Response:
    """Say that the session has ended, in the words that make clients begin again.

    Python's client 2 hands code and words on, and Google's ADK begins again at exactly these. Clients on the
    TypeScript SDK are handed the text of the body, in which some look for the code that its servers use.
    """
    error = {
        "code": INVALID_REQUEST,
        "message": "Session terminated",
        "data": {"code": SESSION_NOT_FOUND, "message": "Session not found"},
    }
    return _refusal(error, status=404)


def _unavailable(error: SQLAlchemyError) -> Response:
    logger.warning("The sessions cannot be read or written: %s", type(error).__name__)
    done = "It is not known whether this was done" if isinstance(error, CommitUnknown) else "Nothing was done"
    message = f"The gateway cannot read or write its sessions at present. {done}; try again."
    return _refusal({"code": INTERNAL_ERROR, "message": message}, status=503)


def _refusal(error: dict[str, Any], *, status: int) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=status)
