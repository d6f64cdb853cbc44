"""The files of other hosts, as their documentation shows them: each server starts, or the start says why not.

The programs that the files name are a server by hand under their names, and so is started what a host starts.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_process import GatewayProcess, call, eventually, outcome, reference_in
from upstream_process import UpstreamProcess

PROGRAM = Path(__file__).parents[1] / "support" / "host_program.py"
VARIABLES = {
    "GITHUB_TOKEN": "ghp-of-the-tests",
    "API_BASE": "https://api.example.com",
    "LOCAL_TOKEN": "local",
}

CLAUDE_DESKTOP = """{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "filesystem": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/tmp"]},
    "memory": {"command": "npx", "args": ["-y", "memory"], "env": {"LIMIT": 5, "RATE": 1.50, "VERBOSE": true}}
  }
}"""
CURSOR = """{
  // A project's own servers.
  "mcpServers": {
    "local": {
      "type": "stdio", "command": "npx", "args": ["-y", "server", "--root", "${workspaceFolder}${/}src"],
      "env": {"API_KEY": "${env:GITHUB_TOKEN}", "HOME_OF": "${userHome}",
              "NAME": "${workspaceFolderBasename}"},
      "envFile": "${workspaceFolder}/.env.servers",
    },
    "remote": {"url": "FAR", "headers": {"X-Key": "Bearer ${env:GITHUB_TOKEN}"}},
  },
}"""
VS_CODE = """{
  "inputs": [],
  "servers": {
    "playwright": {"command": "npx", "args": ["-y", "playwright"], "env": {"GONE": null},
                   "dev": {"watch": "src/**", "debug": {"type": "node"}}},
    "github": {"type": "http", "url": "FAR"}
  }
}"""
WINDSURF = """{
  "mcpServers": {
    "github": {"command": "docker", "args": ["run", "-i", "image"],
               "env": {"TOKEN": "${env:GITHUB_TOKEN}"}, "disabledTools": ["remove"]},
    "remote": {"serverUrl": "FAR", "headers": {"X-Key": "${env:GITHUB_TOKEN}"}},
    "off": {"command": "docker", "args": ["off", "${env:NOT_SET}"], "disabled": true}
  }
}"""
GEMINI = """{
  "theme": "Default",
  "mcp": {"excluded": ["off"]},
  "mcpServers": {
    "python": {"command": "uvx", "args": ["server"], "timeout": 15000, "trust": true,
               "env": {"DATABASE_URL": "$API_BASE", "API_KEY": "${GITHUB_TOKEN}", "MODE": "${MODE:-quick}"},
               "includeTools": ["seen", "write(args)"], "excludeTools": ["write"]},
    "remote": {"httpUrl": "FAR", "headers": {"X-Key": "Bearer $GITHUB_TOKEN"}, "timeout": 5000},
    "off": {"command": "uvx", "args": ["off"]}
  }
}"""
CODEX = """
model = "o-something"
[mcp_servers.docs]
command = "npx"
args = ["-y", "docs"]
env_vars = ["LOCAL_TOKEN", "NOT_SET"]
startup_timeout_sec = 20
tool_timeout_sec = 45
enabled_tools = ["seen", "write"]
disabled_tools = ["write"]
[mcp_servers.docs.env]
MY_VALUE = 3
[mcp_servers.remote]
url = "FAR"
bearer_token_env_var = "GITHUB_TOKEN"
http_headers = { "X-Region" = "us" }
env_http_headers = { "X-Key" = "LOCAL_TOKEN" }
[mcp_servers.off]
command = "npx"
args = ["off"]
enabled = false
"""
STARTED = [  # its file, the text in it, its servers, the tool that tells what a program saw, a part of that
    (
        "claude_desktop_config.json",
        CLAUDE_DESKTOP,
        {"filesystem", "memory"},
        "memory_seen",
        {"LIMIT": "5", "RATE": "1.50", "VERBOSE": "true"},
    ),
    (
        ".cursor/mcp.json",
        CURSOR,
        {"local", "remote"},
        "local_seen",
        {"API_KEY": "ghp-of-the-tests", "HOME_OF": "HERE", "NAME": "NAME_HERE", "FROM_FILE": "1"},
    ),
    (".vscode/mcp.json", VS_CODE, {"playwright", "github"}, "playwright_seen", {}),
    ("mcp_config.json", WINDSURF, {"github", "remote"}, "github_seen", {"TOKEN": "ghp-of-the-tests"}),
    (
        "settings.json",
        GEMINI,
        {"python", "remote"},
        "python_seen",
        {"DATABASE_URL": "https://api.example.com", "API_KEY": "ghp-of-the-tests", "MODE": "quick"},
    ),
    ("config.toml", CODEX, {"docs", "remote"}, "docs_seen", {"LOCAL_TOKEN": "local", "MY_VALUE": "3"}),
]


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[UpstreamProcess]:
    """The server that stands at every URL."""
    process = UpstreamProcess("http", tmp_path / "notes")
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder for the PATH, in which the programs of the files are the server by hand."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("npx", "docker", "uvx"):
        (folder / name).write_text(f"#!{sys.executable}\n{PROGRAM.read_text()}")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
async def gateway_of(tmp_path: Path, commands: Path) -> AsyncIterator[Callable[..., GatewayProcess]]:
    """A gateway that reads a file of another host; it is not started."""
    gateways: list[GatewayProcess] = []

    def gateway(name: str, text: str) -> GatewayProcess:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        found = {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "ATLAS_MCP_CONFIG": str(path)}
        gateways.append(GatewayProcess(tmp_path, **VARIABLES, **found))
        return gateways[-1]

    yield gateway
    for one in gateways:
        if not one.has_ended:
            await one.kill()


async def servers(gateway: GatewayProcess) -> dict[str, Any]:
    """What /readyz says of the servers, once all are reached."""

    async def found() -> Any:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = (await client.get(f"{gateway.url}/readyz")).json()["upstreams"]
        return answer if all(one["ok"] for one in answer.values()) else None

    return dict(await eventually(found))


def starts(commands: Path) -> str:
    """The arguments of everything that was started."""
    return "".join(path.read_text() for path in commands.glob("*.starts"))


@pytest.mark.parametrize(("name", "text", "names", "tool", "env"), STARTED, ids=[row[0] for row in STARTED])
async def test_a_file_of_another_host_starts_what_the_host_would_start(
    gateway_of: Callable[..., GatewayProcess],
    far: UpstreamProcess,
    commands: Path,
    tmp_path: Path,
    name: str,
    text: str,
    names: set[str],
    tool: str,
    env: dict[str, str],
) -> None:
    """With the environment that it would get there; a server or a tool that is switched off is not there."""
    (tmp_path / ".env.servers").write_text("FROM_FILE=1\nAPI_KEY=overruled\n")
    gateway = gateway_of(name, text.replace("FAR", far.entry["url"]))
    await gateway.start()
    assert set(await servers(gateway)) == names
    async with gateway.agent() as agent:
        listed = {one.name for one in await agent.list_tools()}
        case_id = reference_in(await call(agent, tool))
        assert (await gateway.decide(case_id)).is_success
        told = json.loads((await outcome(agent, case_id)).structured_content["result"])
    wanted = {key: value.replace("NAME_HERE", tmp_path.name) for key, value in env.items()}
    wanted = {key: value.replace("HERE", str(tmp_path)) for key, value in wanted.items()}
    assert {key: told["env"].get(key) for key in wanted} == wanted
    assert "GONE" not in told["env"] and "ATLAS_AGENT_KEY" not in told["env"]
    if "workspaceFolder" in text:
        assert told["args"][-1] == f"{tmp_path}/src"
    assert "github_remove" not in listed  # Windsurf
    assert not {"python_write", "python_remove", "docs_write", "docs_remove"} & listed  # Gemini CLI, Codex
    assert '"off"' not in starts(commands)


REFUSED = [
    (
        ".vscode/mcp.json",
        '{"servers": {"github": {"command": "npx", "env": {"TOKEN": "${input:github-token}"}}}}',
        "the server github: env.TOKEN: ${input:github-token} asks a person at each start; write ${NAME}, and "
        "NAME=… into .env.",
    ),
    (
        ".vscode/mcp.json",
        '{"servers": {"pipe": {"type": "http", "url": "unix:///tmp/server.sock"}}}',
        "the url of the server pipe begins with neither http:// nor https://.",
    ),
    (
        ".vscode/mcp.json",
        '{"servers": {"boxed": {"command": "npx", "sandboxEnabled": true}}}',
        "the server boxed: sandboxEnabled: the gateway starts programs without a sandbox; write a command "
        "that makes one.",
    ),
    (
        "mcp.json",
        '{"mcpServers": {"files": {"command": "npx", "args": ["${workspaceFolder}"]}}}',
        "the server files: args: ${workspaceFolder} is the folder that an editor has open, and the gateway "
        "has none; write its path.",
    ),
    (
        ".cursor/mcp.json",
        '{"mcpServers": {"crm": {"url": "https://crm.example.com", "headers": {"X": "${env:NOT_SET}"}}}}',
        "the server crm: headers.X: it wants the variable NOT_SET, which is not set.",
    ),
    (
        "settings.json",
        '{"mcpServers": {"live": {"tcp": "ws://localhost:9000"}}}',
        "the server live: tcp: the gateway speaks no WebSocket; write a url that begins with http:// or https://.",
    ),
    (
        "mcp.json",
        '{"mcpServers": {"keys": {"url": "https://a.example.com", "headersHelper": "/bin/keys"}}}',
        "the server keys: headersHelper: the gateway runs no program for headers; write the headers.",
    ),
    (
        "config.toml",
        '[mcp_servers.remote]\nurl = "https://a.example.com"\nbearer_token_env_var = "NOT_SET"\n',
        "the server remote: bearer_token_env_var: it names a variable that is not set.",
    ),
    (
        "config.toml",
        '[mcp_servers.docs]\ncommand = "npx"\nenabled = "perhaps"\n',
        "the server docs: enabled: this is neither true nor false.",
    ),
]


@pytest.mark.parametrize(("name", "text", "sentence"), REFUSED, ids=[row[2][:40] for row in REFUSED])
async def test_what_only_another_host_can_do_ends_the_start_with_a_sentence(
    gateway_of: Callable[..., GatewayProcess], commands: Path, name: str, text: str, sentence: str
) -> None:
    """That names the file, the server and the key; nothing is started by halves."""
    gateway = gateway_of(name, text)
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    path = gateway.directory / name
    assert gateway.newest_log().strip() == f"The MCP configuration {path} cannot be used: {sentence}"
    assert not starts(commands)
