"""The documentation says what is so: its tables equal the code, and its blocks run."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import mcp
import pytest
import pytest_asyncio
from acceptance.npm_clients import NODE, NODE_ENVIRONMENT, NPX, NpmClients
from fastmcp import Client
from gateway_process import (
    AGENT_KEY,
    REFERENCE,
    REVIEWER_KEY,
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    output_of,
    reference_in,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from starlette.routing import Route

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.ledger import Action
from atlas.models import TRANSITIONS, Ruling, Status
from atlas.settings import Settings
from atlas.upstreams.config import Way, read_upstreams
from atlas.webhook import HTTP_STATUS
from gateway import app

pytestmark = pytest.mark.asyncio(loop_scope="module")

README = (ROOT / "README.md").read_text()
URL = "http://127.0.0.1:8000"
RUN_SECONDS = 100
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".env", "node_modules", ".*-tests", ".*_cache")
NOT_THE_GATEWAYS = {
    *("ATLAS_SCORER", "OLLAMA_CONTEXT_LENGTH"),  # what `modal deploy` and Ollama read
    *(f"ATLAS_TEST_INNGEST_{name}" for name in ("URL", "EVENT_KEY", "SIGNING_KEY")),
}
FASTAPIS_OWN = {"/openapi.json"}
HTTP_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# Blocks that are no program: each is checked by the test that asks for it by its name.
CHECKED = {"claude-desktop", "cursor", "policy", "prompt", "upstreams"}
# How many blocks the README excuses, with a reason beside each.
NOT_RUN = 5
# What each block that runs prints, by something that only this block says.
PRINTED = {
    "python test_handshake.py": r"PASSED\. The approved call ran once, the rejected one never\.",
    "waiting = ": r"evt_[0-9a-f]{16} by agent until .*\n +\w+ \{.*\}\n +\d+ high risk",
    '"decision": "APPROVED"': r'^\{"status":"Signal Sent","decision":"APPROVED","event_id":"evt_\w+"\}$',
    '"decision": "REJECTED"': r'^\{"status":"Signal Sent","decision":"REJECTED","event_id":"evt_\w+"\}$',
    "kill -HUP": r'"policy":\{"name":"policy [0-9a-f]{12}","ok":true,"sha256":"[0-9a-f]{64}"\}',
    "policy explain": r"Without a model: 75",
    "assessors.evaluate": r"agentdojo",
    "ledger export": r"^\d+ entries, each as it was written and in its place\.$",
    "VACUUM INTO": r"^\d+ entries, each as it was written and in its place\.$",
}


@dataclass(frozen=True)
class Block:
    """A fenced block, its language, and the comment on the line before it."""

    line: int
    language: str
    note: str
    text: str


def blocks() -> Iterator[Block]:
    """All fenced blocks of the README."""
    fenced = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for found in fenced.finditer(README):
        note, language, text = found.groups(default="")
        yield Block(README.count("\n", 0, found.start()) + 1, language, note, text)


def is_excused(block: Block) -> bool:
    return re.fullmatch(r"not run: \S.{20,}", block.note) is not None


BASH = [block for block in blocks() if block.language == "bash" and not is_excused(block)]


def checked(name: str) -> str:
    """The text of the one block of that name."""
    [block] = [block for block in blocks() if block.note == f"checked: {name}"]
    return block.text


def table(first_cell: str) -> list[list[str]]:
    """The rows of the table whose heading begins so, without the heading."""
    lines = README.partition(f"\n| {first_cell} |")[2].split("\n\n", 1)[0].splitlines()[2:]
    assert lines, f"the README has no table that begins with {first_cell!r}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


# Settings


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert len({name for name, _, _ in pairs}) == len(pairs), "a setting stands twice in .env.example"
    return {name: value for name, _, value in pairs}


SETTINGS = {name.upper() for name in Settings.model_fields}


async def test_the_example_file_lists_the_settings_and_no_others() -> None:
    """Whoever copies .env.example sees all that can be set."""
    assert example().keys() == SETTINGS


async def test_the_values_of_the_example_file_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying .env.example unchanged changes nothing, and it spells out the defaults that can be spelled."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings(_env_file=None)
    assert Settings(_env_file=ROOT / ".env.example") == defaults
    shipped_with_the_code = {"ATLAS_POLICY"}
    spelled = {name for name, value in example().items() if value}
    assert spelled == {name for name in SETTINGS if getattr(defaults, name.lower())} - shipped_with_the_code


async def test_the_readme_lists_the_settings_with_their_defaults() -> None:
    """The table of settings is the example file with words beside it."""
    assert {quoted(name)[0]: default.strip("`") for name, default, _ in table("setting")} == example()


# Endpoints, states, actions, errors


async def test_the_readme_lists_the_endpoints_that_are_served(guide: GatewayProcess) -> None:
    """Paths and methods of the table are those of the app."""
    served: dict[str, set[str]] = {}
    for route in app.routes:
        assert isinstance(route, Route), f"{route} is no plain route"
        if route.path not in FASTAPIS_OWN:
            methods = route.methods or await methods_answered(guide, route.path)
            served.setdefault(route.path, set()).update(methods - {"HEAD"})
    assert {quoted(path)[0]: set(methods.split(", ")) for path, methods, _, _ in table("endpoint")} == served


async def methods_answered(gateway: GatewayProcess, path: str) -> set[str]:
    """The methods for which an MCP app has a handler; its routes are not the gateway's."""
    answered = set()
    async with httpx.AsyncClient(
        timeout=WAIT_SECONDS, headers={"Authorization": f"Bearer {AGENT_KEY}"}
    ) as client:
        for method in HTTP_METHODS:
            async with client.stream(method, gateway.url + path) as response:
                if response.status_code != 405:
                    answered.add(method)
    return answered


