"""The Inngest server that runs the workflow: the embedded engine, a Dev Server, or Inngest itself."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import inngest
import jcs
from inngest._internal.net import ThreadAwareAsyncHTTPClient
from starlette.types import ASGIApp

from atlas.database.sqlite.data_directory import require_writable
from atlas.engine import Engine, EngineKeys
from atlas.engine.errors import KeysUnusable
from atlas.engine.keys import sign
from atlas.errors import DataDirectoryUnusable, ProxyUnusable
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables
from atlas.settings.inngest import EngineKind
from atlas.workflow.canonical_form import quicken_sdk
from atlas.workflow.freshness import SIGNATURE_HEADER
from atlas.workflow.in_process import attach_in_process

APP_ID = "atlas-governance-gateway"
SERVE_PATH = "/api/inngest"
REQUEST_TIMEOUT_MS = 5000
SYNC_AGAIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


def engine_keys_path(settings: Settings) -> Path:
    """Where the embedded engine's keys are kept."""
    return settings.atlas_data_dir / "engine.keys"


def create_client(settings: Settings) -> inngest.Inngest:
    """The client of the Inngest server that the settings ask for; opens no connection.

    Leaves the process with a sentence if the embedded engine's keys cannot be read.
    """
    quicken_sdk()
    if settings.atlas_data_dir.exists():
        try:  # before a file that another user owns is taken for a damaged one
            require_writable(settings.atlas_data_dir)
        except DataDirectoryUnusable as error:
            raise SystemExit(f"The gateway does not start: {error}") from None
    if settings.engine_kind is EngineKind.EMBEDDED:
        try:
            keys = EngineKeys.load_or_draw(engine_keys_path(settings))
        except KeysUnusable as error:
            remedy = "Put it back, or remove it to have new ones drawn."
            raise SystemExit(f"The gateway does not start: {error} {remedy}") from None
        with trusting_no_server():
            return _client(
                app_id=APP_ID,
                is_production=True,
                event_key=keys.event_key,
                signing_key=keys.signing_key,
                api_base_url="http://127.0.0.1:1",  # never dialled: see attach_in_process
                event_api_base_url="http://127.0.0.1:1",
                request_timeout=REQUEST_TIMEOUT_MS,
            )
    if fallback := _secret(settings.inngest_signing_key_fallback):
        os.environ["INNGEST_SIGNING_KEY_FALLBACK"] = fallback  # where alone the SDK looks; .env is not there
    client = _client(
        app_id=APP_ID,
        is_production=settings.engine_kind is EngineKind.INNGEST,
        event_key=_secret(settings.inngest_event_key),
        signing_key=_secret(settings.inngest_signing_key),
        api_base_url=settings.inngest_url,
        event_api_base_url=settings.inngest_url,
        request_timeout=REQUEST_TIMEOUT_MS,
    )
    try:
        take_proxies(client)
    except ProxyUnusable as error:
        raise SystemExit(f"The gateway does not start: {error}") from None
    return client


def _client(**given: Any) -> inngest.Inngest:
    """The SDK's client, which takes the proxy of the environment for itself; `take_proxies` gives it ours."""
    try:
        return inngest.Inngest(**given)
    except (ImportError, ValueError):  # SOCKS, and what is no URL
        named = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"
        raise SystemExit(f"The gateway does not start: {named} is no URL of an HTTP proxy.") from None


def take_proxies(client: inngest.Inngest) -> None:
    """Let a client reach its server by the rule of all clients of ours; the SDK's own knows no loopback."""
    origins = (client.api_origin, client.event_api_origin)
    proxies = {f"all://{httpx.URL(one).host}": proxy_of(one, variables()) for one in origins}
    ways = {host: httpx.AsyncHTTPTransport(proxy=proxy) for host, proxy in proxies.items()}
    sync_ways = {host: httpx.HTTPTransport(proxy=proxy) for host, proxy in proxies.items()}
    inner = client._http_client
    inner._http_client = ThreadAwareAsyncHTTPClient(mounts=ways, trust_env=False).initialize()
    inner._http_client_sync = httpx.Client(mounts=sync_ways, trust_env=False)


