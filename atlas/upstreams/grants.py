"""Asks authorization servers for tokens: for a sign-in, for client credentials, and for a renewal.

What is discovered (RFC 9728, RFC 8414) and how a request is formed comes from the MCP SDK.
"""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.oauth2 import OAuthContext
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import ValidationError

from atlas.models import plain_text
from atlas.outside.beginnings import beginning_of
from atlas.proxies import proxy_of
from atlas.settings import variables
from atlas.upstreams.config import Transport, UpstreamConfig
from atlas.upstreams.tls import tls_context
from atlas.upstreams.tokens import Grant, ends_at, place_of

TIMEOUT = httpx2.Timeout(30.0)
LONGEST_ANSWER = 1024 * 1024
OVER = frozenset(("invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope"))
VERSION = "2025-11-25"
HANDSHAKE = {
    "protocolVersion": VERSION,
    "capabilities": {},
    "clientInfo": {"name": "ATLAS Governance Gateway", "version": "1"},
}
# The SDK logs the answers that it cannot read, with tokens in them.
logging.getLogger("mcp.client.auth.oauth2").setLevel(logging.CRITICAL + 1)


class NotGranted(Exception):
    """An authorization server gave no token; its words are the end of a sentence."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final  # what was shown is worth nothing any more


@dataclass
class Held:
    """What the SDK keeps during one flow."""

    client: OAuthClientInformationFull | None = None
    token: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Where the SDK looks for a token."""
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Where the SDK leaves a token."""
        self.token = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Where the SDK looks for the client."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Where the SDK leaves the client that it registered."""
        self.client = client_info


class EachByItsProxy(httpx2.AsyncBaseTransport):
    """Sends each request as the one rule about proxies says; answers are bounded, redirects not followed."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request on a connection of its own, and read the beginning of the answer."""
        proxy = proxy_of(str(request.url), variables())
        # The SDK makes requests of its own in a flow, and gives them no time.
        request.extensions.setdefault("timeout", TIMEOUT.as_dict())
        async with httpx2.AsyncHTTPTransport(verify=tls_context(), proxy=proxy) as sockets:
            request.headers["Accept-Encoding"] = "identity"
            response = await sockets.handle_async_request(request)
            content = b"" if _is_stream(response) else await _read(response)
            return httpx2.Response(response.status_code, headers=response.headers, content=content)


def _is_stream(response: httpx2.Response) -> bool:
    return response.headers.get("Content-Type", "").startswith("text/event-stream")


async def _read(response: httpx2.Response) -> bytes:
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101  (the transport is asynchronous)
    content = await beginning_of(response.stream, most=LONGEST_ANSWER + 1)
    if len(content) > LONGEST_ANSWER:
        raise httpx2.ReadError("the answer is too long")
    return content


async def discovered(config: UpstreamConfig, provider: OAuthClientProvider) -> Grant:
    """Ask the server without a token, and walk the way to one that its answer begins; raises NotGranted."""
    headers = dict(config.headers) | {"Accept": "application/json, text/event-stream"}
    headers["MCP-Protocol-Version"] = VERSION
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE}
    is_sse = config.way is Transport.SSE
    request = httpx2.Request(
        "GET" if is_sse else "POST", config.url, headers=headers, json=None if is_sse else message
    )
    async with httpx2.AsyncClient(auth=provider, transport=EachByItsProxy(), timeout=TIMEOUT) as client:
        response = await client.send(request)
    if provider.context.current_tokens is None:
        raise NotGranted(f"the server answered HTTP {response.status_code} and asks for no sign-in")
    if response.status_code == 401:
        raise NotGranted("the server does not take the token of its own authorization server")
    return _harvested(config, provider)


def _harvested(config: UpstreamConfig, provider: OAuthClientProvider) -> Grant:
    context = provider.context
    token_url = provider._get_token_endpoint()
    refuse_in_clear(config, token_url)
    token = context.current_tokens
    assert token is not None and context.client_info is not None  # noqa: S101  (the flow ended with one)
    return Grant(
        url=place_of(config.url),
        token_url=token_url,
        resource=context.get_resource_url(),
        client=context.client_info,
        access_token=token.access_token,
        refresh_token=token.refresh_token,
        expires_at=ends_at(token),
        scope=token.scope,
    )


