"""Real receivers on loopback: a URL that takes webhooks, an SMTP server, and one that speaks as ntfy."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

from aiosmtpd.smtp import SMTP
from gateway_process import WAIT_SECONDS, eventually
from starlette.requests import Request
from starlette.responses import Response
from upstream_by_hand import posted_to

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@dataclass
class Taken:
    """What a receiver was sent, the newest last, and how it answers."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)  # headers, raw, body, status
    status_of: Callable[[int], int] = lambda number: 204  # of the request of that number, from 1
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What it accepted."""
        return [one["body"] for one in self.requests if one["status"] < 300]

    async def accepted(self, count: int) -> list[dict[str, Any]]:
        """Wait until it has accepted so many."""

        async def has_them() -> bool:
            return len(self.bodies) >= count

        await eventually(has_them, seconds=WAIT_SECONDS)
        return self.bodies

    async def asked(self, count: int) -> list[dict[str, Any]]:
        """Wait until it was sent so many, accepted or not."""

        async def has_them() -> bool:
            return len(self.requests) >= count

        await eventually(has_them, seconds=WAIT_SECONDS)
        return self.requests


@asynccontextmanager
async def receiver(
    status_of: Callable[[int], int] = lambda number: 204, *, is_silent: bool = False
) -> AsyncIterator[Taken]:
    """A URL that takes JSON; a silent one answers when its gate opens."""
    taken = Taken(status_of=status_of)
    if not is_silent:
        taken.gate.set()

    async def take(request: Request) -> Response:
        raw = await request.body()
        status = taken.status_of(len(taken.requests) + 1)
        said = {"headers": dict(request.headers), "raw": raw, "body": json.loads(raw), "status": status}
        taken.requests.append(said)
        await taken.gate.wait()
        return Response(status_code=status)

    async with posted_to(take, path="/notices", methods=["POST"]) as (_, entry):
        taken.url = entry["url"].replace("/mcp", "/notices")
        yield taken
        taken.gate.set()


@asynccontextmanager
async def ntfy(status_of: Callable[[int], int] = lambda number: 200) -> AsyncIterator[Taken]:
    """A server to which Apprise posts as to ntfy; its URL is one of Apprise."""
    taken = Taken(status_of=status_of)

    async def take(request: Request) -> Response:
        raw = await request.body()
        status = taken.status_of(len(taken.requests) + 1)
        said = {"headers": dict(request.headers), "raw": raw, "body": json.loads(raw), "status": status}
        taken.requests.append(said)
        return Response(b"{}", status_code=status)

    async with posted_to(take, path="/", methods=["POST"]) as (_, entry):
        place = entry["url"].removeprefix("http://").removesuffix("/mcp")
        taken.url = f"ntfy://{place}/topic"
        yield taken


@dataclass
class Mailbox:
    """What an SMTP server took: the mails, and for whom."""

    port: int = 0
    mails: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Take a mail."""
        self.mails.append((list(envelope.rcpt_tos), message_from_bytes(envelope.content)))
        return "250 taken"

    async def got(self, count: int) -> list[tuple[list[str], Message]]:
        """Wait until it has so many mails."""

        async def has_them() -> bool:
            return len(self.mails) >= count

        await eventually(has_them, seconds=WAIT_SECONDS)
        return self.mails


@asynccontextmanager
async def mail_server() -> AsyncIterator[Mailbox]:
    """A real SMTP server."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()


def subject_of(mail: Message) -> str:
    """The subject as a person reads it."""
    return str(make_header(decode_header(mail["subject"])))


def words_of(mail: Message) -> str:
    """All text of a mail."""
    parts = [part for part in mail.walk() if not part.is_multipart()]
    return "\n".join(bytes(part.get_payload(decode=True) or b"").decode() for part in parts)
