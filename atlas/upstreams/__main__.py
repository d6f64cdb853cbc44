"""`python -m atlas.upstreams login NAME`: a person signs in at a server, so that the gateway can use it."""

import argparse
import asyncio
import logging
import sys
import webbrowser

import httpx2
from mcp.client.auth import OAuthFlowError

from atlas.errors import UpstreamsInvalid
from atlas.models import plain_text
from atlas.settings import Settings, variables
from atlas.upstreams.config import Transport, UpstreamConfig, read_upstreams
from atlas.upstreams.grants import NotGranted
from atlas.upstreams.signing_in import sign_in
from atlas.upstreams.tokens import TokenFile


def _said() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m atlas.upstreams", description=__doc__)
    login = parser.add_subparsers(required=True).add_parser("login", help="sign in at a server")
    login.add_argument("name", help="the server's name in the MCP configuration")
    login.add_argument("--browser", action="store_true", help="open the page in a browser too")
    login.add_argument(
        "--port", type=int, default=0, help="the port of this machine that the browser returns to"
    )
    return parser.parse_args()


def _config_of(name: str, settings: Settings) -> UpstreamConfig:
    configs = {one.name: one for one in read_upstreams(settings.atlas_mcp_config, variables())}
    if name not in configs:
        known = ", ".join(configs) or "none; set ATLAS_MCP_CONFIG"
        raise NotGranted(f"the MCP configuration has no such server (it has: {known})")
    config = configs[name]
    if config.way is Transport.STDIO:
        raise NotGranted("it is a program, and takes its keys from its env")
    if config.has_key:
        raise NotGranted("its key stands in the MCP configuration: remove the header Authorization first")
    if config.auth is not None and config.auth.type == "client_credentials":
        raise NotGranted("it has client credentials, with which the gateway signs in by itself")
    return config


def _shown(url: str, *, in_browser: bool) -> None:
    sys.stdout.write(f"Open this address in a browser on this machine, and sign in:\n\n  {url}\n\n")
    sys.stdout.flush()
    if in_browser:
        webbrowser.open(url)


async def _login(said: argparse.Namespace) -> str:
    settings = Settings.read()
    config = _config_of(said.name, settings)
    grant = await sign_in(config, lambda url: _shown(url, in_browser=said.browser), port=said.port)
    file = TokenFile(settings.atlas_data_dir, config.name)
    async with file.locked():
        file.write(grant)
    return f"The gateway can use {config.name} now; a running one finds the token within 15 seconds.\n"


def main() -> int:
    """Let a person sign in; returns the exit status."""
    said = _said()
    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)  # it would print the answers of servers
    try:
        sys.stdout.write(asyncio.run(_login(said)))
    except (NotGranted, OAuthFlowError, httpx2.HTTPError, UpstreamsInvalid, OSError) as error:
        reason = plain_text(str(error))[:300] or type(error).__name__
        sys.stderr.write(f"There is no sign-in at {said.name}: {reason}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Nothing was changed.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
