"""Runs the engine alone, as a stand-in for the Inngest Dev Server: `python -m atlas.engine --port 8288`."""

import argparse
import asyncio
import contextlib
import datetime
import ipaddress
import logging
import pathlib
import socket
import sys
import tempfile

import uvicorn

from atlas.door.bodies import BoundedBodies, Doorway
from atlas.door.connections import Door, Limits
from atlas.door.protocol import guarded_protocol
from atlas.engine import Engine, EngineError, EngineKeys
from atlas.engine.served import LARGEST_REQUEST
from atlas.instants import parse_duration

logger = logging.getLogger("atlas.engine")

_POLL_SECONDS = 5.0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def main() -> None:
    """Parse the command line and serve until a signal ends the process."""
    arguments = _parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    try:
        keys = _parse_keys(arguments)
        retention = _parse_retention(arguments.retention)
        _check_host(arguments.host, keys)
        with contextlib.ExitStack() as stack:
            directory = arguments.data_dir or stack.enter_context(tempfile.TemporaryDirectory())
            pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
            asyncio.run(_serve(arguments, keys, retention, pathlib.Path(directory)))
    except (EngineError, OSError) as error:
        sys.exit(f"atlas.engine: {error}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m atlas.engine", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8288, help="0 takes a free port and prints it")
    parser.add_argument("--event-key")
    parser.add_argument("--signing-key")
    parser.add_argument("--data-dir", help="where runs are kept; without it they end with the process")
    parser.add_argument("--retention", default="30d", help="for how long what has ended is kept")
    parser.add_argument(
        "-u", dest="urls", action="append", default=[], metavar="URL", help="an app to sync with"
    )
    return parser.parse_args()


def _parse_keys(arguments: argparse.Namespace) -> EngineKeys | None:
    if bool(arguments.event_key) != bool(arguments.signing_key):
        raise EngineError("Give both --event-key and --signing-key, or neither.")
    if not arguments.event_key:
        return None
    return EngineKeys(event_key=arguments.event_key, signing_key=arguments.signing_key)


def _parse_retention(text: str) -> datetime.timedelta:
    try:
        retention = parse_duration(text)
    except ValueError as error:
        raise EngineError(f"--retention: {error}, such as 90s, 12h or 30d.") from error
    if not retention:
        raise EngineError("--retention must be greater than 0.")
    return retention


def _check_host(host: str, keys: EngineKeys | None) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    if keys is None:
        raise EngineError(
            "Without keys anyone could start and steer runs: --host must be a loopback address."
        )


async def _serve(
    arguments: argparse.Namespace,
    keys: EngineKeys | None,
    retention: datetime.timedelta,
    directory: pathlib.Path,
) -> None:
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    with socket.create_server((arguments.host, arguments.port), family=family) as listener:
        async with Engine(directory / "engine.db", keys=keys, retention=retention) as engine:
            server = uvicorn.Server(_guarded(engine, keys))
            polls = [asyncio.create_task(_poll(engine, url)) for url in arguments.urls]
            print(f"listening on http://{arguments.host}:{listener.getsockname()[1]}", flush=True)  # noqa: T201
            try:
                await server.serve(sockets=[listener])
            finally:
                for poll in polls:
                    poll.cancel()


def _guarded(engine: Engine, keys: EngineKeys | None) -> uvicorn.Config:
    """Serve the engine behind the same door as the gateway's."""
    doorway = Doorway("engine", largest=LARGEST_REQUEST, in_flight=8 * LARGEST_REQUEST)
    app = BoundedBodies(engine.app, doorway_of=lambda _: doorway)

    def key_of(authorization: str) -> str | None:
        return "app" if keys is None or keys.is_bearer(authorization) else None

    protocol = guarded_protocol(Door(Limits(key_of=key_of)))
    return uvicorn.Config(app, http=protocol, log_config=None, timeout_graceful_shutdown=1)


async def _poll(engine: Engine, url: str) -> None:
    was_refused = ""
    while True:
        try:
            await engine.sync(url)
            was_refused = ""
        except EngineError as error:
            if str(error) != was_refused:
                logger.warning("%s", error)
            was_refused = str(error)
        await asyncio.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
