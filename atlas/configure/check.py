"""Finds out whether the gateway would start with these settings, and what `./setup.sh` has to do then."""

import importlib
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

from pydantic import SecretStr

from atlas.configure.container import run_options, seconds_of_container
from atlas.operate.own_url import url_of
from atlas.settings import Settings, is_loopback, variables
from atlas.upstreams.config import UpstreamConfig, read_upstreams

THIS_MACHINE = re.compile(
    r"(https?://|postgres(?:ql)?://(?:[^/@]*@)?)(localhost|127\.0\.0\.1|\[::1\])([:/?].*)?"
)
DEV_SERVER = "http://127.0.0.1:8288"  # what INNGEST_DEV=1 means
URLS = (
    "ATLAS_DATABASE_URL",
    "ATLAS_DATABASE_LISTEN_URL",
    "OLLAMA_HOST",
    "OPENAI_BASE_URL",
    "INNGEST_DEV",
    "INNGEST_BASE_URL",
    "ATLAS_NOTIFY_URL",
    "ATLAS_SLACK_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
CONTAINERS_NAME = "host.docker.internal"
WELCOME = """
The gateway answers at {url}
  agents connect to    {url}/mcp/sse  (or {url}/mcp), with ATLAS_AGENT_KEY of .env as bearer key
  try it               ./setup.sh try{other}
  read its log         {log}
  stop it              ./setup.sh stop"""

Shell = Iterator[str]  # lines that `./setup.sh` evaluates


def build_gateway(data: Path) -> None:
    """Build the gateway beside an empty data directory; leave with its own sentence if that fails.

    It reads the accounts of `data` and nothing else there: a policy may name them as reviewers.
    """
    with tempfile.TemporaryDirectory() as folder:
        if (data / "atlas.db").exists():
            Path(folder, "atlas.db").symlink_to((data / "atlas.db").absolute())
        os.environ["ATLAS_DATA_DIR"] = folder
        try:
            importlib.import_module("gateway")
        except SystemExit as error:
            raise SystemExit(str(error).replace(folder, str(data))) from None


def what_to_do(settings: Settings, *, engine: str, given: Mapping[str, str]) -> Shell:
    """What the shell is told: `engine` is none, native, desktop or rootless, `given` is for compose.yaml."""
    if not settings.atlas_port:
        raise SystemExit("ATLAS_PORT in .env is 0, which is no port from 1 to 65535.")
    url = url_of(settings.atlas_host, settings.atlas_port)
    host = url.removeprefix("http://").rpartition(":")[0].strip("[]")
    is_container = engine != "none"
    log = "docker logs atlas-gateway" if is_container else f"{settings.atlas_data_dir}/gateway.log"
    welcome = WELCOME.format(url=url, log=log, other="" if host == "127.0.0.1" else f" {url}")
    yield from _set(
        PORT=settings.atlas_port, HOST=host, DATA=settings.atlas_data_dir, WELCOME=welcome, URL=url
    )
    if is_container:
        yield from _for_container(settings, engine, given)


def _for_container(settings: Settings, engine: str, given: Mapping[str, str]) -> Shell:
    servers = read_upstreams(settings.atlas_mcp_config, variables())
    here = dict(urls_here(settings, servers))
    values = {
        **given,
        "ATLAS_PORT": str(settings.atlas_port),
        "GATEWAY_GRACE": f"{seconds_of_container(settings)}s",
    }
    if engine == "native" and (here or not is_loopback(settings.atlas_host)):
        values |= {"GATEWAY_NETWORK": "host", "GATEWAY_LISTENS": settings.atlas_host}
        named = " and ".join(here) or "ATLAS_HOST"
        yield _say(f"The container shares the network of this machine, as {named} in .env asks for it.")
    else:
        values["GATEWAY_PUBLISHED"] = published(settings.atlas_host)
        yield from _rewritten(here, engine)
    if any(server.command for server in servers):
        yield _say("Servers of ATLAS_MCP_CONFIG that are programs run in the container: it has no Node.js.")
    yield from (f"export {name}={shlex.quote(value)}" for name, value in values.items())
    yield from (_option(words) for words in run_options(values))


def _rewritten(here: Mapping[str, str], engine: str) -> Shell:
    if here and engine == "rootless":
        raise SystemExit(
            f"{' and '.join(here)} in .env: a container of a rootless Docker engine does not reach 127.0.0.1 "
            "of this machine. Write an address of this machine at which that server listens."
        )
    for name, url in here.items():
        yield _say(f"{name} is at 127.0.0.1 of this machine, which is {CONTAINERS_NAME} in the container.")
        if url:  # in the environment, and no argument of docker: it may hold a password
            yield from (f"export {name}={shlex.quote(url)}", _option(f"--env={name}"), "HAS_COMPOSE=")
        else:
            yield _say(f"Write {CONTAINERS_NAME} for 127.0.0.1 in that file.")


def urls_here(settings: Settings, servers: tuple[UpstreamConfig, ...]) -> Iterator[tuple[str, str]]:
    """The settings with a URL at 127.0.0.1, and the URL as a container of Docker Desktop needs it."""
    for name in URLS:
        given = getattr(settings, name.lower()) or ""
        value = given.get_secret_value() if isinstance(given, SecretStr) else str(given)
        value = DEV_SERVER if (name, value) == ("INNGEST_DEV", "1") else value
        if there := THIS_MACHINE.fullmatch(value):
            yield name, f"{there[1]}{CONTAINERS_NAME}{there[3] or ''}"
    if any(THIS_MACHINE.fullmatch(server.url) for server in servers):
        yield "ATLAS_MCP_CONFIG", ""


def published(host: str) -> str:
    """The address of this machine on which Docker publishes the port."""
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise SystemExit(f"ATLAS_HOST in .env is {host}: for a container write an IP address.") from None
    return f"[{address}]" if address.version == 6 else str(address)


def _set(**values: object) -> Shell:
    return (f"{name}={shlex.quote(str(value))}" for name, value in values.items())


def _option(words: str) -> str:
    return f"OPTIONS+=({shlex.quote(words)})"


def _say(sentence: str) -> str:
    return f"say {shlex.quote(sentence)}"
