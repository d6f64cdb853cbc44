"""A model server by hand: it gives one verdict on every call, in the words of OpenAI and Ollama."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

HARMLESS = {
    "risk_score": 0,
    "classification": "minimal risk",
    "action": "reads",
    "rationale": "It is harmless.",
}


class ChatServer:
    """What it says of each call, and what it was asked."""

    def __init__(self, verdict: dict[str, Any]) -> None:
        self.url = ""  # the base URL, which ends in /v1
        self.asked: list[dict[str, Any]] = []
        self._verdict = json.dumps(verdict)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("post /v1/chat/completions "), head
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        question = json.loads(await reader.readexactly(int(length)))
        self.asked.append(question)
        said = {"role": "assistant", "content": self._verdict}
        choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
        body = json.dumps({"model": question["model"], "choices": choices}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def chat_server(**fields: Any) -> AsyncIterator[ChatServer]:
    """Serve on a free port of this machine; `fields` replace those of a harmless verdict."""
    server = ChatServer(HARMLESS | fields)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listener.close()