async def test_the_readme_lists_the_states_with_their_transitions() -> None:
    """The table of states is TRANSITIONS."""
    told = {quoted(state)[0]: set(quoted(following)) for state, _, following in table("state")}
    assert told == {
        status.value: {following.value for following in TRANSITIONS.get(status, ())} for status in Status
    }
    assert {state for state, _, following in table("state") if following == "final"} == {
        f"`{status.value}`" for status in Status if status.is_final
    }


async def test_the_life_of_a_call_names_every_stage_and_every_ledger_action() -> None:
    """Each action stands in the row of the stage that is its first word."""
    told = {
        stage: {name for name in quoted(actions) if re.fullmatch(r"[a-z_]+\.[a-z_]+", name)}
        for stage, _, _, actions, _ in table("stage")
    }
    assert list(told) == ["admit", "assess", "decide", "execute", "report"]
    assert told == {
        stage: {action.value for action in Action if action.value.startswith(f"{stage}.")} for stage in told
    }


async def test_the_readme_gives_each_error_of_the_webhook_its_status() -> None:
    """The statuses in the table are those of HTTP_STATUS."""
    by_name = {error.__name__: status for error, status in HTTP_STATUS.items()}
    told = {name: int(status) for status, names, _ in table("status") for name in quoted(names)}
    known = {name: status for name, status in told.items() if name in by_name}
    assert known == {name: by_name[name] for name in known}
    assert told.keys() - known.keys() == {"RequestInvalid", "StoreUnavailable"}
    assert by_name.keys() - known.keys() == {"TransitionRefused"}  # what no request can bring about


# Names


async def test_every_path_that_the_readme_names_exists() -> None:
    """Links, files, folders and modules lead somewhere."""
    links = set(re.findall(r"\]\((?!https?://)([^)#]+)", README))
    files = set(re.findall(r"(?<![\w/.:-])(?:[\w.-]+/)*[\w.-]+\.(?:py|toml|sh|example|md)\b", README))
    folders = set(re.findall(r"`((?:[\w.-]+/)+)`", README))
    modules = {name.replace(".", "/") for name in re.findall(r"python -m ([\w.]+)", README)}
    assert len(files) > 8 and folders and modules
    missing = [name for name in links | files | folders if not (ROOT / name).exists()]
    missing += [name for name in modules if not list((ROOT / name).parent.glob(f"{Path(name).name}*"))]
    assert not missing


