"""The official conformance suite from npm, the server it is run against, and what it says."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from acceptance.npm_clients import NODE, PATH, NpmClients
from gateway_process import START_SECONDS

TESTS = Path(__file__).parent.parent
SUITE_SECONDS = 250
STARTED_AT = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")  # at the end of the name of a scenario's folder
POLICY = """
unknown_tools = "person"

[[rule]]
tool = "*"
when = "tool.upstream == 'fixture'"
score = 5
classification = "test"
rationale = "The fixture of the conformance suite does no harm."
"""


@dataclass(frozen=True)
class Verdict:
    """What the suite says of a server for one revision of the protocol."""

    required: frozenset[str]  # the scenarios that the revision requires
    failures: dict[str, list[str]]  # of the scenarios that were run: what failed, none where all is well
    successes: frozenset[str]  # the single checks that passed, of scenarios that are not required as well

    @property
    def passed(self) -> frozenset[str]:
        """The required scenarios without a failure."""
        return frozenset(name for name in self.required if self.failures.get(name) == [])

    @property
    def failed(self) -> frozenset[str]:
        """The required scenarios that failed, or did not run."""
        return self.required - self.passed

    def with_scenario(self, name: str, again: "Verdict") -> "Verdict":
        """The same, with what a further run of one scenario said of it."""
        others = {check for check in self.successes if not check.startswith(f"{name}: ")}
        return Verdict(self.required, self.failures | again.failures, again.successes | others)


class ConformanceSuite:
    """Runs the suite's command line under a Node of its own."""

    def __init__(self, directory: Path) -> None:
        NpmClients.install()
        self._directory = directory
        self._package = NpmClients.directory() / "node_modules" / "@modelcontextprotocol" / "conformance"

    async def run(self, url: str, revision: str, name: str) -> Verdict:
        """Run what a revision of the protocol requires, and keep what it says in a folder of that name."""
        required = self._required(revision)
        return await self._verdict(url, required, f"{name}-{revision}", "--requirements", revision)

    async def run_scenario(self, url: str, scenario: str) -> Verdict:
        """Run one scenario, which counts as required."""
        return await self._verdict(url, frozenset({scenario}), scenario, "--scenario", scenario)

    async def _verdict(self, url: str, required: frozenset[str], name: str, *what: str) -> Verdict:
        output = self._directory / name
        command = [NODE, self._package / "dist" / "index.js", "server"]
        process = await asyncio.create_subprocess_exec(
            *(*command, "--url", url, "-o", output, *what),
            env={"PATH": PATH, "HOME": str(self._directory)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await asyncio.wait_for(process.wait(), SUITE_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        verdict = _verdict(output, required)
        # The suite's own judgement, so that its files are not read in another way than it means them.
        assert (process.returncode == 0) == (not verdict.failed), f"{process.returncode}: {verdict}"
        return verdict

    def _required(self, revision: str) -> frozenset[str]:
        text = (self._package / "requirements" / f"{revision}.yaml").read_text()
        section = text.partition("\nserver:\n")[2]
        return frozenset(re.findall(r"^  - ([\w-]+)$", re.split(r"^\w", section, flags=re.M)[0], re.M))


def _verdict(output: Path, required: frozenset[str]) -> Verdict:
    failures: dict[str, list[str]] = {}
    successes: set[str] = set()
    for path in output.glob("*/checks.json"):
        scenario = STARTED_AT.sub("", path.parent.name).removeprefix("server-")
        checks = json.loads(path.read_text())
        failed = [check for check in checks if check["status"] == "FAILURE"]
        failures[scenario] = [f"{check['id']}: {check.get('errorMessage')}" for check in failed]
        # Several checks may have one name: it passed if all of that name did.
        lost = {check["id"] for check in checks if check["status"] in ("FAILURE", "WARNING")}
        passed = {check["id"] for check in checks if check["status"] == "SUCCESS"} - lost
        successes |= {f"{scenario}: {name}" for name in passed}
    return Verdict(required, failures, frozenset(successes))


@contextlib.asynccontextmanager
async def fixture_server(directory: Path, *words: str) -> AsyncIterator[str]:
    """The URL of the fixture, a process of its own; `sse` is the other way, `jobs` are more tools."""
    with (directory / "fixture.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "acceptance.conformance_server", *words),
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        url = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode().strip()
        assert url, (directory / "fixture.log").read_text()
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def configuration(directory: Path, url: str, prefix: str = "") -> dict[str, str]:
    """The settings of a gateway in front of the fixture, whose calls are governed and approved by score."""
    directory.mkdir(exist_ok=True)
    entry = {"url": url, "transport": "sse" if url.endswith("/sse") else "http"}
    upstreams = {"fixture": entry | {"atlas": {"prefix": prefix}}}
    (directory / "mcp.json").write_text(json.dumps({"mcpServers": upstreams}))
    (directory / "policy.toml").write_text(POLICY)
    return {
        "ATLAS_MCP_CONFIG": str(directory / "mcp.json"),
        "ATLAS_POLICY": str(directory / "policy.toml"),
        "ATLAS_GRACE_SECONDS": "20",
    }
