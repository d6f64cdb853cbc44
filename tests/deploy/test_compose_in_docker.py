"""deploy/up.sh on a real Docker engine, with stand-ins for the images of others, which need a registry."""

import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from at_balancer import SITE, secrets_of, see_a_call_governed, trust
from documentation import ROOT
from fastmcp.client.transports import StreamableHttpTransport
from gateway_process import WAIT_SECONDS
from ports import kept_port
from sse import LeavingTransport

BASE = "python:3.13-slim"
GATEWAY, STAND_IN = "atlas-gateway-of-the-tests", "atlas-stand-in-of-the-tests"
PROJECT = "atlas-several-of-the-tests"
IMAGES = ("POSTGRES_IMAGE", "REDIS_IMAGE", "INNGEST_IMAGE", "BALANCER_IMAGE")
SECONDS = 900


def docker(*words: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run docker; what it says is text."""
    given = os.environ | environment
    return subprocess.run(
        ["docker", *words], cwd=folder, env=given, capture_output=True, text=True, timeout=SECONDS
    )


def has_engine() -> bool:
    """Whether an engine with Compose answers that can build the image without a registry."""
    if shutil.which("docker") is None or docker("compose", "version").returncode:
        return False
    return docker("image", "inspect", BASE).returncode == 0


pytestmark = [
    pytest.mark.skipif(not has_engine(), reason=f"no Docker engine with Compose here that has {BASE}"),
    pytest.mark.timeout(2 * SECONDS),
]


class Running(NamedTuple):
    """What deploy/up.sh has started."""

    deploy: Path
    port: int

    @property
    def url(self) -> str:
        """Where the balancer is on this machine."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What trusts its certificate, at an address that is not in it."""
        return trust(self.deploy)

    def key(self, name: str) -> str:
        """A key of the gateways."""
        return secrets_of(self.deploy)[name]

    def compose(self, *words: str) -> str:
        """What Compose says of the project."""
        done = docker("compose", *words, folder=self.deploy, **ENVIRONMENT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


ENVIRONMENT = {"GATEWAY_IMAGE": GATEWAY, "COMPOSE_PROJECT_NAME": PROJECT}


def build_stand_ins(checkout: Path) -> dict[str, str]:
    """Build what stands in for the images that cannot be pulled; returns which setting names it."""
    built = docker("build", "--tag", GATEWAY, ".", folder=checkout)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr
    folder = ROOT / "tests" / "deploy" / "stand_ins"
    # The network of this machine: its registry of packages may be on loopback.
    built = docker(
        "build",
        "--network",
        "host",
        "--build-arg",
        f"GATEWAY={GATEWAY}",
        "--tag",
        STAND_IN,
        ".",
        folder=folder,
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr
    return dict.fromkeys(IMAGES, STAND_IN)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All services, started by the one command in a copy of the checkout."""
    checkout = tmp_path_factory.mktemp("docker") / "checkout"
    hidden = shutil.ignore_patterns(".git", ".venv", ".env", "secrets", "data", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=hidden)
    here = Running(checkout / "deploy", kept_port())
    own = {"PUBLISHED": "127.0.0.1", "HTTPS_PORT": str(here.port)} | build_stand_ins(checkout)
    (here.deploy / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    try:
        done = up(here, SITE)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:] + logs(here)
        yield here
    finally:
        docker("compose", "down", "--volumes", "--timeout", "5", folder=here.deploy, **ENVIRONMENT)
        docker("image", "rm", "--force", GATEWAY, STAND_IN)


def up(here: Running, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the one command."""
    command = [here.deploy / "up.sh", *words]
    given = os.environ | ENVIRONMENT
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=SECONDS)


def logs(here: Running) -> str:
    """The end of what every service has said."""
    return docker("compose", "logs", "--tail", "30", folder=here.deploy, **ENVIRONMENT).stdout


def test_every_service_is_healthy_and_only_the_balancer_is_published(running: Running) -> None:
    """As Compose sees them."""
    found = {
        one["Service"]: one for one in map(json.loads, running.compose("ps", "--format", "json").splitlines())
    }
    assert found.keys() == {"postgres", "redis", "inngest", "gateway-1", "gateway-2", "balancer"}
    assert {one["Health"] for one in found.values()} == {"healthy"}
    published = {
        name for name, one in found.items() if any(port["PublishedPort"] for port in one["Publishers"])
    }
    assert published == {"balancer"}


@pytest.mark.parametrize(
    ("path", "transport"), [("/mcp", StreamableHttpTransport), ("/mcp/sse", LeavingTransport)]
)
async def test_a_call_is_governed_in_the_containers(running: Running, path: str, transport: Any) -> None:
    """By TLS to the balancer, to one of two gateways, through the engine and back."""
    await see_a_call_governed(running.url, running.deploy, path=path, transport=transport)


def test_a_browser_over_tls_is_believed(running: Running) -> None:
    """The network that ATLAS_FORWARDED_FROM names is the one in which the balancer is."""
    for origin, status in ((f"https://{SITE}", 200), (f"http://{SITE}", 403)):
        headers = {"Host": SITE, "Origin": origin}
        assert httpx.get(f"{running.url}/", headers=headers, verify=running.trust).status_code == status


def test_a_store_leads_nowhere_and_the_engine_has_no_other_neighbours(running: Running) -> None:
    """From the engine's container neither the world nor the gateways' own network is reached."""
    reach = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
    ways = [("inngest", "balancer", "8080", True), ("inngest", "redis", "6379", True)]
    ways += [("gateway-1", "inngest", "8288", True), ("gateway-1", "redis", "6379", False)]
    ways += [("inngest", "192.0.2.1", "80", False), ("redis", "postgres", "5432", False)]
    for origin, host, port, is_open in ways:
        done = docker(
            *("compose", "exec", "--no-TTY", origin, "python", "-c", reach, host, port),
            folder=running.deploy,
            **ENVIRONMENT,
        )
        assert (done.returncode == 0) == is_open, (origin, host, port, done.stderr)


def test_a_service_writes_its_volume_alone_and_is_not_root(running: Running) -> None:
    """Where the operator is root, the gateways and the balancer have their user, without a capability."""
    for name in ("postgres", "redis", "inngest", "gateway-1", "balancer"):
        status = running.compose("exec", "--no-TTY", name, "cat", "/proc/1/status")
        assert "CapEff:\t" + "0" * 16 in status, name
        done = docker(
            "compose", "exec", "--no-TTY", name, "touch", "/x", folder=running.deploy, **ENVIRONMENT
        )
        assert "Read-only file system" in done.stderr, name


def containers(running: Running) -> dict[str, str]:
    """The container of each service."""
    return {name: running.compose("ps", "--quiet", name) for name in ("gateway-1", "gateway-2", "balancer")}


def test_without_a_change_the_same_command_leaves_every_container(running: Running) -> None:
    """So it can be typed at any time."""
    before = containers(running)
    assert up(running).returncode == 0
    assert containers(running) == before


def test_what_has_changed_is_put_in_place_while_one_gateway_serves(running: Running) -> None:
    """A setting and a policy; the policy is in force then, and one put by hand later stays so."""
    before, failed, is_over = containers(running), list[str](), threading.Event()

    def ask() -> None:
        while not is_over.wait(0.2):
            try:
                answer = httpx.get(
                    f"{running.url}/", headers={"Host": SITE}, verify=running.trust, timeout=20
                )
                failed.extend([] if answer.is_success else [f"{answer.status_code}"])
            except httpx.TransportError as error:
                failed.append(repr(error))

    own, policy = running.deploy / "secrets" / "gateway.env", running.deploy / "mine.toml"
    own.write_text(own.read_text().replace("ATLAS_RISK_THRESHOLD=70", "ATLAS_RISK_THRESHOLD=55"))
    shipped = (ROOT / "atlas" / "policy.toml").read_text()
    policy.write_text(f"# ours\n{shipped}")
    with (running.deploy / ".env").open("a") as file:
        file.write("POLICY=./mine.toml\n")
    asking = threading.Thread(target=ask)
    asking.start()
    done = up(running)
    is_over.set()
    asking.join()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:] + logs(running)
    assert not failed
    after = containers(running)
    assert [name for name in after if after[name] != before[name]] == ["gateway-1", "gateway-2"]
    at_first = ("exec", "--no-TTY", "gateway-1")
    assert "ATLAS_RISK_THRESHOLD=55" in running.compose(*at_first, "cat", "/app/.env")
    assert "/policy.toml is in force for all gateways" in done.stdout
    of_policy = (*at_first, "python", "-m", "atlas.assessors.policy")
    assert running.compose(*of_policy, "show").startswith("# ours\n")
    running.compose(*of_policy, "put", "atlas/policy.toml")
    assert up(running).returncode == 0
    assert running.compose(*of_policy, "show").strip() == shipped.strip()


def test_a_policy_that_cannot_be_used_stops_no_gateway(running: Running) -> None:
    """The mistake is told first."""
    before, policy = containers(running), running.deploy / "mine.toml"
    good = policy.read_text()
    policy.write_text("x = = 1\n")
    done = up(running)
    policy.write_text(good)
    assert done.returncode != 0 and "/policy.toml" in done.stderr
    assert containers(running) == before


def test_what_was_kept_is_there_after_a_restart_of_everything(running: Running) -> None:
    """By the same command; secrets and volumes are the same. The last test."""
    before = running.key("ATLAS_REVIEWER_KEY")
    docker("compose", "kill", folder=running.deploy, **ENVIRONMENT)
    done = up(running)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:] + logs(running)
    assert running.key("ATLAS_REVIEWER_KEY") == before
    end = time.monotonic() + WAIT_SECONDS
    headers = {"Host": SITE, "Authorization": f"Bearer {before}"}
    while (
        answer := httpx.get(f"{running.url}/cases", headers=headers, verify=running.trust)
    ).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(0.2)
    assert len(answer.json()["cases"]) >= 2
