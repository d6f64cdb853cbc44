"""The image on a real Docker engine, under a name of its own; only where an engine has the base image."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from setup_terminal import ROOT

from atlas import __version__

NAME = "atlas-gateway-of-the-tests"
BASE = "python:3.13-slim"
SECONDS = 300


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    """Run docker; what it says is text."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=SECONDS)


def has_engine() -> bool:
    """Whether an engine answers that can build the image without a registry."""
    return shutil.which("docker") is not None and docker("image", "inspect", BASE).returncode == 0


pytestmark = [
    pytest.mark.skipif(not has_engine(), reason=f"no Docker engine here that has {BASE}"),
    pytest.mark.timeout(2 * SECONDS),
]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout whose gateway runs in a container with a name, a volume and a port of its own."""
    checkout = tmp_path_factory.mktemp("docker") / "checkout"
    hidden = shutil.ignore_patterns(
        ".git", ".venv", ".env", "data", "__pycache__", "node_modules", ".*_cache"
    )
    shutil.copytree(ROOT, checkout, ignore=hidden)
    for name in ("setup.sh", "compose.yaml", "atlas/configure/container.py", "atlas/configure/check.py"):
        path = checkout / name
        path.write_text(path.read_text().replace("atlas-gateway", NAME))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.copy2(checkout / "atlas" / "policy.toml", checkout / "mine.toml")
    # Forms of lines that docker's own reader takes for something else.
    (checkout / ".env").write_text(
        f"export ATLAS_PORT = {port}  # ours\nATLAS_RISK_THRESHOLD=\"65\"\nATLAS_POLICY='mine.toml'\n"
    )
    try:
        done = setup(checkout)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        assert f"The gateway answers at http://127.0.0.1:{port}\n" in done.stdout
        yield checkout
    finally:
        docker("rm", "--force", NAME)
        docker("volume", "rm", "--force", f"{NAME}-data")
        docker("image", "rm", "--force", NAME)


def setup(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ./setup.sh without a terminal."""
    return subprocess.run(
        [checkout / "setup.sh", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={name: os.environ[name] for name in os.environ if not name.startswith(("ATLAS_", "INNGEST_"))},
    )


def test_the_settings_are_those_of_the_file(container: Path) -> None:
    """In every form that a line can have, and with the real port in the log."""
    log = docker("logs", NAME).stdout
    port = next(line for line in (container / ".env").read_text().splitlines() if "ATLAS_PORT" in line)
    assert "a person decides from 65" in log
    assert f"http://127.0.0.1:{port.split()[3]}/mcp/sse" in log


def test_the_image_says_what_it_is(container: Path) -> None:
    """In the labels of the Open Container Initiative, on which base it stands too."""
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", NAME).stdout)
    own = {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()}
    assert (own["title"], own["version"]) == ("ATLAS Governance Gateway", __version__)
    assert own["base.name"] == BASE


def test_the_handshake_runs_in_it(container: Path) -> None:
    """With nothing but Docker."""
    assert "PASSED. The approved call ran once, the rejected one never." in setup(container, "try").stdout


def test_it_sees_one_file_of_ours_and_has_no_rights(container: Path) -> None:
    """The policy is there without its neighbours; nothing but /data and /tmp can be written."""
    assert docker("exec", NAME, "test", "-r", "/policy.toml").returncode == 0
    assert docker("exec", NAME, "test", "-e", "/app/.git").returncode == 1
    assert "Read-only file system" in docker("exec", NAME, "touch", "/app/x").stderr
    assert docker("exec", NAME, "grep", "CapEff", "/proc/1/status").stdout.split() == ["CapEff:", "0" * 16]


def test_a_backup_comes_out_of_it(container: Path) -> None:
    """Though it can write nothing on this machine."""
    done = subprocess.run(
        ["docker", "exec", NAME, "python", "-m", "atlas.backup"], capture_output=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert b"the ledger in it verifies" in done.stderr and b"engine.keys" in done.stdout


def test_settings_that_cannot_be_used_leave_it_alone(container: Path) -> None:
    """The sentence comes before anything is stopped."""
    since = docker("inspect", "--format", "{{.State.StartedAt}}", NAME).stdout
    good = (container / ".env").read_text()
    (container / ".env").write_text(good.replace('"65"', "900"))
    done = setup(container)
    (container / ".env").write_text(good)
    assert (done.returncode, "less than or equal to 100" in done.stderr) == (1, True)
    assert docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Running}}", NAME).stdout == (
        since.strip() + " true\n"
    )


