"""Runs the app with uvicorn: binds first, so that what is printed is true, and ends promptly."""

import asyncio
import logging
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from atlas.door.connections import Door
from atlas.door.protocol import guarded_protocol
from atlas.errors import AtlasError
from atlas.operate.doorways import limits_of
from atlas.operate.draining import Drain
from atlas.operate.given_up import GIVEN_UP_STATUS, EndsWhenGivenUp, is_given_up
from atlas.operate.listening import stop_listening
from atlas.operate.own_url import url_of
from atlas.operate.start import collect_as_usual
from atlas.settings import Settings
from atlas.settings.telemetry import LogForm

OWN_ERROR = re.compile(r"^[ |]*atlas[.\w]*: (.+)$", re.MULTILINE)  # as a traceback ends, alone or in a group
MOST_FILES = 65_536
GRACE_SECONDS = 1  # open SSE streams never end on their own


def serve(app: FastAPI, settings: Settings, banner: Callable[[str], str]) -> None:
    """Serve until SIGINT or SIGTERM; `banner` makes the start-up text from the gateway's URL."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the policy is read again on it, and after that
    begin_log(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        loop="auto",  # uvloop and httptools where they are installed, asyncio and h11 elsewhere
        http=guarded_protocol(Door(limits_of(settings))),
        ws="none",  # there are no such routes, and the library for them takes 2 MB
        forwarded_allow_ips=proxies_of(settings),
        access_log=False,  # it would be put together for every request before it is dropped
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    allow_many_files()
    AppStatus.enable_automatic_graceful_drain = False  # at the signal answers are still to come
    listener = bind(settings.atlas_host, settings.atlas_port)
    app.state.url = url_of(settings.atlas_host, listener.getsockname()[1])
    listeners = [listener, *_metrics_listener(app, settings)]
    _tell_of_start(settings, banner(app.state.url) + "\n" + _told_of_watching(app, settings))
    server = Server(config, drain=app.state.drain, at_the_stop=app.state.at_the_stop)
    logging.getLogger("uvicorn.error").addFilter(in_one_sentence)
    logging.getLogger("uvicorn.error").addFilter(OpenAtTheStop(server))
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed; Ctrl-C is no failure
        server.run(sockets=listeners)
    if is_given_up(app):
        raise SystemExit(GIVEN_UP_STATUS)


def begin_log(settings: Settings) -> None:
    """Write log lines as the settings say."""
    if settings.atlas_log is LogForm.JSON:
        from atlas.telemetry.json_lines import write_json_lines

        write_json_lines()
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2", "mcp", "alembic", "inngest"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _tell_of_start(settings: Settings, text: str) -> None:
    """Print what start-up says, or log it where every line is one of the log."""
    if settings.atlas_log is LogForm.JSON:
        logging.getLogger(__name__).info("%s", text.rstrip())
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def _metrics_listener(app: FastAPI, settings: Settings) -> list[socket.socket]:
    """The socket of the port for metrics, if they have one of their own."""
    if settings.atlas_metrics_port is None:
        return []
    listener = bind(settings.atlas_metrics_host, settings.atlas_metrics_port)
    app.state.metrics_port = listener.getsockname()[1]
    return [listener]


def _told_of_watching(app: FastAPI, settings: Settings) -> str:
    """What start-up says of metrics at a port of their own, and to which host spans go."""
    collector, lines = settings.otel_exporter_otlp_endpoint, ""
    if settings.atlas_metrics_port is not None:
        lines += f"  metrics    {url_of(settings.atlas_metrics_host, app.state.metrics_port)}/metrics\n"
    return lines + (f"  spans      go to {collector.host}\n" if collector is not None else "")


def proxies_of(settings: Settings) -> str | None:
    """From where X-Forwarded-For and -Proto count; where none is named uvicorn's own default."""
    named = [str(one) for one in (*settings.atlas_forwarded_from, *settings.atlas_trusted_proxies)]
    return ",".join(["127.0.0.1", *named]) if named else None


def allow_many_files() -> None:
    """Open as many files as the system allows: many shells begin with 1024, which is meant for select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(EndsWhenGivenUp):
    """A server that knows when its start is over, and brings to its end what it began before it stops."""

    def __init__(self, config: uvicorn.Config, *, drain: Drain, at_the_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain
        self._at_the_stop = at_the_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell the garbage collector."""
        await super().startup(sockets=sockets)
        collect_as_usual()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let others take over, end what was begun and the streams of the desk, and stop."""
        await self._drain.leave()
        await stop_listening(self, sockets or [])
        self._at_the_stop()
        await self._drain.finish()
        AppStatus.should_exit = True  # the streams of agents end
        await super().shutdown(sockets=sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop on a first signal; on a second one wait for no one any more."""
        self._drain.is_hurried = self.should_exit
        super().handle_exit(sig, frame)


@contextmanager
def or_a_sentence() -> Iterator[None]:
    """Leave the process with the sentence of an error of ours, and no traceback."""
    try:
        yield
    except AtlasError as error:
        raise SystemExit(str(error)) from None


def in_one_sentence(record: logging.LogRecord) -> bool:
    """Tell why the gateway does not start in the words of its own error, without a traceback."""
    said = record.getMessage()
    if "Traceback (most recent call last)" in said and (sentences := OWN_ERROR.findall(said)):
        record.msg, record.args = "The gateway does not start: %s", (sentences[-1],)
    return True


class OpenAtTheStop(logging.Filter):
    """Tells of requests that a stop ended in one line: uvicorn takes each of them for an error."""

    def __init__(self, server: uvicorn.Server) -> None:
        super().__init__()
        self._server = server

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what a stop brings about; before it the same is a mistake and stays."""
        if not self._server.should_exit:
            return True
        if record.getMessage().startswith("Cancel "):
            record.msg, record.args = "The stop ended the requests that were still open.", ()
            record.levelno, record.levelname = logging.INFO, "INFO"
        is_cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not (is_cancelled or record.getMessage().startswith("ASGI callable returned without"))


class WithoutTraceback(logging.Filter):
    """Lets the MCP server's records through without the text of exceptions: a tool's may repeat arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the exception's type only, and nothing of what is said for debugging."""
        is_of_tools = record.name.startswith(("fastmcp", "mcp"))
        if is_of_tools and record.levelno < logging.INFO:
            return False  # it holds arguments
        if is_of_tools and record.exc_info and record.exc_info[0] is not None:
            record.msg = f"{record.getMessage()} ({record.exc_info[0].__name__})"
            record.args, record.exc_info, record.exc_text = None, None, None
        return True


def keep_values_out_of_logs() -> None:
    """FastMCP logs the errors of tools with all that is in them; this keeps their types."""
    for name in ("fastmcp", None):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(ONLY_TYPES)


ONLY_TYPES = WithoutTraceback()


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Leaves the process with a sentence if it cannot."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):  # gaierror is one; the latter of a name with two dots in a row
        raise SystemExit(f"The gateway cannot listen on {host}: it is no name or address here.") from None
    # With the protocol said: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        raise SystemExit(f"The gateway cannot listen on {host} port {port}: {error.strerror}.") from None
    return listener