async def test_every_setting_that_the_readme_names_exists() -> None:
    """No name of a setting is left over from another time."""
    named = set(re.findall(r"\b(?:ATLAS|INNGEST|MODAL|OPENAI|OLLAMA)_[A-Z_]+\b", README))
    assert named - NOT_THE_GATEWAYS == SETTINGS


async def test_the_prompt_for_agents_names_tools_that_exist(guide: GatewayProcess) -> None:
    """What the agent is told to call is there, with the parameters that it is told of."""
    async with guide.agent() as agent:
        tools = {tool.name: tool for tool in await agent.list_tools()}
    named = quoted(checked("prompt"))
    assert named and set(named) <= tools.keys()
    parameters = tools["get_outcome"].input_schema["properties"]
    assert parameters.keys() == {"ref", "wait_seconds"}


@pytest.mark.parametrize("mode", ["legacy", "auto"])  # auto asks with server/discover
async def test_the_prompt_for_agents_is_what_they_are_told_when_they_connect(
    guide: GatewayProcess, mode: str
) -> None:
    """In `initialize`, and in `server/discover` of the era that has no handshake."""
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {AGENT_KEY}"}) as http,
        mcp.Client(streamable_http_client(f"{guide.url}/mcp", http_client=http), mode=mode) as agent,
    ):
        assert agent.instructions == checked("prompt")


# Blocks


