"""Who may do what: agents at the MCP endpoints, reviewers at the webhook, Inngest at its own endpoint."""

import time
from hashlib import sha256
from urllib.parse import parse_qs

from fastapi import Request
from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.dependencies import get_access_token
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import AtlasError, NotAuthenticated, NotPermitted, StaleRequest
from atlas.settings import Settings, is_loopback

ANYBODY = "anybody"  # the principal of every agent in open mode
FRESH_SECONDS = 300
SIGNATURE_HEADER = "x-inngest-signature"


class AgentKeys(TokenVerifier):
    """Knows the agents by their bearer keys; compares digests, so that timing tells nothing."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._principals = {_digest(key): principal for key, principal in settings.agent_keys.items()}

    async def verify_token(self, token: str) -> AccessToken | None:
        """The agent whose key this is, or None."""
        principal = self._principals.get(_digest(token))
        return None if principal is None else AccessToken(token=token, client_id=principal, scopes=[])

    def is_agent(self, token: str) -> bool:
        """Whether this is the key of an agent."""
        return _digest(token) in self._principals


def current_principal() -> str:
    """Who makes the MCP request that is being served."""
    token = get_access_token()
    return ANYBODY if token is None else token.client_id


class ReviewerGate:
    """Lets only holders of a reviewer's key through; an agent's key is told that it is one."""

    def __init__(self, settings: Settings, agents: AgentKeys) -> None:
        self._reviewers = {_digest(key): name for key, name in settings.reviewer_keys.items()}
        self._agents = agents

    async def __call__(self, request: Request) -> str | None:
        """The name that the reviewer's key has, if any; raises NotAuthenticated or NotPermitted."""
        if not self._reviewers:
            return None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and _digest(token) in self._reviewers:
            return self._reviewers[_digest(token)]
        if scheme.lower() == "bearer" and self._agents.is_agent(token):
            raise NotPermitted(reason="An agent cannot decide on calls; this takes the reviewer's key.")
        raise NotAuthenticated


class ThisMachineOnly:
    """Serves nobody but this machine, on whatever address the process listens: open mode's last line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from loopback."""
        if scope["type"] == "http" and not is_loopback((scope.get("client") or [""])[0]):
            refusal = NotPermitted(reason="In open mode, without keys, only this machine is served.")
            await _refused(refusal, status=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class FreshnessGuard:
    """Refuses signed requests of Inngest that are older than five minutes; the SDK itself accepts any age.

    The signature covers the body and `t` but not the query, so a captured request could be replayed for ever
    (seen with SDK 0.5.19). The reading of the header is the SDK's own: the first `t` that parse_qs finds.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is fresh, or is not for this path."""
        if scope["type"] == "http" and self._is_guarded(scope):
            signatures = Headers(scope=scope).getlist(SIGNATURE_HEADER)
            if len(signatures) != 1 or not is_fresh(signatures[0], now=time.time()):
                refusal = StaleRequest(seconds=FRESH_SECONDS)
                await _refused(refusal, status=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_guarded(self, scope: Scope) -> bool:
        # By the end of the path: a proxy's root_path may stand before it.
        return bool(scope["path"].rstrip("/").endswith(self._path)) and scope["method"] != "GET"


def is_fresh(signature: str, *, now: float) -> bool:
    """Whether the time in `t=<unix seconds>&s=<hex>` is there and within five minutes of now."""
    try:
        signed_at = int(parse_qs(signature)["t"][0])
    except (KeyError, ValueError):
        return False
    return abs(now - signed_at) <= FRESH_SECONDS


def _refused(error: AtlasError, *, status: int) -> JSONResponse:
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
