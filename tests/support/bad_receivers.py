"""Receivers on loopback that answer as no honest one does: without end, drop by drop, or elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from gateway_process import eventually

ENOUGH = 256 * 1024 * 1024  # bytes after which a flood ends by itself
DROP_SECONDS = 0.05


@dataclass
class Bad:
    """What a receiver was asked, and how much of its answer it got rid of."""

    place: str = ""  # host and port
    asked: list[str] = field(default_factory=list)  # first lines of requests
    written: int = 0
    left: int = 0  # connections that the gateway ended

    async def was_asked(self) -> None:
        """Wait until a request has come."""

        async def has_come() -> bool:
            return bool(self.asked)

        await eventually(has_come)

    async def was_left(self, count: int = 1) -> None:
        """Wait until the gateway has ended so many connections."""

        async def are_ended() -> bool:
            return self.left >= count

        await eventually(are_ended)


Answer = Callable[[Bad, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bad_receiver(answer: Answer, *, first: bytes = b"\r\n\r\n") -> AsyncIterator[Bad]:
    """A server whose answers a function writes; `first` ends what the other side says before."""
    here, open_now = Bad(), set[asyncio.Task[None]]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            head = await reader.readuntil(first) if first else b""
            here.asked.append(head.decode().partition("\r\n")[0])
            await answer(here, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            here.left += 1
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    here.place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield here
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


async def _write(here: Bad, writer: asyncio.StreamWriter, some: bytes) -> None:
    writer.write(some)
    await writer.drain()
    here.written += len(some)


async def flood(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Success, and a body without end."""
    await _write(here, writer, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while here.written < ENOUGH:
        await _write(here, writer, b"A" * 65_536)


async def drip_body(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Success, and a body drop by drop."""
    await _write(here, writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await repeat(here, reader, writer, b"x")


async def drip_head(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head without end, drop by drop."""
    await _write(here, writer, b"HTTP/1.1 503 No\r\nX-Slow: ")
    await repeat(here, reader, writer, b"1")


async def repeat(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, some: bytes) -> None:
    """Write the same until the other side ends the connection; a few bytes with a pause after them."""
    while here.written < ENOUGH:
        await _write(here, writer, some)
        with suppress(asyncio.TimeoutError):
            pause = DROP_SECONDS if len(some) < 10 else 0.0001
            if not await asyncio.wait_for(reader.read(65_536), pause):
                raise ConnectionResetError


def saying(status: str, *, head: str = "", body: bytes = b"") -> Answer:
    """An answer with a line of a head and a body."""

    async def answer(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (f"HTTP/1.1 {status}", head.format(place=here.place), f"Content-Length: {len(body)}")
        said = "\r\n".join([line for line in lines if line] + ["Connection: close", "", ""])
        await _write(here, writer, said.encode() + body)

    return answer
