"""A real HAProxy in front of several gateways, which can be killed and comes back on the same port."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from gateway_process import WAIT_SECONDS, eventually
from ports import kept_port

# Only what never reached a gateway is sent to another one: a call is not made twice by a balancer.
CONFIGURATION = """
global
    maxconn 2000
defaults
    mode http
    timeout connect 2s
    timeout client 600s
    timeout server 600s
    retries 3
    option redispatch 1
    retry-on conn-failure
frontend front
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /healthz
    default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def program() -> str | None:
    """The HAProxy of this machine."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class HAProxy:
    """A balancer of gateways on loopback."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = kept_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, gateways: Sequence[int]) -> None:
        """Start it in front of the gateways at some ports, and return when it takes connections."""
        found = program()
        assert found is not None, "There is no HAProxy: install Debian's package `haproxy`."
        servers = "\n".join(f"    server s{port} 127.0.0.1:{port}" for port in gateways)
        configuration = self.directory / "haproxy.cfg"
        configuration.write_text(CONFIGURATION.format(port=self.port, servers=servers))
        with (self.directory / "haproxy.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                found, "-db", "-f", str(configuration), stdout=log, stderr=log
            )
        await eventually(self._takes_connections)

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)

    async def _takes_connections(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
