"""deploy/compose.yaml: what it closes, and a governed call through all that it starts."""

import asyncio
import contextlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import compose_by_hand
import httpx
import nginx_process
import pytest
import pytest_asyncio
from at_balancer import RISKY, SITE, secrets_of, see_a_call_governed, trust
from compose_by_hand import ByHand, by_hand, description
from cryptography import x509
from dotenv import dotenv_values
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import ROOT, WAIT_SECONDS, call, eventually, text_of
from mcp.shared.exceptions import MCPError
from sse import LeavingTransport

from atlas.settings import Settings

HAPROXY = "balancer/haproxy.cfg"
FILE = description({"RUN_AS": "1000:0"})
SERVICES: dict[str, Any] = FILE["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


def several(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Write what the file needs, as deploy/up.sh does."""
    command = [sys.executable, "-m", "atlas.configure", "several", str(folder), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and secrets."""
    made = tmp_path_factory.mktemp("several")
    done = several(made, SITE)
    assert done.returncode == 0, done.stderr
    return made


# ── What the file says ───────────────────────────────────────────────────────────────────────────────────


@each_service
def test_a_service_can_do_little_and_writes_where_it_has_to(name: str) -> None:
    """A read-only root, no capability, no new right, a log that does not fill the disk, no user 0."""
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["user"] not in ("", "root", "0", "0:0")
    assert not {"privileged", "network_mode", "cap_add", "pid"} & service.keys()


@each_service
def test_a_service_has_a_version_and_a_health_check(name: str) -> None:
    """So that an update is a change of the file, and what depends on it waits until it answers."""
    service = SERVICES[name]
    image, _, tag = service["image"].partition(":")
    assert image == "atlas-gateway" or re.search(r"\d+\.\d+", tag), service["image"]
    if name == "migrate":
        assert service["restart"] == "no" and service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped" and service["healthcheck"]["test"]


def test_only_the_balancer_is_reached_from_outside() -> None:
    """By one port; the stores and the engine are in networks that lead nowhere."""
    assert {name for name, service in SERVICES.items() if service.get("ports")} == {"balancer"}
    assert SERVICES["balancer"]["ports"] == ["0.0.0.0:443:8443"]
    closed = {name for name, network in FILE["networks"].items() if (network or {}).get("internal")}
    assert closed == {"store", "queue", "engine"}
    for name in ("postgres", "redis", "inngest", "migrate"):
        assert set(SERVICES[name]["networks"]) <= closed
    assert not set(SERVICES["balancer"]["networks"]) & {"store", "queue"}


def test_what_has_to_outlast_a_container_is_in_a_volume() -> None:
    """Cases, runs, and the data directory of each gateway."""
    kept = {
        volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])
    }
    assert kept == FILE["volumes"].keys() == {"postgres", "redis", "gateway-1", "gateway-2"}


def test_inngest_is_signed_and_is_no_dev_server() -> None:
    """`inngest start` with keys; without its pages, which ask no one who they are."""
    command = SERVICES["inngest"]["command"]
    assert command[:2] == ["inngest", "start"] and "--no-ui" in command
    assert not any("key" in word or "INNGEST_DEV" in word for word in command)


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing() -> None:
    """An append-only file, and no key that is dropped when memory is short."""
    [script] = [word for word in SERVICES["redis"]["command"] if "redis-server" in word]
    assert "--appendonly yes" in script and "--maxmemory-policy noeviction" in script


