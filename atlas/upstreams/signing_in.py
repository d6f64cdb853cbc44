"""Lets a person sign in at the authorization server of a server behind the gateway.

It is the authorization code flow with PKCE, dynamic registration and resource indicators, from the MCP SDK.
"""

import asyncio
import socket
from collections.abc import Callable

import httpx2
from fastmcp.client.oauth_callback import OAuthCallbackResult, create_oauth_callback_server
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl

from atlas.upstreams.config import UpstreamConfig
from atlas.upstreams.grants import Held, NotGranted, discovered, hold_to_file
from atlas.upstreams.tokens import Grant

HOST = "127.0.0.1"
WAIT_SECONDS = 600.0  # for a person


class SignIn(OAuthClientProvider):
    """The SDK's flow, with what the file says of client and scopes."""

    def __init__(self, config: UpstreamConfig, show: Callable[[str], None], listener: socket.socket) -> None:
        self._config = config
        self._show = show
        self._listener = listener
        metadata = _client_of(config, listener)
        super().__init__(
            config.url, metadata, Held(_known_client(config, metadata)), self._shown, self._redirected
        )

    async def _perform_authorization(self) -> httpx2.Request:
        hold_to_file(self, self._config)
        return await super()._perform_authorization()

    async def _shown(self, url: str) -> None:
        self._show(url)

    async def _redirected(self) -> AuthorizationCodeResult:
        """Wait on the loopback port for the person's browser to come back."""
        came, result = asyncio.Event(), OAuthCallbackResult()
        # uvicorn awaits nothing of the event but its being set
        server = create_oauth_callback_server(0, HOST, result_container=result, result_ready=came)  # type: ignore[arg-type]
        serving = asyncio.ensure_future(server.serve(sockets=[self._listener]))
        try:
            await asyncio.wait_for(came.wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            raise NotGranted(f"no one came back within {WAIT_SECONDS:.0f} seconds") from None
        finally:
            server.should_exit = True
            await serving
        if result.error is not None or result.code is None:
            raise NotGranted(str(result.error or "no code came back"))
        return AuthorizationCodeResult(code=result.code, state=result.state, iss=result.iss)


def _client_of(config: UpstreamConfig, listener: socket.socket) -> OAuthClientMetadata:
    return OAuthClientMetadata(
        client_name="ATLAS Governance Gateway",
        redirect_uris=[AnyUrl(f"http://{HOST}:{listener.getsockname()[1]}/callback")],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",  # noqa: S106  (the name of a method)
        scope=config.auth.scopes if config.auth else None,
    )


def _known_client(config: UpstreamConfig, metadata: OAuthClientMetadata) -> OAuthClientInformationFull | None:
    """The client that the file names; without one, the authorization server registers one."""
    auth = config.auth
    if auth is None or auth.client_id is None:
        return None
    secret = auth.client_secret.get_secret_value() if auth.client_secret else None
    method = "client_secret_post" if secret else "none"
    said = metadata.model_dump() | {"token_endpoint_auth_method": method}
    return OAuthClientInformationFull(client_id=auth.client_id, client_secret=secret, **said)


async def sign_in(config: UpstreamConfig, show: Callable[[str], None], *, port: int = 0) -> Grant:
    """Show a person where to sign in, and wait. Raises NotGranted, and what the SDK and sockets raise."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()  # a browser that is quick is waited with, and not refused
        return await discovered(config, SignIn(config, show, listener))