def test_a_port_of_another_program_leaves_it_alone(container: Path) -> None:
    """The engine is asked for the new port while the old gateway runs."""
    since = docker("inspect", "--format", "{{.State.StartedAt}}", NAME).stdout
    good = (container / ".env").read_text()
    with socket.create_server(("127.0.0.1", 0)) as other:
        held = re.sub(r"(ATLAS_PORT *= *)\d+", rf"\g<1>{other.getsockname()[1]}", good)
        (container / ".env").write_text(held)
        done = setup(container)
    (container / ".env").write_text(good)
    assert done.returncode == 1 and "If a gateway runs, it was left alone." in done.stderr
    assert docker("inspect", "--format", "{{.State.StartedAt}}", NAME).stdout == since


def test_files_of_another_user_and_a_backup_are_put_back(container: Path) -> None:
    """By the command of docs/how-to/backup.md, without a gateway."""
    before = entries_in_it()
    command = ["docker", "exec", NAME, "python", "-m", "atlas.backup"]
    backup = subprocess.run(command, capture_output=True, timeout=SECONDS).stdout
    assert setup(container, "stop").returncode == 0
    unpack = "find /data -mindepth 1 -delete && tar -x -C /data"
    volume = ("--volume", f"{NAME}-data:/data")
    options = ("--rm", "--interactive", "--network", "none", "--user", f"{os.getuid()}:0", *volume)
    command = ["docker", "run", *options, NAME, "sh", "-c", unpack]
    subprocess.run(command, input=backup, timeout=SECONDS, check=True)
    docker("run", "--rm", "--user", "0:0", *volume, NAME, "chown", "-R", "4711:4711", "/data")
    again = setup(container)
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr
    assert entries_in_it() >= before > 0


def entries_in_it() -> int:
    """How many entries its ledger has, which verifies."""
    done = docker("exec", NAME, "python", "-m", "atlas.ledger", "verify")
    found = re.search(r"OK: (\d+) entries verified", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1])


@pytest.mark.parametrize("user", ["1000770000:0", "10001:0"])
def test_any_user_of_group_0_can_write_a_fresh_volume(container: Path, user: str) -> None:
    """As OpenShift runs it."""
    look = "from atlas.database.sqlite.data_directory import require_writable"
    command = f"from pathlib import Path; {look}; require_writable(Path('/data'))"
    assert docker("run", "--rm", "--user", user, NAME, "python", "-c", command).stderr == ""


def test_a_data_directory_that_cannot_be_written_ends_the_start_with_a_sentence(container: Path) -> None:
    """And not as damaged keys."""
    keys = ("--env", f"ATLAS_AGENT_KEY={'a' * 32}", "--env", f"ATLAS_REVIEWER_KEY={'b' * 32}")
    done = docker("run", "--rm", "--user", "4711:4711", *keys, NAME)
    assert done.returncode == 1
    assert done.stderr == (
        "The gateway does not start: The data directory /data cannot be used: "
        "it cannot be read and written by user 4711 (group 4711).\n"
    )


def test_it_stops_as_it_does_outside_of_docker(container: Path) -> None:
    """By SIGTERM, without an error in its log. The last test: nothing runs after it."""
    assert "Stopped the gateway in Docker." in setup(container, "stop").stdout
    assert docker("inspect", "--format", "{{.State.ExitCode}}", NAME).stdout == "143\n"
    assert " ERROR " not in docker("logs", NAME).stderr