def test_a_gateway_has_time_to_end_what_it_runs(folder: Path) -> None:
    """As long as a tool may take, after the balancer has found out, and a moment more."""
    settings = Settings.read(_env_file=folder / "secrets" / "gateway.env")
    assert settings.atlas_stop_timeout.total_seconds() >= settings.atlas_execute_seconds
    stopping = settings.atlas_drain_time + settings.atlas_stop_timeout
    for name in ("gateway-1", "gateway-2"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > stopping.total_seconds() + 10
    assert not {"ATLAS_DRAIN_TIME", "ATLAS_STOP_TIMEOUT"} & SERVICES["gateway-1"]["environment"].keys()
    every, falls = re.findall(r"inter (\d+)s fall (\d+)", (compose_by_hand.DEPLOY / HAPROXY).read_text())[0]
    assert settings.atlas_drain_time.total_seconds() > int(every) * (int(falls) + 1)


# ── What is written for it ───────────────────────────────────────────────────────────────────────────────


def test_secrets_are_drawn_and_only_the_owner_can_read_them(folder: Path) -> None:
    """Each is another, none is in the file of Compose or in the output."""
    for path in [folder / ".env", *(folder / "secrets").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    drawn = [value for value in secrets_of(folder).values() if re.fullmatch(r"[0-9a-f]{64}", value)]
    assert len(drawn) == len(set(drawn)) == 8
    assert not any(value in (folder / ".env").read_text() for value in drawn)


def test_a_second_run_changes_no_secret_and_follows_a_new_host(folder: Path, tmp_path: Path) -> None:
    """Nor a setting that the operator wrote."""
    several(tmp_path, SITE)
    before = secrets_of(tmp_path)
    own = tmp_path / "secrets" / "gateway.env"
    own.write_text(own.read_text().replace("ATLAS_RISK_THRESHOLD=70", "ATLAS_RISK_THRESHOLD=55"))
    with (tmp_path / ".env").open("a") as file:
        file.write("HTTPS_PORT=8443\nFRONT_SUBNET=10.9.8.0/28\n")
    done = several(tmp_path, "other.example.com")
    assert done.returncode == 0, done.stderr
    after = secrets_of(tmp_path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        "ATLAS_ALLOWED_HOSTS",
        "ATLAS_PUBLIC_URL",
        "ATLAS_FORWARDED_FROM",
        "ATLAS_RISK_THRESHOLD",
    }
    assert after["ATLAS_PUBLIC_URL"] == "https://other.example.com:8443"
    assert after["ATLAS_FORWARDED_FROM"] == "10.9.8.0/28"
    assert several(tmp_path).returncode == 0 and secrets_of(tmp_path) == after


def test_a_changed_file_makes_new_containers_of_those_that_read_it() -> None:
    """By a label, which Compose compares: it does not look into the files that it mounts."""
    files = {
        name: f"what {name} holds" for name in ("GATEWAY_FILES", "BALANCER_FILES", "POLICY", "MCP_SERVERS")
    }
    services = description({"RUN_AS": "1000:0"} | files)["services"]
    of_gateways = {
        "files": files["GATEWAY_FILES"],
        "policy": files["POLICY"],
        "servers": files["MCP_SERVERS"],
    }
    for name in ("migrate", "gateway-1", "gateway-2"):
        assert services[name]["labels"] == of_gateways
    assert services["balancer"]["labels"] == {"files": files["BALANCER_FILES"]}


def test_the_balancer_outlasts_a_start_of_both_gateways() -> None:
    """Its health check fails while none is ready, and deploy/up.sh waits for it."""
    own, of_gateways = SERVICES["balancer"]["healthcheck"], SERVICES["gateway-1"]["healthcheck"]
    seconds = int(own["interval"].removesuffix("s")) * own["retries"]
    assert seconds > int(of_gateways["start_period"].removesuffix("s"))


def test_gateways_get_the_time_to_end_that_their_settings_ask_for(tmp_path: Path) -> None:
    """Else they would be killed while a tool runs."""
    several(tmp_path, SITE)
    assert dotenv_values(tmp_path / ".env")["GATEWAY_GRACE"] == "330s"
    own = tmp_path / "secrets" / "gateway.env"
    own.write_text(own.read_text().replace("ATLAS_STOP_TIMEOUT=300s", "ATLAS_STOP_TIMEOUT=10m"))
    several(tmp_path)
    given = dotenv_values(tmp_path / ".env")["GATEWAY_GRACE"] or ""
    assert given == "630s"
    services = description({"RUN_AS": "1000:0", "GATEWAY_GRACE": given})["services"]
    assert services["gateway-1"]["stop_grace_period"] == services["gateway-2"]["stop_grace_period"] == given


def test_a_new_host_gets_a_certificate_unless_an_operator_put_one_there(tmp_path: Path) -> None:
    """What was made here is made again; what was not is named, and stays."""
    several(tmp_path, SITE)
    path, sums = tmp_path / "secrets" / "tls.pem", []
    for host, names in ((SITE, {SITE}), ("other.example.com", {"other.example.com"})):
        done = several(tmp_path, host)
        assert done.returncode == 0 and named_in(path) == names
        sums.append(dotenv_values(tmp_path / ".env")["BALANCER_FILES"])
    assert sums[0] != sums[1]
    before = path.read_text() + "# of an operator\n"
    path.write_text(before)
    assert "for another name" not in several(tmp_path, "other.example.com").stderr
    done = several(tmp_path, SITE)
    assert done.returncode == 0 and path.read_text() == before
    assert f"tls.pem is a certificate for another name than {SITE}" in done.stderr
    assert dotenv_values(tmp_path / ".env")["BALANCER_FILES"] not in sums


def named_in(path: Path) -> set[str]:
    """The names of which a certificate is."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize("words", [(), ("https://gateway.example.com",), ("Gateway",), ("-",), ("a..b",)])
def test_without_a_host_nothing_is_written(tmp_path: Path, words: tuple[str, ...]) -> None:
    """It says what it wants."""
    done = several(tmp_path, *words)
    assert done.returncode == 1 and "Name the host under which" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    """In the gateway's own words."""
    several(tmp_path, SITE)
    own = tmp_path / "secrets" / "gateway.env"
    own.write_text(own.read_text().replace("ATLAS_RISK_THRESHOLD=70", "ATLAS_RISK_THRESHOLD=900"))
    done = several(tmp_path)
    assert done.returncode == 1 and "less than or equal to 100" in done.stderr


def test_the_networks_that_the_gateways_trust_is_that_of_the_file(folder: Path) -> None:
    """What the balancer says of TLS counts."""
    [subnet] = FILE["networks"]["front"]["ipam"]["config"]
    assert secrets_of(folder)["ATLAS_FORWARDED_FROM"] == subnet["subnet"]


# ── All of it, by hand ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A folder that the user of PostgreSQL may enter."""
    with TemporaryDirectory(prefix="atlas-several-") as made:
        os.chmod(made, 0o755)  # noqa: S103
        yield Path(made)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(folder: Path, directory: Path) -> AsyncIterator[ByHand]:
    """Every service of the file."""
    if lacking := compose_by_hand.missing():
        pytest.skip(f"this machine has no {', '.join(lacking)}: install Debian's packages")
    async with by_hand(folder, directory) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "transport"), [("/mcp", StreamableHttpTransport), ("/mcp/sse", LeavingTransport)]
)
async def test_a_call_is_governed_through_all_of_it(
    services: ByHand, folder: Path, path: str, transport: Any
) -> None:
    """A person approves it at the balancer; the stand-in of Inngest runs its steps; PostgreSQL keeps it."""
    here = f"https://127.0.0.1:{services.outside}"
    await see_a_call_governed(here, folder, path=path, transport=transport)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["haproxy", "nginx"])
