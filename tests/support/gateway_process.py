"""A real gateway in a process of its own, on a port of its own, with a data directory that outlives it."""

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from kept import rows_in, store_settings
from nursery import ROOT, Child, nursery
from sse import LeavingTransport

AGENT_KEY = "agent-key-of-the-tests"
OTHER_AGENT_KEY = "other-agent-key-of-the-tests"
REVIEWER_KEY = "reviewer-key-of-the-tests"
START_SECONDS = 240.0  # a cold start on a machine that has much else to do
WAIT_SECONDS = 60.0  # more than any machine takes that does something
REFERENCE = re.compile(r"evt_[0-9a-f]{16}")


class GatewayProcess:
    """Starts, kills and restarts gateway.py, or another script that serves the gateway's app.

    A script of this checkout runs in a process that is forked from one that has imported everything. What a
    start is like without that, a `ColdGateway` shows.
    """

    def __init__(self, directory: Path, script: Path = ROOT / "gateway.py", **environment: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "gateway.log"
        self.url = ""
        self.script = script
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            "ATLAS_PORT": "0",
            "ATLAS_DATA_DIR": str(self.data),
            "ATLAS_AGENT_KEY": f"agent:{AGENT_KEY},other:{OTHER_AGENT_KEY}",
            "ATLAS_REVIEWER_KEY": REVIEWER_KEY,
            "ATLAS_GRACE_SECONDS": "20",  # a result is awaited on a slow machine too; some tests set it
            "ATLAS_REVIEW_GRACE_SECONDS": "0",  # else every call that waits would be held; some tests set it
            # Many tests ask for more than a normal agent; tests/cases/test_limits.py has limits of its own.
            "ATLAS_CALLS_PER_MINUTE": "1000000",
            "ATLAS_CALLS_PER_MINUTE_IN_ALL": "1000000",
            "ATLAS_WAITING_CASES": "1000000",
            "ATLAS_WAITING_CASES_IN_ALL": "1000000",
        } | environment
        if "ATLAS_DATABASE_URL" not in environment:
            self._environment |= store_settings(Path(self._environment["ATLAS_DATA_DIR"]))
        self._process: asyncio.subprocess.Process | Child | None = None
        self._started_with: dict[str, str] = {}

    async def start(self, **environment: str) -> None:
        """Start it, and return when it answers."""
        self._started_with = environment
        with self.log.open("ab") as log:
            log.write(b"--- start ---\n")
            log.flush()
            self._process = await self._spawn(log, self._environment | environment)
        await eventually(self._answers, seconds=START_SECONDS)

    async def _spawn(self, log: Any, environment: dict[str, str]) -> asyncio.subprocess.Process | Child:
        if self.script.is_relative_to(ROOT):
            bear = partial(nursery().bear, directory=self.directory, log=log.name, environment=environment)
            return await asyncio.to_thread(bear, self.script)
        return await self._begin(log, environment)

    async def _begin(self, log: Any, environment: dict[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, str(self.script), cwd=self.directory, env=environment, stdout=log, stderr=log
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which it is started, for a command beside it."""
        return dict(self._environment)

    def leave_to_env_file(self, name: str) -> None:
        """Do not set a variable, so that the gateway takes it from the .env of its directory."""
        del self._environment[name]

    async def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, f"the gateway ended:\n{self.newest_log()}"
        found = re.search(r"MCP +(http://\S+)/mcp/sse", self.newest_log())
        if found is None:
            return False
        self.url = found[1]
        async with httpx.AsyncClient(timeout=60) as client:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(f"{self.url}/healthz")).is_success
        return False

    def newest_log(self) -> str:
        """What it printed since it was started last."""
        return self.log.read_text().rpartition("--- start ---\n")[2]

    async def kill(self) -> None:
        """End it with SIGKILL, as a power failure would."""
        await self._end(signal.SIGKILL)

    async def stop(self, signal_number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C would and return its exit status."""
        return await self._end(signal_number)

    @property
    def process_id(self) -> int:
        """The operating system's number of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is known to have ended."""
        return self._process is None or self._process.returncode is not None

    async def ended(self) -> int:
        """Wait until it ends by itself and return its exit status."""
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)
        except asyncio.TimeoutError:
            raise AssertionError(f"the gateway did not end:\n{self.newest_log()}") from None

    async def _end(self, signal_number: int) -> int:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal_number)
        return await asyncio.wait_for(self._process.wait(), WAIT_SECONDS)

    @contextlib.asynccontextmanager
    async def agent(self, key: str | None = AGENT_KEY, *, sse: bool = False) -> AsyncIterator[Client[Any]]:
        """An MCP client that holds an agent's key."""
        transport = LeavingTransport if sse else StreamableHttpTransport
        path = "/mcp/sse" if sse else "/mcp"
        async with Client(transport(self.url + path, auth=key), timeout=WAIT_SECONDS) as client:
            yield client

    async def decide(
        self, case_id: str, decision: str = "APPROVED", *, key: str | None = REVIEWER_KEY, **fields: Any
    ) -> httpx.Response:
        """Post a decision to the webhook."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = {"decision": decision, "event_id": case_id} | fields
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            return await client.post(f"{self.url}/webhook/approval", json=body, headers=headers)

    async def takes_policy(self, path: Path, text: str) -> None:
        """Have another policy in its file, and wait until it is in force."""
        await asyncio.to_thread(path.write_text, text)
        os.kill(self.process_id, signal.SIGHUP)
        wanted = hashlib.sha256(text.encode()).hexdigest()

        async def is_in_force() -> bool:
            async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
                said = (await client.get(f"{self.url}/readyz")).json()
            return bool(said["policy"]["sha256"] == wanted)

        await eventually(is_in_force)

    async def approve_until_death(self, case_id: str) -> None:
        """Approve a call while the gateway dies on its way, and return when the approval is on disk.

        A run that is under way sees an approval before the disk has it, so that the moment of death can be
        too early. Then the reviewer, who got no answer, approves again.
        """
        for _ in range(5):
            with contextlib.suppress(httpx.TransportError):
                await self.decide(case_id)
            await self.ended()
            if rows_in(self.data, "SELECT 1 FROM decisions WHERE case_id = ?", (case_id,)):
                return
            await self.start(**self._started_with)
        raise AssertionError("Each time the gateway died before the approval was on disk.")


class ColdGateway(GatewayProcess):
    """A gateway whose process is begun by `python gateway.py`, for tests that are about the start."""

    async def _spawn(self, log: Any, environment: dict[str, str]) -> asyncio.subprocess.Process | Child:
        return await self._begin(log, environment)


async def eventually(condition: Any, *, seconds: float = WAIT_SECONDS) -> Any:
    """Wait until an async condition is true and return what it returned; fails after so many seconds."""
    began = asyncio.get_running_loop().time()
    while not (result := await condition()):
        waited = asyncio.get_running_loop().time() - began
        assert waited < seconds, f"{condition} did not become true"
        await asyncio.sleep(min(max(waited / 10, 0.02), 0.1))  # what takes long is not asked for as often
    return result


async def output_of(process: asyncio.subprocess.Process, *, seconds: float) -> str:
    """What a process prints that has to succeed, and that does not outlive the time it is given."""
    try:
        output, errors = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
    said = f"{output.decode()}\n{(errors or b'').decode()}"
    assert process.returncode == 0, f"A process ended with {process.returncode}:\n{said}"
    return output.decode()


def text_of(result: Any) -> str:
    """The text of a tool's answer."""
    return "\n".join(block.text for block in result.content)


