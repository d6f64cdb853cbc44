"""An MCP server that wants OAuth, with its own authorization server: real PKCE, registration and rotation."""

import asyncio
import base64
import json
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.auth import AccessToken, ClientRegistrationOptions, RemoteAuthProvider, TokenVerifier
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from gateway_process import START_SECONDS, WAIT_SECONDS, eventually
from nursery import forked
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

PATHS = {"http": "/mcp", "sse": "/sse"}
ROOT = Path(__file__).parents[2]
LOGIN = Path(__file__).with_name("login.py")


class Authority(InMemoryOAuthProvider):
    """Gives tokens, ends them when a test says so, and notes what it was asked for."""

    def __init__(self, url: str) -> None:
        registration = ClientRegistrationOptions(enabled=True, valid_scopes=["notes"])
        super().__init__(base_url=url, required_scopes=["notes"], client_registration_options=registration)
        self.resources: list[str | None] = []
        self.renewals = 0
        self.unknown = 0  # refresh tokens that were shown and are not known: spent before, or made up
        self.given: list[str] = []

    async def authorize(self, client: Any, params: Any) -> str:
        self.resources.append(params.resource)
        return await super().authorize(client, params)

    async def load_refresh_token(self, client: Any, refresh_token: str) -> Any:
        found = await super().load_refresh_token(client, refresh_token)
        self.unknown += found is None
        return found

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> Any:
        self.renewals += 1
        await asyncio.sleep(0)
        return self._noted(await super().exchange_refresh_token(client, refresh_token, scopes))

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> Any:
        return self._noted(await super().exchange_authorization_code(client, authorization_code))

    def _noted(self, token: Any) -> Any:
        self.given += [token.access_token, token.refresh_token]
        return token

    def end_access(self) -> None:
        """Take no access token any more that was given until now."""
        self.access_tokens.clear()

    def revoke(self) -> None:
        """Take no token any more that was given until now."""
        self.end_access()
        self.refresh_tokens.clear()


class SigningServer:
    """The server, its authorization server and the calls it got."""

    def __init__(self, url: str, authority: Any, way: str = "http") -> None:
        self.url = url
        self.way = way
        self.authority = authority
        self.calls: list[str] = []
        self.server = FastMCP("signing", auth=authority)
        self.server.tool(self._note, name="note")

    def _note(self, text: str) -> str:
        self.calls.append(text)
        return f"noted {text}"

    @property
    def entry(self) -> dict[str, Any]:
        """What stands in the file for it."""
        return {"url": f"{self.url}{PATHS[self.way]}"}


@asynccontextmanager
async def served(app_of: Any) -> AsyncIterator[Any]:
    """Serve on a free port; `app_of` gets the URL, and gives what is yielded and the app."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    made, app = app_of(f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:

        async def is_up() -> bool:
            return server.started

        await eventually(is_up)
        yield made
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, WAIT_SECONDS)


@asynccontextmanager
async def signing_server(way: str = "http") -> AsyncIterator[SigningServer]:
    """The server, in the process of the test."""

    def made(url: str) -> tuple[SigningServer, Any]:
        one = SigningServer(url, Authority(url), way)
        return one, one.server.http_app(transport="sse" if way == "sse" else "http")

    async with served(made) as one:
        yield one


class Machines(TokenVerifier):
    """An authorization server by hand for clients that are programs (RFC 6749, section 4.4)."""

    CLIENT, SECRET = "gateway", "secret of the gateway %&:"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.asked: list[dict[str, str]] = []
        self.good: set[str] = set()
        self.seconds = 3600

    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in self.good:
            return None
        return AccessToken(token=token, client_id=self.CLIENT, scopes=[])

    async def describe(self, request: Request) -> Response:
        """RFC 8414."""
        endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
        return JSONResponse({"issuer": f"{self.url}/", "response_types_supported": ["code"]} | endpoints)

    async def give(self, request: Request) -> Response:
        """A token, to a client whose secret is right."""
        self.asked.append({key: str(value) for key, value in (await request.form()).items()})
        said = base64.b64decode(request.headers.get("Authorization", "Basic ").split()[1:2][0]).decode()
        if [httpx.QueryParams(f"x={part}")["x"] for part in said.split(":")] != [self.CLIENT, self.SECRET]:
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        token = secrets.token_hex(16)
        self.good.add(token)
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": self.seconds})


@asynccontextmanager
async def machine_server() -> AsyncIterator[SigningServer]:
    """A server whose clients are programs."""

    def made(url: str) -> tuple[SigningServer, Any]:
        machines = Machines(url)
        guard = RemoteAuthProvider(machines, authorization_servers=[AnyHttpUrl(url)], base_url=url)
        one = SigningServer(url, guard)
        one.authority = machines
        metadata = "/.well-known/oauth-authorization-server"
        one.server.custom_route(metadata, methods=["GET"])(machines.describe)
        one.server.custom_route("/token", methods=["POST"])(machines.give)
        return one, one.server.http_app()

    async with served(made) as one:
        yield one


async def signed_in(data: Path, *said: str, **entries: dict[str, Any]) -> tuple[int, str]:
    """Run the command, open the address it prints as a browser would; returns its status and its words."""
    file = data.parent / "login.json"
    file.write_text(json.dumps({"mcpServers": entries}))
    settings = {"ATLAS_DATA_DIR": str(data), "ATLAS_MCP_CONFIG": str(file), "PYTHONPATH": str(ROOT)}
    log = data.parent / "login.log"
    arguments = ("login", *(said or ("far",)))
    environment = os.environ | settings
    process = await forked(LOGIN, *arguments, directory=data.parent, log=log, environment=environment)
    opened: list[str] = []

    async def is_over() -> bool:
        is_ended = process.returncode is not None
        found = re.findall(r"^  (http://\S+)$", log.read_text(), re.MULTILINE)
        if found and not opened:
            opened.extend(found)
            async with httpx.AsyncClient(follow_redirects=True, timeout=WAIT_SECONDS) as browser:
                await browser.get(found[0])
        return is_ended

    try:
        await eventually(is_over, seconds=START_SECONDS)
        return await process.wait(), log.read_text()
    finally:
        process.kill()