async def ports(services: ByHand, request: pytest.FixtureRequest) -> tuple[int, int]:
    """The outer and the inner port of each balancer whose configuration is there."""
    if request.param == "haproxy":
        return services.outside, services.ports["balancer"]
    if nginx_process.program() is None:
        pytest.skip("this machine has no nginx, and PyPI has none for it")
    return await services.start_nginx()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/", {"Host": "other.example.com"}, 421),
        ("/", {"Origin": f"https://{SITE}"}, 200),  # the balancer says that it was asked over TLS
        ("/", {"Origin": f"http://{SITE}"}, 403),
        (
            "/",
            {"Origin": f"http://{SITE}", "X-Forwarded-Proto": "http"},
            403,
        ),  # what a stranger says of it is not
        ("/desk/sign-in", {}, 200),
        ("/mcp", {}, 401),
        ("/api/inngest", {}, 404),
        ("/metrics", {}, 404),
    ],
)
async def test_the_balancer_lets_in_what_is_for_agents_and_people(
    ports: tuple[int, int], folder: Path, path: str, headers: dict[str, str], status: int
) -> None:
    """The engine has a door of its own inside, and nothing else is behind that one."""
    async with httpx.AsyncClient(verify=trust(folder), timeout=WAIT_SECONDS) as client:
        answer = await client.get(f"https://127.0.0.1:{ports[0]}{path}", headers={"Host": SITE} | headers)
        assert answer.status_code == status, answer.text
        inside = await client.get(f"http://127.0.0.1:{ports[1]}{path}")
        assert (inside.status_code == 404) == (path != "/api/inngest")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/mcp", "/mcp/sse"])
