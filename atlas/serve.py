"""Runs the app with uvicorn: binds first, so that what is printed is true, and ends promptly."""

import logging
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from atlas.settings import Settings

GRACE_SECONDS = 1  # open SSE streams never end by themselves


def serve(app: FastAPI, settings: Settings, banner: Callable[[str], str]) -> None:
    """Serve until SIGINT or SIGTERM; `banner` makes the start-up text from the gateway's URL."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2", "mcp", "alembic", "inngest"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        host=settings.atlas_host,
        port=settings.atlas_port,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    socket = config.bind_socket()
    app.state.url = _url(settings.atlas_host, socket.getsockname()[1])
    sys.stdout.write(banner(app.state.url) + "\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[socket])


def _url(host: str, port: int) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"
