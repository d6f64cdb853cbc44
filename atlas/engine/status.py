"""The status API in REST: what became of events and runs, and cancelling a run by hand."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from atlas.engine.events import transact
from atlas.engine.runs import Status, end_run
from atlas.engine.served import Served, is_authorised
from atlas.engine.times import now, to_iso

_RUN = "SELECT run_id, function_id, event_id, status, output, started_at, ended_at FROM runs"
_EVENT = "SELECT event_id, body, received_at FROM events"
_MOST_LISTED = 100


def status_routes(engine: Served) -> list[Route]:
    """The routes of the status API."""
    api = _StatusApi(engine)
    return [
        Route("/v1/events", api.list_events),
        Route("/v1/events/{event_id}", api.read_event),
        Route("/v1/events/{event_id}/runs", api.list_runs),
        Route("/v1/runs/{run_id}", api.read_run, methods=["GET"]),
        Route("/v1/runs/{run_id}", api.cancel_run, methods=["DELETE"]),
    ]


class _StatusApi:
    def __init__(self, engine: Served) -> None:
        self._engine = engine

    async def list_events(self, request: Request) -> Response:
        limit, name = request.query_params.get("limit", "20"), request.query_params.get("name")
        is_number = limit.isdecimal() and len(limit) < 10  # Python makes no number of very many digits
        most = min(int(limit), _MOST_LISTED) if is_number else _MOST_LISTED
        statement = f"{_EVENT} WHERE name = ifnull(?, name) ORDER BY event_id DESC LIMIT ?"
        return self._respond(request, statement, name, most, is_list=True)

    async def read_event(self, request: Request) -> Response:
        return self._respond(request, f"{_EVENT} WHERE event_id = ?", self._id(request, "event_id"))

    async def list_runs(self, request: Request) -> Response:
        event_id = self._id(request, "event_id")
        return self._respond(request, f"{_RUN} WHERE event_id = ?", event_id, is_list=True)

    async def read_run(self, request: Request) -> Response:
        return self._respond(request, f"{_RUN} WHERE run_id = ?", self._id(request, "run_id"))

    async def cancel_run(self, request: Request) -> Response:
        if not is_authorised(self._engine, request):
            return _unauthorised()
        run_id = self._id(request, "run_id")
        work = transact(lambda tx: end_run(tx, run_id, Status.CANCELLED, "null"), self._engine.functions)
        if await self._engine.store.write(work):
            return Response(status_code=204)
        body = {"error": "There is no such run, or it has ended.", "status": 404}
        return JSONResponse(body, status_code=404)

    def _id(self, request: Request, name: str) -> str:
        return str(request.path_params[name])

    def _respond(self, request: Request, statement: str, *values: object, is_list: bool = False) -> Response:
        if not is_authorised(self._engine, request):
            return _unauthorised()
        rows = self._engine.store.reader.execute(statement, values).fetchall()
        if not rows and not is_list:
            return JSONResponse({"error": "Not found", "status": 404}, status_code=404)
        found = [
            _describe_event(*row) if statement.startswith(_EVENT) else _describe_run(row) for row in rows
        ]
        body = {"data": found if is_list else found[0], "metadata": {"fetched_at": to_iso(now())}}
        return JSONResponse(body)


def _describe_event(event_id: str, body: str, received_at: int) -> dict[str, Any]:
    return {**json.loads(body), "internal_id": event_id, "received_at": to_iso(received_at)}


def _describe_run(row: tuple[Any, ...]) -> dict[str, Any]:
    run_id, function_id, event_id, status, output, started_at, ended_at = row
    described = {
        "run_id": run_id,
        "run_started_at": to_iso(started_at),
        "function_id": function_id,
        "event_id": event_id,
        "status": status.capitalize(),
        "ended_at": None if ended_at is None else to_iso(ended_at),
    }
    if ended_at is not None:
        described["output"] = json.loads(output)
    return described


def _unauthorised() -> Response:
    return JSONResponse({"error": "Authentication failed"}, status_code=401)
