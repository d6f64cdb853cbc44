"""Serves a fixture server over HTTP or SSE, on a port that it prints."""

import socket

import uvicorn
from fastmcp import FastMCP


def serve(server: FastMCP, way: str, port: int) -> None:
    """Serve over HTTP and print the port, which is a free one if none is named."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    app = server.http_app(transport="sse" if way == "sse" else "http")
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])
