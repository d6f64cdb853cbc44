"""The end of listening: who has connected already is served, and who comes later is refused at once.

A plain close resets the connections that the system has taken and this process has not. A balancer that has
sent a call on one cannot know whether it was read, so it may not send it to another gateway.
"""

import asyncio
import socket
from typing import Any

import uvicorn

NEW_SECONDS = 0.5  # in which a connection of the last moment sends its request
PAUSE_SECONDS = 0.01


async def stop_listening(server: uvicorn.Server, listeners: list[socket.socket]) -> None:
    """Take every connection that waits, then close; and let what was taken send its request."""
    waiting = [taken for listener in listeners for taken in _take_all(listener)]
    for serving in server.servers:
        serving.close()
    for listener in listeners:
        listener.close()
    loop = asyncio.get_running_loop()
    for taken in waiting:
        await loop.connect_accepted_socket(lambda: _protocol_of(server), taken)
    end = loop.time() + NEW_SECONDS
    await asyncio.sleep(PAUSE_SECONDS)
    while any(protocol.is_new for protocol in _open(server)) and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(PAUSE_SECONDS)


def _take_all(listener: socket.socket) -> list[socket.socket]:
    taken: list[socket.socket] = []
    listener.setblocking(False)
    while True:
        try:
            taken.append(listener.accept()[0])
        except OSError:  # none is left, or none can be taken: then the system refuses it
            return taken


def _protocol_of(server: uvicorn.Server) -> Any:
    """What uvicorn makes for a connection that it takes itself."""
    config: Any = server.config
    return config.http_protocol_class(
        config=config, server_state=server.server_state, app_state=server.lifespan.state
    )


def _open(server: uvicorn.Server) -> list[Any]:
    return list(server.server_state.connections)