@contextmanager
def trusting_no_server() -> Iterator[None]:
    """Let httpx make clients that trust no certificate, so that they need not read all that others trust.

    The SDK makes two clients at once, and nothing dials them where the engine is in this process: this saves
    55 ms and 2 MB. One that was dialled would refuse the server. Where httpx has no such function any more,
    the certificates are read.
    """
    clients: Any = httpx._transports.default
    make_context = getattr(clients, "create_ssl_context", None)
    if make_context is None:
        yield
        return
    clients.create_ssl_context = lambda **_: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        yield
    finally:
        clients.create_ssl_context = make_context


class InngestServer:
    """Starts the server if it is ours, and keeps this gateway's functions registered with it."""

    def __init__(self, settings: Settings, client: inngest.Inngest) -> None:
        self._settings = settings
        self._client = client
        self._engine: Engine | None = None
        self.problem: str | None = "not registered yet"

    @property
    def name(self) -> str:
        """Which server it is, in words for start-up and /readyz."""
        if self._settings.engine_kind is EngineKind.EMBEDDED:
            return "embedded"
        return f"{self._settings.engine_kind.value} at {self._client.event_api_origin}"

    @asynccontextmanager
    async def run(self, app: ASGIApp, *, url: str) -> AsyncIterator[None]:
        """Run or reach the server while `app` serves SERVE_PATH to us, and to others at `url`."""
        if self._settings.engine_kind is EngineKind.EMBEDDED:
            async with self._embedded(app) as engine:
                await engine.sync(url + SERVE_PATH)
                self.problem = None
                yield
            return
        task = asyncio.create_task(self._stay_registered(app, url))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def health(self) -> str | None:
        """Why the workflow does not run at the moment, or None."""
        return (self._engine.problem if self._engine is not None else None) or self.problem

    @asynccontextmanager
    async def _embedded(self, app: ASGIApp) -> AsyncIterator[Engine]:
        keys = EngineKeys(event_key=str(self._client.event_key), signing_key=str(self._client.signing_key))
        keys.save(engine_keys_path(self._settings))
        path = self._settings.atlas_data_dir / "engine.db"
        retention = self._settings.atlas_engine_retention
        self._engine = Engine(path, keys=keys, transport=httpx.ASGITransport(app), retention=retention)
        async with self._engine as engine:
            attach_in_process(self._client, engine.app)
            yield engine

    async def _stay_registered(self, app: ASGIApp, url: str) -> None:
        """Ask our own endpoint to register with the server until the server has accepted it."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url, timeout=40) as client:
            while self.problem is not None:
                self.problem = await self._register(client)
                if self.problem is not None:
                    await asyncio.sleep(SYNC_AGAIN_SECONDS)
        logger.info("Registered with the Inngest server")

    async def _register(self, client: httpx.AsyncClient) -> str | None:
        body = jcs.canonicalize({"url": str(client.base_url).rstrip("/") + SERVE_PATH})
        key = _secret(self._settings.inngest_signing_key)
        headers = {"content-type": "application/json"}
        if key is not None and self._settings.engine_kind is EngineKind.INNGEST:
            headers[SIGNATURE_HEADER] = sign(body, key)
        try:
            response = await client.put(SERVE_PATH, content=body, headers=headers)
        except Exception as error:
            return f"registration failed: {type(error).__name__}"
        return None if _is_accepted(response) else f"registration was refused: {response.text[:200]}"


def _is_accepted(response: httpx.Response) -> bool:
    # The SDK answers 200 also when the server refused: only the body that it passes on tells.
    try:
        return response.is_success and response.json().get("ok") is True
    except ValueError:
        return False


def _secret(value: object) -> str | None:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else None
