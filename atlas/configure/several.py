"""Writes what deploy/compose.yaml needs: `python -m atlas.configure several FOLDER [HOST]`.

What is there stays as it is, so that a second run changes no key and no password.
"""

import hashlib
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

from atlas.configure.container import seconds_of_container
from atlas.configure.env_file import read_values, write_values
from atlas.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
FRONT = "172.30.77.0/28"  # the network of the balancer and the gateways, unless deploy/.env names another
CERTIFICATE_DAYS = 365
# The balancer looks each second. compose.yaml gives a gateway 330 seconds to stop, or what these ask for.
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
    settings = _write_secrets(own, host, known)
    followed = {"GATEWAY_GRACE": f"{seconds_of_container(settings)}s"}
    followed |= _certify(own / "tls.pem", host, made=known.get("OWN_CERTIFICATE", ""))
    followed["BALANCER_FILES"] = _sum_of(own / "tls.pem", folder / "balancer" / "haproxy.cfg")
    _keep(folder / ".env", followed, ours=tuple(followed))
    print(f"Settings and secrets are in {own.name} and .env of {folder} (readable by you alone).")


def _write_secrets(own: Path, host: str, known: dict[str, str]) -> Settings:
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
    # What is wrong in it is said here, and not by a container.
    return Settings.read(_env_file=own / "gateway.env")


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


def _sum_of(*paths: Path) -> str:
    """The SHA-256 of what is in files; Compose makes a container again when its label is another."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.exists())).hexdigest()


def _certify(path: Path, host: str, *, made: str) -> dict[str, str]:
    """See to a certificate for the host; returns the sum of the one that was made here, for `.env`.

    `made` is that sum of before. A file of another sum is an operator's, and stays as it is.
    """
    if path.exists() and not _is_for(path, host):
        if _sum_of(path) != made:
            print(
                f"{path.name} is a certificate for another name than {host}. Put one for {host} in its "
                "place, or remove the file. Then run deploy/up.sh again.",
                file=sys.stderr,
            )
            return {}
        path.unlink()
    if path.exists():
        return {}
    _write_certificate(path, host)
    return {"OWN_CERTIFICATE": _sum_of(path)}


def _is_for(path: Path, host: str) -> bool:
    """Whether the first certificate of a file names a host; the balancer refuses what cannot be read."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return True
    any_label = "*." + host.partition(".")[2]
    return _alternative(host) in names or x509.DNSName(any_label) in names


def _write_certificate(path: Path, host: str) -> None:
    """Write a certificate that vouches for itself, with its key."""
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
