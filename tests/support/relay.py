"""A relay for TCP between clients and servers, which can stall as a network does that swallows everything.

With several servers it is a balancer: a connection goes to the next one that takes it.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence

PIECE = 65536

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Listens on a port of its own as long as it runs."""

    def __init__(self, servers: Sequence[int] = ()) -> None:
        self.servers = list(servers)  # ports on loopback
        self.last_words: bytes | None = None  # of a client, after which the servers are out of reach
        self._turn = itertools.count()
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def stall(self) -> None:
        """Carry nothing any more; connections stay open, and new ones are taken and not answered."""
        self._flows.clear()

    def resume(self) -> None:
        """Carry on, with what was sent meanwhile."""
        self._flows.set()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator["Relay"]:
        """Relay as long as the block runs."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connect((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: Stream) -> None:
        with contextlib.suppress(OSError):
            try:
                await self._flows.wait()
                server = await self._next_server()
                if server is not None:
                    with contextlib.closing(server[1]):
                        await self._carry_both(client, server)
            finally:
                client[1].close()

    async def _next_server(self) -> Stream | None:
        turn, servers = next(self._turn), list(self.servers)
        for offset in range(len(servers)):
            with contextlib.suppress(OSError):
                port = servers[(turn + offset) % len(servers)]
                return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 5)
        return None

    async def _carry_both(self, one: Stream, other: Stream) -> None:
        ways = [
            asyncio.ensure_future(self._carry(one[0], other[1], is_client=True)),
            asyncio.ensure_future(self._carry(other[0], one[1])),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool = False
    ) -> None:
        while piece := await reader.read(PIECE):
            await self._flows.wait()
            writer.write(piece)
            await writer.drain()
            if is_client and self.last_words is not None and self.last_words in piece:
                self.last_words, self.servers = None, []
                return  # before the server can answer