async def test_a_session_stays_with_its_gateway(ports: tuple[int, int], folder: Path, path: str) -> None:
    """Each of its requests comes to the one that has it: ten calls in a row, and six sessions at once."""
    transport = LeavingTransport if path == "/mcp/sse" else StreamableHttpTransport
    way = {"headers": {"Host": SITE}, "auth": secrets_of(folder)["ATLAS_AGENT_KEY"], "verify": trust(folder)}

    async def talk() -> int:
        async with Client(
            transport(f"https://127.0.0.1:{ports[0]}{path}", **way), timeout=WAIT_SECONDS
        ) as agent:
            return len([await agent.list_tools() for _ in range(10)])

    assert await asyncio.gather(*(talk() for _ in range(6))) == [10] * 6


@pytest.mark.asyncio(loop_scope="module")
async def test_the_stores_want_their_passwords_and_redis_keeps_what_it_took(
    services: ByHand, folder: Path
) -> None:
    """Also over a crash: the append-only file is read again."""
    port, own = str(services.ports["redis"]), secrets_of(folder)
    database = [
        "psql",
        "--no-password",
        "-h",
        "127.0.0.1",
        "-p",
        str(services.ports["postgres"]),
        "-c",
        "SELECT 1",
    ]
    for user, name, password, said in (
        ("atlas", "atlas", own["GATEWAY_PASSWORD"], "1 row"),
        ("atlas", "atlas", own["INNGEST_PASSWORD"], "password authentication failed"),
        ("atlas", "inngest", own["GATEWAY_PASSWORD"], "permission denied"),
        ("inngest", "atlas", own["INNGEST_PASSWORD"], "permission denied"),
    ):
        assert said in await asked(*database, "-U", user, name, PGPASSWORD=password)
    cli = ["redis-cli", "-p", port]
    assert "NOAUTH" in await asked(*cli, "get", "kept")
    assert "OK" in await asked(*cli, "set", "kept", "so", REDISCLI_AUTH=own["REDISCLI_AUTH"])
    services.processes["redis"].kill()
    await services.processes["redis"].wait()
    await services.start_redis("redis")
    await services.healthy("redis")
    assert "so" in await asked(*cli, "get", "kept", REDISCLI_AUTH=own["REDISCLI_AUTH"])


@pytest.mark.asyncio(loop_scope="module")
async def test_with_one_gateway_dead_the_other_takes_calls(services: ByHand, folder: Path) -> None:
    """The balancer finds out by the health check. The last test: the gateway does not come back."""
    services.processes["gateway-1"].kill()
    await services.processes["gateway-1"].wait()
    here = f"https://127.0.0.1:{services.outside}"

    async def is_governed() -> bool:
        way = StreamableHttpTransport(
            f"{here}/mcp",
            headers={"Host": SITE},
            auth=secrets_of(folder)["ATLAS_AGENT_KEY"],
            verify=trust(folder),
        )
        with contextlib.suppress(httpx.HTTPError, RuntimeError, MCPError):
            async with Client(way, timeout=WAIT_SECONDS) as agent:
                return "PENDING REVIEW" in text_of(await call(agent, "request_payment_extension", **RISKY))
        return False

    assert await eventually(is_governed)
    async with httpx.AsyncClient(verify=trust(folder), timeout=WAIT_SECONDS) as client:
        for _ in range(10):
            assert (await client.get(f"{here}/", headers={"Host": SITE})).status_code == 200


async def asked(*words: str, **environment: str) -> str:
    """What a command says, whether it succeeds or not."""
    process = await asyncio.create_subprocess_exec(
        *words,
        env={"PATH": compose_by_hand.SEARCHED} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    return said.decode()