async def test_every_block_is_run_or_checked_or_excused_with_a_reason() -> None:
    """Nothing in the README escapes by being overlooked."""
    others = [block for block in blocks() if block.language not in ("bash", "mermaid")]
    notes = [block.note for block in others if block.language != "python"]
    assert sorted(notes) == sorted(f"checked: {name}" for name in CHECKED)
    assert sum(is_excused(block) for block in blocks()) == NOT_RUN
    assert [block.note for block in blocks() if block.language in ("bash", "python", "mermaid")].count(
        ""
    ) == (
        len(BASH) + 2  # the picture, and the Python script
    )
    assert README.count("```") == 2 * len(list(blocks()))
    for block in BASH:
        assert sum(mark in block.text for mark in PRINTED) == 1, f"line {block.line}: what does it print?"
    assert len(BASH) == len(PRINTED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guide(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway in a copy of the checkout, with the .env that a reader of the README would have."""
    checkout = tmp_path_factory.mktemp("reader") / "checkout"
    shutil.copytree(ROOT, checkout, ignore=NOT_COPIED)
    shutil.rmtree(checkout / "data", ignore_errors=True)  # of a gateway that runs here; tests/data stays
    process = GatewayProcess(
        checkout, checkout / "gateway.py", PYTHONPATH=str(checkout), ATLAS_AGENT_KEY=AGENT_KEY
    )
    await process.start()
    port = process.url.rpartition(":")[2]
    lines = [f"ATLAS_PORT={port}", f"ATLAS_AGENT_KEY={AGENT_KEY}", f"ATLAS_REVIEWER_KEY={REVIEWER_KEY}"]
    (checkout / ".env").write_text("\n".join(lines) + "\n")
    (checkout / ".gateway.pid").write_text(str(process.process_id))
    yield process
    await process.kill()


@pytest.mark.parametrize("block", BASH, ids=[f"line {block.line}" for block in BASH])
async def test_a_shell_block_runs_and_prints_what_it_should(guide: GatewayProcess, block: Block) -> None:
    """As it stands, but for the port and for the reference, which is that of a call that waits."""
    waiting = await held_call(guide, reason=f"line {block.line}")
    text = REFERENCE.sub(waiting, block.text.replace(URL, guide.url))
    output = await run(guide, "bash", "-euo", "pipefail", "-c", text)
    [expected] = [pattern for mark, pattern in PRINTED.items() if mark in block.text]
    assert re.search(expected, output, re.MULTILINE), output


async def held_call(gateway: GatewayProcess, *, reason: str) -> str:
    async with gateway.agent() as agent:
        return reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason=reason)
        )


async def run(gateway: GatewayProcess, *command: str) -> str:
    """Run a command as the README's reader would, and return what it printed."""
    process = await start(gateway, *command)
    return await output_of(process, seconds=RUN_SECONDS)


async def start(gateway: GatewayProcess, *command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=gateway.directory,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(gateway.directory),
            "ATLAS_AGENT_KEY": AGENT_KEY,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def test_the_python_script_is_held_and_prints_the_outcome(guide: GatewayProcess) -> None:
    """It waits while a person decides, and then prints what the tool answered."""
    [block] = [block for block in blocks() if block.language == "python"]
    process = await start(guide, "python", "-c", block.text.replace(URL, guide.url))
    assert process.stdout is not None
    try:
        first = (await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS)).decode()
        found = REFERENCE.search(first)
        assert first.startswith("PENDING REVIEW") and found
        await guide.decide(found[0])
        output = await output_of(process, seconds=WAIT_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert f"EXECUTED (Ref: {found[0]})" in output and "now due on" in output


def configuration(name: str, gateway: GatewayProcess) -> dict[str, Any]:
    text = checked(name).replace(URL, gateway.url).replace("<ATLAS_AGENT_KEY>", AGENT_KEY)
    return json.loads(text)


async def tools_by(configured: dict[str, Any]) -> set[str]:
    async with Client(configured, timeout=RUN_SECONDS) as agent:
        return {tool.name for tool in await agent.list_tools()}


async def test_the_configuration_with_a_url_connects(guide: GatewayProcess) -> None:
    """What the README gives to Cursor is taken by a client that reads the same format."""
    assert "get_outcome" in await tools_by(configuration("cursor", guide))


@pytest.mark.npm
@pytest.mark.timeout(400)
async def test_the_configuration_with_mcp_remote_connects(guide: GatewayProcess) -> None:
    """What the README gives to Claude Desktop starts mcp-remote, which reaches the gateway with the key."""
    configured = configuration("claude-desktop", guide)
    NpmClients.install()
    server = configured["mcpServers"]["atlas"]
    assert server["command"] == "npx"
    server |= {"command": str(NODE), "args": [str(NPX), *server["args"]], "cwd": str(NpmClients.directory())}
    server["env"] |= NODE_ENVIRONMENT
    assert "get_outcome" in await tools_by(configured)


async def test_the_example_of_servers_is_read(tmp_path: Path) -> None:
    """A program and a URL, of which the second has another prefix and fewer tools."""
    path = tmp_path / "mcp.json"
    path.write_text(checked("upstreams"))
    files, crm = read_upstreams(path, {"HOME": "/home/of-mine", "CRM_TOKEN": "secret"})
    assert (files.way, files.args[-1], files.name_of("read_file")) == (
        Way.STDIO,
        "/home/of-mine/shared",
        "files_read_file",
    )
    assert (crm.way, crm.headers["Authorization"], crm.seconds) == (Way.HTTP, "Bearer secret", 60)
    assert crm.name_of("contact_find") == "customers_contact_find"
    assert crm.tools.allows("contact_find") and not crm.tools.allows("contact_delete")
    assert not crm.tools.allows("invoice_find")


async def test_the_example_of_a_policy_is_read_and_scores_as_it_says(tmp_path: Path) -> None:
    """A short extension is approved by its score; whatever else is asked for waits for a person."""
    path = tmp_path / "policy.toml"
    path.write_text(checked("policy"))
    policy = Policy(path, threshold=70)

    async def rule(tool: str, **arguments: Any) -> Ruling:
        return await policy.rule(Question(tool=ToolFacts(name=tool), arguments=arguments, principal="agent"))

    short, long = await rule("request_extension", days=7), await rule("request_extension", days=8)
    assert (short.score, short.floor, long.score, long.floor) == (20, 0, 80, 0)
    modify = await rule("modify_record")
    assert (modify.score, modify.floor, modify.review_seconds) == (95, 70, 3 * 24 * 3600)
    assert (await rule("delete_record")).is_denied
    assert (await rule("a_tool_that_says_nothing")).floor == 70
