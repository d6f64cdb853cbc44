"""The end of listening: no connection that the system took is lost."""

import asyncio
import socket

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from atlas.door.connections import Door, Limits
from atlas.door.protocol import guarded_protocol
from atlas.operate.listening import stop_listening

WAITING = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that greets."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_a_connection_that_waits_when_the_listener_closes_is_served_and_a_later_one_refused() -> None:
    """They wait because the loop does not run between their connecting and the close."""
    protocol = guarded_protocol(Door(Limits(key_of=lambda _: None)))
    server = uvicorn.Server(uvicorn.Config(hello, http=protocol, lifespan="off", log_config=None))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    await server.startup(sockets=[listener])
    clients = [socket.create_connection(address) for _ in range(WAITING)]
    for client in clients:
        client.sendall(REQUEST)
    await stop_listening(server, [listener])
    answers = await asyncio.gather(*(asyncio.to_thread(everything, client) for client in clients))
    assert all(answer.startswith(b"HTTP/1.1 200") and b"hello" in answer for answer in answers)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def everything(client: socket.socket) -> bytes:
    """What a server sends until it closes."""
    client.settimeout(60)
    with client, client.makefile("rb") as file:
        return file.read()
