"""An upstream that is a program of this machine, spoken to over its standard input and output.

The SDK's own transport gathers a line of any length, in time that grows with its square; this one does not.
"""

import asyncio
import codecs
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions
from mcp import ClientSession
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from atlas.upstreams.config import GRACE_SECONDS, UpstreamConfig
from atlas.upstreams.wires import LONGEST_ANSWER, TOO_LONG, RelaySession, Wire

LAST_SECONDS = 0.5  # between the end of what it prints and its own
NO_OUTPUT, NO_INPUT = "its process closed its output", "its process no longer reads"

Incoming = SessionMessage | Exception


class ProcessTransport(ClientTransport):
    """Starts the program for a session and ends it, and what it started, with the session."""

    def __init__(self, config: UpstreamConfig, wire: Wire) -> None:
        self._config = config
        self._wire = wire

    @contextlib.asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Any
    ) -> AsyncIterator[ClientSession]:
        """Yield a session with a new process."""
        process = await _start(self._config)
        to_session, incoming = anyio.create_memory_object_stream[Incoming](0)
        outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_read, process, to_session, self._wire)
                group.start_soon(_write, process, from_session, self._wire)
                async with RelaySession(incoming, outgoing, **session_kwargs) as session:
                    yield session
                group.cancel_scope.cancel()
        finally:
            self._wire.close()
            with anyio.CancelScope(shield=True):
                await _end(process)
            for stream in (to_session, incoming, outgoing, from_session):
                stream.close()


async def _start(config: UpstreamConfig) -> Process:
    # Not the gateway's environment, which holds its keys: what every program needs, and what the file says.
    opening = anyio.open_process(
        [config.command, *config.args],
        env=get_default_environment() | dict(config.env),
        cwd=config.cwd,
        stderr=sys.stderr,
        start_new_session=True,
    )
    starting = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would kill the program alone, and leave what it has started.
        with anyio.CancelScope(shield=True), contextlib.suppress(OSError):
            process = await starting
            _signal(process, signal.SIGKILL)
            await process.aclose()
        raise


async def _read(process: Process, to_session: MemoryObjectSendStream[Incoming], wire: Wire) -> None:
    assert process.stdout is not None  # noqa: S101  (it was started with pipes)
    line = bytearray()
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        try:
            async for chunk in process.stdout:
                first, *others = chunk.split(b"\n")
                line += first
                for other in others:
                    await _deliver(bytes(line), to_session)
                    line = bytearray(other)
                if len(line) > LONGEST_ANSWER:
                    wire.note_broken(TOO_LONG)
                    break
        finally:
            wire.note_broken(await _why_over(process, otherwise=NO_OUTPUT))
            to_session.close()  # the session tells all who wait


async def _deliver(line: bytes, to_session: MemoryObjectSendStream[Incoming]) -> None:
    line = line.removeprefix(codecs.BOM_UTF8)  # the console of .NET begins with it
    if not line.strip():
        return
    try:
        message: Incoming = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        message = error  # programs print things; the session ignores what is no message
    await to_session.send(message)


async def _write(
    process: Process, from_session: MemoryObjectReceiveStream[SessionMessage], wire: Wire
) -> None:
    assert process.stdin is not None  # noqa: S101  (it was started with pipes)
    try:
        async for sent in from_session:
            text = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
            await process.stdin.send(f"{text}\n".encode())
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        wire.note_broken(await _why_over(process, otherwise=NO_INPUT))


async def _why_over(process: Process, *, otherwise: str) -> str:
    """Why nothing more comes or goes: its process ended, if it does so in a moment."""
    with anyio.CancelScope(shield=True):
        has_ended = await _has_ended(process, seconds=LAST_SECONDS)
    return f"its process ended with status {process.returncode}" if has_ended else otherwise


async def _end(process: Process) -> None:
    """Close its input, and end it if that does not; what it has started, its group, ends in any case."""
    assert process.stdin is not None  # noqa: S101  (it was started with pipes)
    with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    try:
        await _has_ended(process)
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            _signal(process, signal_number)
            if await _has_ended(process, with_group=True):
                break
    except BaseException:
        _signal(process, signal.SIGKILL)  # who waits for its end is cancelled, and it must not stay behind
        raise
    with anyio.move_on_after(LAST_SECONDS), contextlib.suppress(OSError, anyio.BrokenResourceError):
        await process.aclose()  # waits for a program that still holds its pipes, if any


def _signal(process: Process, signal_number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal_number)


async def _has_ended(process: Process, seconds: float = GRACE_SECONDS, *, with_group: bool = False) -> bool:
    # Not process.wait(), which also waits for the pipes that a grandchild may hold open.
    deadline = asyncio.get_running_loop().time() + seconds
    while not (has_ended := _is_over(process, with_group)):
        if asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(0.01)
    return has_ended


def _is_over(process: Process, with_group: bool) -> bool:
    if process.returncode is None or not with_group:
        return process.returncode is not None
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):  # what is another user's cannot be ended here
        return True
    return False
