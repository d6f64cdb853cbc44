"""An MCP server over HTTP by hand, inside the tests: what it lists and answers is theirs to say."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from gateway_process import WAIT_SECONDS, eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KINDS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
MODERN: dict[str, Any] = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}  # in each result
HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
    "serverInfo": {"name": "by hand", "version": "1"},
}


def tool(name: str, **said: Any) -> dict[str, Any]:
    """A tool, as a list has it."""
    return {"name": name, "inputSchema": {"type": "object"}} | said


class ByHand:
    """Lists what it has; `answer` may answer any request in another way, or return None."""

    def __init__(self, *, is_modern: bool = False, **lists: list[dict[str, Any]]) -> None:
        self.lists = lists
        self.is_modern = is_modern  # it speaks 2026-07-28, and shakes no hands
        self.came: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Response | dict[str, Any] | None] = lambda message: None
        self.asked: list[str] = []
        self.capabilities: dict[str, Any] = HELLO["capabilities"]
        self._server: uvicorn.Server | None = None

    async def _post(self, request: Request) -> Response:
        message = await request.json()
        self.asked.append(message.get("method", ""))
        self.came.append(message)
        if "id" not in message or "method" not in message:
            return Response(status_code=202, headers={"Connection": "close"})
        answer = self.answer(message)
        if isinstance(answer, Response):
            return answer
        method = message["method"]
        hello = HELLO | {"capabilities": self.capabilities}
        if answer is None and method == "server/discover" and self.is_modern:
            answer = {"result": {"supportedVersions": ["2026-07-28"]} | hello}
        elif answer is None and method == "initialize" and not self.is_modern:
            answer = {"result": hello}
        elif answer is None and method in KINDS:
            answer = {"result": {KINDS[method]: self.lists.get(KINDS[method], [])}}
        elif answer is None:
            answer = {"error": {"code": -32601, "message": "Method not found"}}
        # No socket is kept, so that each post of a client has to reach the server again.
        if self.is_modern and "result" in answer:
            answer = {"result": MODERN | answer["result"]}
        text = {"jsonrpc": "2.0", "id": message["id"]} | answer
        return JSONResponse(text, headers={"Connection": "close"})

    def leave(self) -> None:
        """Listen no more, and go on with what is open."""
        assert self._server is not None
        for one in self._server.servers:
            one.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, Any]]:
        """What stands in the file for it, while it listens."""
        async with posted_to(self._post, timeout_graceful_shutdown=0) as (self._server, entry):
            yield entry


@asynccontextmanager
async def posted_to(
    post: Callable[[Request], Awaitable[Response]],
    *,
    path: str = "/mcp",
    methods: Sequence[str] = ("POST",),
    **options: Any,
) -> AsyncIterator[tuple[uvicorn.Server, dict[str, Any]]]:
    """A server whose one endpoint is a function, and what stands in the file for it, while it listens."""
    app = Starlette(routes=[Route(path, post, methods=list(methods))])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", **options))
    serving = asyncio.create_task(server.serve())

    async def has_started() -> bool:
        return server.started

    try:
        await eventually(has_started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield server, {"url": f"http://127.0.0.1:{port}/mcp"}
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, WAIT_SECONDS)


def event(message: dict[str, Any]) -> bytes:
    """A message in an event stream."""
    return b"event: message\ndata: " + json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n\n"
