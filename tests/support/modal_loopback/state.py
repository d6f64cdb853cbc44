"""What the stand-in knows: apps, functions, calls, inputs, files."""

import asyncio
import os
import secrets
import string
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpclib import GRPCError, Status
from modal_proto import api_pb2

ALPHABET = string.ascii_letters + string.digits
BLOB_BYTES = 2 * 1024 * 1024  # as on Modal: what is bigger travels by HTTP


def new_id(prefix: str) -> str:
    return f"{prefix}-" + "".join(secrets.choice(ALPHABET) for _ in range(22))


def not_found(message: str, details: Any = None) -> GRPCError:
    return GRPCError(Status.NOT_FOUND, message, details)


@dataclass(frozen=True)
class Raw:
    """What a registered function returns to choose the bytes of its result itself."""

    data: bytes = b""
    data_format: int = api_pb2.DATA_FORMAT_CBOR
    status: int = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
    exception: str = ""


@dataclass
class Function:
    """A function, or the service function of a class."""

    function_id: str
    app_id: str
    name: str
    definition: api_pb2.Function
    handler: Callable[..., Any] | None = None  # runs in this process; None: in a container
    queue: asyncio.Queue["Input"] = field(default_factory=asyncio.Queue)
    process: asyncio.subprocess.Process | None = None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class App:
    app_id: str
    name: str
    environment: str
    functions: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    call_id: str
    function: Function
    inputs: dict[int, "Input"] = field(default_factory=dict)


@dataclass
class Input:
    input_id: str
    index: int
    call: Call
    proto: api_pb2.FunctionInput
    invocation_type: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    output: api_pb2.FunctionGetOutputsItem | None = None
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None


@dataclass
class State:
    """Everything, and what a test can break."""

    directory: Path
    tokens: dict[str, str] | None  # secret by id; None lets everybody in
    url: str = ""
    blob_url: str = ""
    apps: dict[str, App] = field(default_factory=dict)
    app_ids: dict[tuple[str, str], str] = field(default_factory=dict)  # by environment and name
    functions: dict[str, Function] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    inputs: dict[str, Input] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    mounts: dict[str, list[api_pb2.MountFile]] = field(default_factory=dict)
    images: dict[str, api_pb2.Image] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)  # name by id
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    container_logs: list[Path] = field(default_factory=list)
    container_environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    rpcs: Counter[str] = field(default_factory=Counter)
    blob_reads: int = 0
    metadata: dict[str, str] = field(default_factory=dict)  # of the last request of a client
    delays: dict[str, float] = field(default_factory=dict)  # seconds, by name of the RPC
    throttled: set[str] = field(default_factory=set)  # names of RPCs that are told to come again later
    refused: dict[str, Status] = field(default_factory=dict)  # by name of the RPC
    cancelled: list[str] = field(default_factory=list)  # ids of calls
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def app(self, name: str, environment: str) -> App:
        key = (environment or "main", name)
        if key not in self.app_ids:
            app = App(new_id("ap"), name, key[0])
            self.apps[app.app_id], self.app_ids[key] = app, app.app_id
        return self.apps[self.app_ids[key]]

    def find_app(self, name: str, environment: str) -> App:
        app_id = self.app_ids.get((environment or "main", name))
        if app_id is None:
            raise not_found(f"App '{name}' not found in environment '{environment or 'main'}'.")
        return self.apps[app_id]

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def finish(self, item: Input, result: api_pb2.GenericResult, data_format: int = 0) -> None:
        """Keep the result of an input; the first one counts."""
        if item.done.is_set():
            return
        if item.timer:
            item.timer.cancel()
        if len(result.data) > BLOB_BYTES:
            blob_id = new_id("bl")
            self.blobs[blob_id] = result.data
            result.data_blob_id = blob_id  # a oneof: the data goes
        item.output = api_pb2.FunctionGetOutputsItem(
            result=result,
            idx=item.index,
            input_id=item.input_id,
            data_format=data_format,
            output_created_at=time.time(),
        )
        item.done.set()

    def start_clock(self, item: Input) -> None:
        """End the input, and the container that works on it, after the function's own time limit."""
        seconds = item.call.function.definition.timeout_secs or 300

        def expire() -> None:
            status = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
            message = f"Task's current input {item.input_id} hit its timeout of {seconds}s"
            self.finish(item, api_pb2.GenericResult(status=status, exception=message))
            if item.task:
                item.task.cancel()
            if (process := item.call.function.process) and process.returncode is None:
                process.kill()

        item.timer = asyncio.get_running_loop().call_later(seconds, expire)
