"""Reads the beginning of an answer, so that no server fills the memory."""

from collections.abc import AsyncIterable


async def beginning_of(pieces: AsyncIterable[bytes], *, most: int) -> bytes:
    """The first bytes of an answer, at most so many; what follows is not asked for."""
    read = bytearray()
    async for piece in pieces:
        read += piece
        if len(read) >= most:
            break
    return bytes(read[:most])
