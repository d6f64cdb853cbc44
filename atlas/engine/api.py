"""The HTTP API for apps and their SDKs: events, registration, and states too large for a call."""

import json
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from atlas.engine.errors import ConfigurationRefused, EngineError, EventRefused, NotJson
from atlas.engine.events import Event, parse_events, receive_events, transact
from atlas.engine.json_text import parse_json
from atlas.engine.queries import query_routes
from atlas.engine.served import Served, is_authorised, read_body
from atlas.engine.status import status_routes
from atlas.engine.ulids import seeded_ulids

VERSION = "atlas"  # where Inngest's servers tell theirs


def build_app(engine: Served) -> Starlette:
    """The ASGI app of an engine."""
    api = _Api(engine)
    routes = [
        Route("/e/{event_key}", api.receive_events, methods=["POST"]),
        Route("/fn/register", api.register, methods=["POST", "PUT"]),
        Route("/v0/runs/{run_id}/batch", api.read_batch),
        Route("/v0/runs/{run_id}/actions", api.read_actions),
        Route("/health", api.report_health),
        Route("/dev", api.describe),
        *status_routes(engine),
        *query_routes(engine),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        EngineError: api.report_error,
        sqlite3.Error: api.report_error,
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class _Api:
    def __init__(self, engine: Served) -> None:
        self._engine = engine

    async def receive_events(self, request: Request) -> Response:
        keys = self._engine.keys
        if keys is not None and not keys.is_event_key(request.path_params["event_key"]):
            return self._respond(401, {"status": 401, "message": "", "error": "Event key not found"})
        try:
            events = await self._read_events(request)
        except EventRefused as error:
            return self._respond(400, {"ids": [""], "status": 400, "error": str(error)})
        work = transact(lambda tx: receive_events(tx, events), self._engine.functions)
        await self._engine.store.write(work)
        return self._respond(200, {"ids": [event.event_id for event in events], "status": 200})

    async def _read_events(self, request: Request) -> list[Event]:
        seed = request.headers.get("x-inngest-event-id-seed")
        return parse_events(await read_body(request), lambda count: seeded_ulids(seed, count))

    async def register(self, request: Request) -> Response:
        if not is_authorised(self._engine, request):
            return self._respond(401, {"error": "Authentication failed"})
        expected = request.headers.get("x-inngest-expected-server-kind", self._engine.kind)
        if expected != self._engine.kind:
            return self._respond(400, {"error": f"Expected server kind {self._engine.kind}, got {expected}"})
        try:
            body = parse_json(await read_body(request))
            app, is_modified = await self._engine.register(body if isinstance(body, dict) else {})
        except (ConfigurationRefused, NotJson, EventRefused) as error:
            return self._respond(400, {"error": str(error)})
        ids = {"sync_id": str(uuid.uuid4()), "app_id": str(uuid.uuid5(uuid.NAMESPACE_OID, app))}
        return self._respond(200, {"ok": True, "modified": is_modified, **ids})

    async def read_batch(self, request: Request) -> Response:
        rows = self._read(request, "SELECT body FROM runs JOIN events USING (event_id) WHERE run_id = ?")
        return self._respond_text(rows, lambda bodies: "[" + ",".join(body for (body,) in bodies) + "]")

    async def read_actions(self, request: Request) -> Response:
        found = self._read(request, "SELECT run_id FROM runs WHERE run_id = ?")
        memos = self._read(request, "SELECT step_id, memo FROM memos WHERE run_id = ? ORDER BY position")
        write = ",".join(f"{json.dumps(step_id)}:{memo}" for step_id, memo in memos or [])
        return self._respond_text(found, lambda _: "{" + write + "}")

    async def report_health(self, request: Request) -> Response:
        problem = self._engine.problem
        status = 200 if problem is None else 503
        return self._respond(status, {"status": status, "message": problem or "OK", "version": VERSION})

    async def describe(self, request: Request) -> Response:
        # SDKs look here for a Dev Server; Inngest's other servers have nothing here either.
        if self._engine.keys is not None:
            return self._respond(404, {"error": "Not found", "status": 404})
        functions = [
            {"id": function.function_id, "name": function.name, "url": function.url}
            for function in self._engine.functions.values()
        ]
        return self._respond(200, {"version": VERSION, "functions": functions, "handlers": []})

    async def report_error(self, request: Request, error: Exception) -> Response:
        self._engine.store.note(error)
        return self._respond(500, {"ids": [], "status": 500, "error": str(error)})

    def _read(self, request: Request, statement: str) -> list[tuple[str, ...]] | None:
        if not is_authorised(self._engine, request):
            return None
        rows = self._engine.store.reader.execute(statement, (request.path_params["run_id"],))
        return rows.fetchall()

    def _respond_text(
        self, rows: list[tuple[str, ...]] | None, write: Callable[[list[tuple[str, ...]]], str]
    ) -> Response:
        if rows is None:
            return self._respond(401, {"error": "Authentication failed"})
        if not rows:
            return self._respond(404, {"error": "There is no such run."})
        return Response(write(rows), media_type="application/json", headers=self._headers())

    def _respond(self, status: int, body: dict[str, Any]) -> Response:
        return JSONResponse(body, status_code=status, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"x-inngest-server-kind": self._engine.kind}