def reference_in(result: Any) -> str:
    """The reference in a pending notice."""
    text = text_of(result)
    assert text.startswith("PENDING REVIEW (Ref: evt_"), text
    found = REFERENCE.search(text)
    assert found is not None
    return found[0]


async def waiting_case(gateway: GatewayProcess, text: str) -> str:
    """The reference of a case that waits for a person and has a text in its arguments, once there is one."""

    async def found() -> str | None:
        waiting = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW' AND arguments LIKE ?"
        found = rows_in(gateway.data, waiting, (f"%{text}%",))
        return str(found[0][0]) if found else None

    return str(await eventually(found))


def status_of(gateway: GatewayProcess, case_id: str) -> str:
    """Where a case stands, from the store, so that no one is taken to have been told."""
    [(status,)] = rows_in(gateway.data, "SELECT status FROM cases WHERE case_id = ?", (case_id,))
    return str(status)


async def call(client: Client[Any], tool: str, **arguments: Any) -> Any:
    """Call a tool without raising for an error answer."""
    return await client.call_tool(tool, arguments, raise_on_error=False)


async def outcome(client: Client[Any], case_id: str, *, wait_seconds: int = 20) -> Any:
    """Ask for the outcome of a case."""
    return await call(client, "get_outcome", ref=case_id, wait_seconds=wait_seconds)