def refuse_in_clear(config: UpstreamConfig, url: str) -> None:
    """Raise NotGranted where a server that is reached by TLS names an address that is not."""
    if config.url.startswith("https:") and not url.startswith("https:"):
        raise NotGranted("its authorization server has an address without https")


def hold_to_file(provider: OAuthClientProvider, config: UpstreamConfig) -> None:
    """Before the token is asked for: the scopes of the file count, and TLS. Raises NotGranted."""
    refuse_in_clear(config, provider._get_token_endpoint())
    if config.auth is not None and config.auth.scopes:
        provider.context.client_metadata.scope = config.auth.scopes


async def renewed(grant: Grant) -> Grant:
    """Use the refresh token; raises NotGranted. The one before may be worth nothing afterwards."""
    data = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token or ""}
    token = await _asked(grant.token_url, grant.client, data, grant.resource)
    return grant.renewed(token)


async def by_credentials(config: UpstreamConfig) -> Grant:
    """Ask for a token with the client credentials of the file; raises NotGranted."""
    auth = config.auth
    assert auth is not None and auth.client_id and auth.client_secret  # noqa: S101  (the file has been checked)
    if auth.token_url is None:
        return await discovered(config, WithCredentials(config))
    client = OAuthClientInformationFull(
        redirect_uris=None,
        client_id=auth.client_id,
        client_secret=auth.client_secret.get_secret_value(),
        grant_types=["client_credentials"],
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106  (the name of a method)
    )
    data = {"grant_type": "client_credentials"} | ({"scope": auth.scopes} if auth.scopes else {})
    token = await _asked(auth.token_url, client, data, place_of(config.url))
    return Grant(
        url=place_of(config.url),
        token_url=auth.token_url,
        client=client,
        access_token=token.access_token,
        expires_at=ends_at(token),
    )


class WithCredentials(ClientCredentialsOAuthProvider):
    """The SDK's flow, with the scopes of the file before those that the server names."""

    def __init__(self, config: UpstreamConfig) -> None:
        auth = config.auth
        assert auth is not None and auth.client_id and auth.client_secret  # noqa: S101  (as above)
        self._config = config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a file without an issuer, as the docs say
            super().__init__(
                config.url,
                Held(),
                auth.client_id,
                auth.client_secret.get_secret_value(),
                scope=auth.scopes,
                issuer=auth.issuer,
            )

    async def _perform_authorization(self) -> httpx2.Request:
        hold_to_file(self, self._config)
        return await super()._perform_authorization()


async def _asked(
    url: str, client: OAuthClientInformationFull, data: dict[str, str], resource: str | None
) -> OAuthToken:
    context = OAuthContext(
        url, OAuthClientMetadata(redirect_uris=None), Held(), None, None, client_info=client
    )
    form = data | ({"resource": resource} if resource else {}) | {"client_id": client.client_id or ""}
    form, headers = context.prepare_token_auth(form, {})
    try:
        async with httpx2.AsyncClient(transport=EachByItsProxy(), timeout=TIMEOUT) as sender:
            response = await sender.post(url, data=form, headers=headers)
    except httpx2.HTTPError as error:
        raise NotGranted(f"its authorization server cannot be reached ({type(error).__name__})") from None
    if response.status_code not in (200, 201):
        said = _error_in(response)
        note = f" ({said})" if said else ""
        raise NotGranted(
            f"its authorization server answered HTTP {response.status_code}{note}", is_final=said in OVER
        )
    try:
        return OAuthToken.model_validate_json(response.content)
    except ValidationError:
        raise NotGranted("the answer of its authorization server is no token") from None


def _error_in(response: httpx2.Response) -> str:
    try:
        body: Any = response.json()
    except ValueError:
        return ""
    said = body.get("error") if isinstance(body, dict) else None
    return plain_text(said)[:40] if isinstance(said, str) else ""
