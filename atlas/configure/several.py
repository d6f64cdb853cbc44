"""Writes what deploy/compose.yaml needs: `python -m atlas.configure several FOLDER [HOST]`.

What is there stays as it is, so that a second run changes no key and no password.
"""

import ipaddress
import os
import re
import secrets
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from atlas.configure.env_file import read_values, write_values
from atlas.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
FRONT = "172.30.77.0/28"  # the network of the balancer and the gateways, unless deploy/.env names another
CERTIFICATE_DAYS = 365
# The balancer looks each second, and compose.yaml gives a gateway 330 seconds to stop.
STOPPING = {"ATLAS_DRAIN_TIME": "10s", "ATLAS_STOP_TIMEOUT": "300s"}


def write_all(folder: Path, host: str | None) -> None:
    """Write `.env`, the secrets and a certificate into a folder; leaves the process with a sentence."""
    known = read_values(folder / ".env")
    host = host or known.get("SITE")
    if not host or not HOST.fullmatch(host):
        raise SystemExit(
            "Name the host under which agents and people reach the gateways: gateway.example.com."
        )
    own = folder / "secrets"
    own.mkdir(mode=0o700, exist_ok=True)
    _keep(folder / ".env", {"SITE": host, "RUN_AS": f"{os.getuid()}:0"}, ours=("SITE", "RUN_AS"))
    known = read_values(folder / ".env")
    _write_secrets(own, host, known)
    _write_certificate(own / "tls.pem", host)
    print(f"Settings and secrets are in {own.name} and .env of {folder} (readable by you alone).")


def _write_secrets(own: Path, host: str, known: dict[str, str]) -> None:
    passwords = _keep(own / "postgres.env", {name: _drawn() for name in _PASSWORDS})
    queue = _keep(own / "redis.env", {"REDISCLI_AUTH": _drawn()})
    stores = {
        "INNGEST_POSTGRES_URI": f"postgres://inngest:{passwords['INNGEST_PASSWORD']}"
        "@postgres:5432/inngest?sslmode=disable",
        "INNGEST_REDIS_URI": f"redis://:{queue['REDISCLI_AUTH']}@redis:6379",
    }
    drawn = {"INNGEST_EVENT_KEY": _drawn(), "INNGEST_SIGNING_KEY": _drawn()}
    keys = _keep(own / "inngest.env", drawn | stores, ours=tuple(stores))
    port = known.get("HTTPS_PORT") or "443"
    place = host if port == "443" else f"{host}:{port}"
    fixed = {
        "ATLAS_DATABASE_URL": f"postgresql://atlas:{passwords['GATEWAY_PASSWORD']}@postgres:5432/atlas",
        "ATLAS_ALLOWED_HOSTS": host,
        "ATLAS_PUBLIC_URL": f"https://{place}",
        "ATLAS_FORWARDED_FROM": known.get("FRONT_SUBNET") or FRONT,
        "INNGEST_BASE_URL": "http://inngest:8288",
        "INNGEST_SERVE_ORIGIN": "http://balancer:8080",
    } | {name: keys[name] for name in drawn}
    first = {"ATLAS_AGENT_KEY": _drawn(), "ATLAS_REVIEWER_KEY": _drawn()} | STOPPING
    _keep(own / "gateway.env", first | fixed, ours=tuple(fixed), template=EXAMPLE)
    Settings.read(_env_file=own / "gateway.env")  # what is wrong in it is said here, and not by a container


_PASSWORDS = ("POSTGRES_PASSWORD", "GATEWAY_PASSWORD", "INNGEST_PASSWORD")


def _drawn() -> str:
    return secrets.token_hex(32)


def _keep(
    path: Path, values: dict[str, str], *, ours: tuple[str, ...] = (), template: Path | None = None
) -> dict[str, str]:
    """Give a file the values that it lacks, and those that are ours; returns what it holds then."""
    there = read_values(path) if path.exists() else {}
    wanted = {name: value for name, value in values.items() if name in ours or not there.get(name)}
    write_values(path, wanted, template=template or Path(os.devnull))
    path.chmod(0o600)
    return read_values(path)


def _write_certificate(path: Path, host: str) -> None:
    """Write a certificate that vouches for itself, with its key, unless there is a file."""
    if path.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_certificate(key, host).public_bytes(Encoding.PEM) + private)
    print(
        f"{path.name} is a certificate that vouches for itself, for {CERTIFICATE_DAYS} days. Put one that "
        "clients trust in its place, with its chain and then its key.",
        file=sys.stderr,
    )


def _certificate(key: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
    moment = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
