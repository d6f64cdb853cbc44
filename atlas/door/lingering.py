"""Closes a connection whose client still sends, so that the client can read why."""

import asyncio
from typing import Any

LINGER_SECONDS = 5.0
LINGER_BYTES = 64 * 2**20  # some clients send all before they read


class LingeringTransport:
    """A transport that ends its own side first, and the other when the client has stopped or sends too much.

    To close a socket with unread bytes resets it, and the client may lose an answer that it has not read.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self.sends_still = False  # whether a part of a request is to come

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def is_lingering(self) -> bool:
        """Whether what comes is thrown away."""
        return self._timer is not None

    def is_closing(self) -> bool:
        """Whether nothing more is to be written."""
        return self.is_lingering or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write, unless the own side has ended."""
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close, after a while if the client still sends."""
        if self.is_lingering or self._transport.is_closing():
            return
        if not self.sends_still or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LINGER_SECONDS, self._transport.abort)

    def throw_away(self, size: int) -> None:
        """Count what came meanwhile, and end it where it is too much."""
        self._left -= size
        if self._left < 0:
            self._transport.abort()

    def ended(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
