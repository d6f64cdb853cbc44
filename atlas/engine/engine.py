"""The engine: store, executor and ASGI app, built and ended together."""

import datetime
import json
import pathlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
import jcs

from atlas.engine.api import build_app
from atlas.engine.calls import AnswerTooLarge, send
from atlas.engine.errors import AppUnreachable, SyncRefused
from atlas.engine.executor import Executor
from atlas.engine.functions import Function
from atlas.engine.history import MONTH, History
from atlas.engine.keys import EngineKeys
from atlas.engine.network import AppTransport
from atlas.engine.registration import load_functions, register
from atlas.engine.store import Store

_SYNC_TIMEOUTS = {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}


class Engine:
    """Receives events and runs the functions of apps synced with it; without keys, for development."""

    def __init__(
        self,
        path: pathlib.Path,
        *,
        keys: EngineKeys | None,
        transport: httpx.AsyncBaseTransport | None = None,
        retention: datetime.timedelta = MONTH,
    ) -> None:
        self.keys = keys
        self.functions: Mapping[str, Function] = {}
        self.is_running = False
        self._registrations = 0
        self._transport = transport or AppTransport()
        self.store = Store(path, on_commit=self._wake)
        self._history = History(retention)
        self._executor: Executor | None = None
        self.app = build_app(self)

    @property
    def kind(self) -> str:
        """The server kind apps are told: `dev` without keys, else `cloud`."""
        return "dev" if self.keys is None else "cloud"

    @property
    def problem(self) -> str | None:
        """Why nothing goes on at the moment, in a sentence, or None."""
        if not self.is_running:
            return "The engine has stopped."
        stuck = None if self._executor is None else self._executor.problem
        return self.store.damage or self.store.problem or stuck

    async def __aenter__(self) -> "Engine":
        await self.store.open()
        try:
            self.functions = load_functions(self.store.reader)
        except BaseException:
            await self.store.close()
            raise
        self._executor = Executor(
            self.store,
            functions=lambda: self.functions,
            transport=self._transport,
            keys=self.keys,
            history=self._history,
        )
        self._executor.start()
        self.is_running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_running = False
        if self._executor is not None:
            await self._executor.stop()
        await self.store.close()
        if isinstance(self._transport, AppTransport):
            await self._transport.aclose()

    async def sync(self, url: str) -> None:
        """Have the app at the URL register its functions; raises SyncRefused if that fails."""
        before = self._registrations
        try:
            status, _, body = await send(self._transport, self._sync_request(url))
        except AnswerTooLarge as error:
            raise SyncRefused(f"The app at {url} gave an answer that is too large.") from error
        except AppUnreachable as error:
            raise SyncRefused(f"The app at {url} can't be reached: {error}") from error
        except Exception as error:  # an app in this process can raise anything
            raise SyncRefused(
                f"The app at {url} can't be reached: {type(error).__name__}: {error}."
            ) from error
        reason = _reason(body)
        if status != 200 or reason:  # the SDK answers 200 even when this engine has refused the registration
            raise SyncRefused(f"The app at {url} could not be synced ({status}): {reason}")
        if self._registrations == before:
            raise SyncRefused(f"The app at {url} has registered with another server than this engine.")

    async def register(self, body: dict[str, Any]) -> tuple[str, bool]:
        """Replace the functions of an app; returns its name and whether that changed anything."""
        app, is_modified = await self.store.write(lambda connection: register(connection, body))
        self.functions = load_functions(self.store.reader)
        self._registrations += 1
        self._wake()
        return app, is_modified

    def _sync_request(self, url: str) -> httpx.Request:
        body = jcs.canonicalize({"url": url})
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "x-inngest-server-kind": self.kind,
            "user-agent": "Inngest",
        }
        if self.keys is not None:
            headers["x-inngest-signature"] = self.keys.sign(body)
        return httpx.Request(
            "PUT", url, headers=headers, content=body, extensions={"timeout": _SYNC_TIMEOUTS}
        )

    def _wake(self) -> None:
        if self._executor is not None:
            self._executor.wake()


def _reason(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer.get("error") or answer.get("message") or "")
    except (ValueError, AttributeError):
        return body[:200].decode("utf-8", "replace")
