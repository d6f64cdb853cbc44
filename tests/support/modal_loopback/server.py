"""The stand-in as a server: gRPC for the SDK, HTTP for what is too big for it."""

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpclib.server
from aiohttp import web
from grpclib import GRPCError, Status
from grpclib.events import RecvRequest, listen
from modal._utils.grpc_utils import custom_detail_codec
from modal_proto import api_grpc, api_pb2

from modal_loopback.calls import Calls
from modal_loopback.containers import Containers, stop_containers
from modal_loopback.deploy import Deploy
from modal_loopback.session import Session, authenticate
from modal_loopback.state import Function, State, new_id

CLOSE_SECONDS = 2


class Handlers(Session, Deploy, Calls, Containers):
    """Every RPC that is answered, by its name."""

    def __init__(self, state: State) -> None:
        self.state = state


class LoopbackModal:
    """`async with LoopbackModal(tokens={"ak-x": "as-x"}) as modal: modal.register("app", "fn", callable)`."""

    def __init__(self, *, port: int = 0, tokens: dict[str, str] | None = None) -> None:
        self._port = port
        self._directory = tempfile.TemporaryDirectory(prefix="modal-loopback-")
        self.state = State(Path(self._directory.name).resolve(), tokens)

    @property
    def url(self) -> str:
        return self.state.url

    @property
    def connections(self) -> int:
        """How many connections of clients and containers are open."""
        self._server.__gc_collect__()
        return len(self._server._handlers)

    def register(
        self,
        app_name: str,
        name: str,
        handler: Callable[..., Any],
        *,
        timeout: int = 300,
        environment: str = "",
    ) -> None:
        """Offer a function that runs in this process; one of that name before is gone with its id."""
        app = self.state.app(app_name, environment)
        self.state.functions.pop(app.functions.get(name, ""), None)
        definition = api_pb2.Function(function_name=name, timeout_secs=timeout)
        function = Function(new_id("fu"), app.app_id, name, definition, handler)
        self.state.functions[function.function_id] = function
        app.functions[name] = function.function_id

    def register_class(self, app_name: str, name: str) -> None:
        """Offer a class of which nothing but its name is known."""
        self.state.app(app_name, "").classes[name] = new_id("cs")

    async def __aenter__(self) -> "LoopbackModal":
        await self._start_grpc()
        await self._start_blobs()
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_containers(self.state)
        self._server.close()
        with contextlib.suppress(asyncio.TimeoutError):  # a client that did not close its connection
            await asyncio.wait_for(self._server.wait_closed(), CLOSE_SECONDS)
        await self._blobs.cleanup()
        for task in list(self.state.tasks):
            task.cancel()
        await asyncio.gather(*self.state.tasks, return_exceptions=True)
        self._directory.cleanup()

    async def _start_grpc(self) -> None:
        self._server = grpclib.server.Server([_service(self.state)], status_details_codec=custom_detail_codec)

        async def received(event: RecvRequest) -> None:
            await authenticate(self.state, event)

        listen(self._server, RecvRequest, received)
        await self._server.start("127.0.0.1", self._port)
        assert self._server._server is not None
        self.state.url = f"http://127.0.0.1:{self._server._server.sockets[0].getsockname()[1]}"

    async def _start_blobs(self) -> None:
        blobs = self.state.blobs

        async def put(request: web.Request) -> web.Response:
            blobs[request.match_info["blob_id"]] = data = await request.read()
            return web.Response(headers={"ETag": hashlib.md5(data, usedforsecurity=False).hexdigest()})

        async def get(request: web.Request) -> web.Response:
            self.state.blob_reads += 1
            data = blobs.get(request.match_info["blob_id"])
            return web.Response(status=404) if data is None else web.Response(body=data)

        app = web.Application(client_max_size=1 << 30)
        app.add_routes([web.put("/{blob_id}", put), web.get("/{blob_id}", get)])
        self._blobs = web.AppRunner(app)
        await self._blobs.setup()
        await web.TCPSite(self._blobs, "127.0.0.1", 0).start()
        self.state.blob_url = f"http://127.0.0.1:{self._blobs.addresses[0][1]}"


def _service(state: State) -> Any:
    handlers = Handlers(state)
    names = api_grpc.ModalClientBase.__abstractmethods__
    rpcs = {name: _rpc(state, name, getattr(handlers, name, None)) for name in names}
    return type("Loopback", (api_grpc.ModalClientBase,), rpcs)()


def _rpc(state: State, name: str, handler: Callable[..., Any] | None) -> Callable[..., Any]:
    async def rpc(self: Any, stream: Any) -> None:
        state.rpcs[name] += 1
        request = await stream.recv_message()
        await asyncio.sleep(state.delays.get(name, 0))
        if name in state.throttled:
            policy = api_pb2.RPCRetryPolicy(retry_after_secs=0.2)
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "too many requests", [policy])
        if name in state.refused:
            raise GRPCError(state.refused[name], f"{name} is refused by this test")
        if handler is None:
            raise GRPCError(Status.UNIMPLEMENTED, f"the stand-in for Modal does not know {name}")
        await stream.send_message(await handler(request))

    return rpc
