"""Why a PostgreSQL database cannot be used is a sentence: setting, remedy, and never the password."""

import datetime
import ipaddress
import shutil
import traceback
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_process import GatewayProcess

from atlas.database.__main__ import main
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.errors import DatabaseUnusable
from atlas.settings import Settings
from tests.support.postgres import AS_OTHER, PostgresServer, postgres_server

SECRET = "the-secret-of-bob"
ACCESS = """
host all bob 127.0.0.1/32 scram-sha-256
host all stranger 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that asks bob for a password, and speaks TLS with a certificate of an authority of its own."""
    with postgres_server() as running:
        data = running.directory / "data"
        authority, key = certificate("The authority", None)
        theirs, their_key = certificate("127.0.0.1", (authority, key))
        (running.directory / "ca.pem").write_bytes(pem(authority))
        other, _ = certificate("Another authority", None)
        (running.directory / "other.pem").write_bytes(pem(other))
        running.directory.chmod(0o755)
        (data / "server.crt").write_bytes(pem(theirs))
        (data / "server.key").write_bytes(
            their_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (data / "server.key").chmod(0o600)
        if AS_OTHER:
            for name in ("server.key", "server.crt"):  # in any umask
                shutil.chown(data / name, "postgres", "postgres")
        with psycopg.connect(running.url(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE bob LOGIN PASSWORD '{SECRET}'")
            connection.execute("CREATE ROLE stranger LOGIN")
            connection.execute("ALTER SYSTEM SET ssl = on")
        (data / "pg_hba.conf").write_text(ACCESS)
        running.stop(immediately=False)
        running.start()
        yield running


Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, by: Signed | None) -> Signed:
    """A certificate and its key; signed by an authority, or one itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = made.add_extension(names, critical=False)
    return made.sign(by[1] if by else key, hashes.SHA256()), key


def pem(one: x509.Certificate) -> bytes:
    """As files have it."""
    return one.public_bytes(serialization.Encoding.PEM)


def said_of(url: str) -> str:
    """What a command says of a database that cannot be used; no traceback has the password."""
    store = beside(Location(directory=Path(), url=url))
    with pytest.raises(DatabaseUnusable) as caught:
        store.make_ready()
    whole = "".join(traceback.format_exception(caught.value)) + repr(Location(directory=Path(), url=url))
    assert SECRET not in whole and "wrong-secret" not in whole
    return str(caught.value)


WRONG = (
    (
        "bob:wrong-secret@{at}/postgres",
        "password authentication failed",
        "user or password in ATLAS_DATABASE_URL",
    ),
    ("bob@{at}/postgres", "no password supplied", "user or password in ATLAS_DATABASE_URL"),
    (
        "bob:the-secret-of-bob@{at}/offices",
        'database "offices" does not exist',
        "Make the database (createdb)",
    ),
    ("no-one@{at}/postgres", 'role "no-one" does not exist', "Make the user"),
    ("stranger@{at}/postgres", "rejects connection", "pg_hba.conf"),
    ("bob:the-secret-of-bob@127.0.0.1:1/postgres", "Connection refused", "that the server runs"),
    ("bob:the-secret-of-bob@no-such-host.invalid/x", "no-such-host.invalid", "Check host and port"),
    ("bob:the-secret-of-bob@{at}/postgres?colour=red", "colour", "Take it out of ATLAS_DATABASE_URL"),
    (
        "bob:the-secret-of-bob@{at}/postgres",
        "permission denied for schema public",
        "docs/how-to/postgresql.md",
    ),
    (
        "bob:the-secret-of-bob@{at}/postgres?options=-c%20default_transaction_read_only%3Don",
        "it is a standby, or read-only",
        "Name the primary in ATLAS_DATABASE_URL",
    ),
)


@pytest.mark.parametrize(("url", "what", "remedy"), WRONG)
def test_what_is_wrong_is_said_with_its_remedy(
    server: PostgresServer, url: str, what: str, remedy: str
) -> None:
    """Each names a file or a setting."""
    said = said_of("postgresql://" + url.format(at=f"127.0.0.1:{server.port}"))
    assert what in said and remedy in said, said


def test_a_certificate_of_the_authority_that_was_named_is_accepted_and_no_other(
    server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """`sslmode=verify-full`, as the page has it."""
    url = f"{server.url(database='postgres')}?sslmode=verify-full&sslrootcert={server.directory}"
    assert "Mend sslmode and sslrootcert" in said_of(f"{url}/other.pem")
    assert "Mend sslmode and sslrootcert" in said_of(f"{url}/missing.pem")
    elsewhere = url.replace("127.0.0.1", "localhost")
    assert "Mend sslmode and sslrootcert" in said_of(f"{elsewhere}/ca.pem")  # it is not its name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLAS_DATABASE_URL", f"{url}/ca.pem")
    assert main(["migrate"]) == 0
    assert main(["check"]) == 0
    assert "as atlas, over TLSv1." in capsys.readouterr().out


def test_a_standby_is_refused() -> None:
    """A real one, in recovery."""
    with postgres_server() as server:
        server.stop(immediately=False)
        (server.directory / "data/standby.signal").touch()
        if AS_OTHER:
            shutil.chown(server.directory / "data/standby.signal", "postgres", "postgres")
        server.start()
        assert "it is a standby, or read-only" in said_of(server.url())


async def test_a_gateway_whose_server_is_away_says_so_and_its_log_has_no_password(
    server: PostgresServer, tmp_path: Path
) -> None:
    """At its start."""
    url = f"postgresql://bob:{SECRET}@127.0.0.1:1/atlas"
    gateway = GatewayProcess(tmp_path, ATLAS_DATABASE_URL=url, ATLAS_LOG_LEVEL="DEBUG")
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    said = gateway.log.read_text()
    assert "The database postgresql://127.0.0.1:1/atlas cannot be used: " in said
    assert "Check host and port in ATLAS_DATABASE_URL" in said
    assert SECRET not in said


async def test_a_server_that_goes_away_is_a_problem_without_a_password(tmp_path: Path) -> None:
    """What `/readyz` says, while it is away; and nothing when it is back."""
    with postgres_server() as server:
        url = server.new_database("away").replace("atlas@", f"atlas:{SECRET}@")
        database = PostgresDatabase(Address(url), tmp_path)
        await database.open()
        try:
            assert await database.check() is None
            async with server.away():
                said = await database.check()
            assert said and SECRET not in said
            assert await database.check() is None
        finally:
            await database.close()


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://bob:{SECRET}@db/atlas",
        f"bob:{SECRET}@db/atlas",
        f"postgresql://bob:{SECRET}@db:port/atlas",
        f"postgresql://bob:x/{SECRET}@db:12:34/atlas",
    ],
)
def test_a_setting_that_is_no_url_is_refused_without_a_word_of_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who reads over a shoulder learns no password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    with pytest.raises(SystemExit) as caught:
        Settings.read()
    assert "Write a PostgreSQL URL, such as" in str(caught.value) and SECRET not in str(caught.value)
