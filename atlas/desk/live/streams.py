"""The open streams of the desk: how many there may be, what each has still to send, and when it ends."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

MOST_OF_PERSON = 20
MOST = 500
MOST_BEHIND = 32  # messages: a browser that has so many to read is closed, and asks for what it missed


class Stream:
    """One browser that listens."""

    def __init__(self, person_name: str, session: str | None) -> None:
        self.person_name = person_name
        self.session = session  # that it ends with, if there is one
        self._waiting: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self._is_over = False

    def tell(self, message: bytes) -> None:
        """Hand it a message; a browser that does not read is closed."""
        if len(self._waiting) >= MOST_BEHIND:
            self.end()
        if not self._is_over:
            self._waiting.append(message)
            self._woken.set()

    def end(self) -> None:
        """End it; what it has not read is dropped."""
        self._is_over = True
        self._waiting.clear()
        self._woken.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """What it is told, until it ends."""
        while not self._is_over:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                yield self._waiting.popleft()


class Streams:
    """All that are open."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._open))

    def has_room(self, person_name: str) -> bool:
        """Whether one more stream of a person may open."""
        of_person = sum(stream.person_name == person_name for stream in self._open)
        return not self._is_closed and of_person < MOST_OF_PERSON and len(self._open) < MOST

    @contextmanager
    def opened(self, person_name: str, session: str | None) -> Iterator[Stream]:
        """A stream while its browser listens."""
        stream = Stream(person_name, session)
        self._open.add(stream)
        if self._is_closed:
            stream.end()
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def tell(self, message: bytes) -> None:
        """Tell all of them the same."""
        for stream in self._open:
            stream.tell(message)

    def close(self) -> None:
        """End all of them, and let no other in: the gateway stops."""
        self._is_closed = True
        for stream in self:
            stream.end()
