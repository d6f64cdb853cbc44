"""The snippets of the documentation run as they stand there, each in its framework's environment."""

import asyncio
import os
import re
import subprocess
from pathlib import Path

import pytest
from acceptance.framework_process import DRIVERS, INSTALL_SECONDS, command_of
from acceptance.npm_clients import NODE
from documentation import checked
from gateway_process import AGENT_KEY, GatewayProcess, output_of

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 100)

RUN_SECONDS = 150
URL = "http://127.0.0.1:8000"
LONGEST = 6  # lines
# A snippet uses `await` where its user's program has a coroutine.
AROUND = """
import ast, asyncio, sys
sys.path.insert(0, {drivers!r})
source = open({file!r}).read()
code = compile(source, {file!r}, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
found = eval(code, {{"__name__": "snippet"}})
if asyncio.iscoroutine(found):
    asyncio.run(found)
"""
# What stands before and after a snippet: the model of its user, and a look at what came of it.
OPENAI = """
import agents, functools
from agents.testing import ScriptedModel, assistant_message, function_call
asked = function_call("check_status", '{"beneficiary_id": "BEN-123"}', call_id="1")
model = ScriptedModel([[asked], [assistant_message("Done.")]])
agents.Agent = functools.partial(agents.Agent, model=model)
"""
CALL = {"tool": "check_status", "arguments": {"beneficiary_id": "BEN-123"}}
PYDANTIC = f"""
from pydantic_ai.models.function import FunctionModel
from pydantic_ai_agent import Script
script = Script([{CALL}])
model = FunctionModel(script)
"""
LANGCHAIN = f"""
from langchain_agent import AIMessage, ScriptedModel
asked = {{"name": "check_status", "args": {CALL["arguments"]}, "id": "1"}}
model = ScriptedModel(responses=[AIMessage("", tool_calls=[asked]), AIMessage("Done.")])
"""
AI_SDK = """
import { MockLanguageModelV3 } from "ai/test";
const usage = { inputTokens: {}, outputTokens: {} };
const turn = (content, unified) => ({ content, finishReason: { unified }, usage, warnings: [] });
const input = JSON.stringify({ beneficiary_id: "BEN-123" });
const asked = { type: "tool-call", toolCallId: "1", toolName: "check_status", input };
const turns = [turn([asked], "tool-calls"), turn([{ type: "text", text: "Done." }], "stop")];
const model = new MockLanguageModelV3({ doGenerate: turns });
const prompt = "Read the record of BEN-123.";
"""
by_hand = pytest.mark.frameworks
SNIPPETS = [
    pytest.param("openai_agents", OPENAI, "print(model.calls[-1].input)", "housing benefit"),
    pytest.param("pydantic_ai_agent", PYDANTIC, "print(script.read)", "housing benefit"),
    pytest.param(
        "langchain_agent", LANGCHAIN, "print(await agent.ainvoke({'messages': ['Go.']}))", "housing benefit"
    ),
    pytest.param(
        "google_adk",
        "",
        "print([tool.name for tool in await agent.tools[0].get_tools()])",
        "'get_outcome'",
        marks=by_hand,
    ),
    pytest.param(
        "crewai_agent",
        "",
        "print([tool.name for tool in agent.tools], flush=True); mcp.stop()",
        "'get_outcome'",
        marks=by_hand,
    ),
    pytest.param(
        "ai_sdk",
        AI_SDK,
        "console.log(JSON.stringify(model.doGenerateCalls.at(-1).prompt)); await gateway.close();",
        "housing benefit",
        marks=by_hand,
    ),
]


@pytest.mark.parametrize(("name", "before", "after", "printed"), SNIPPETS)
async def test_a_snippet_connects_an_agent(
    gateway: GatewayProcess, tmp_path: Path, name: str, before: str, after: str, printed: str
) -> None:
    """Six lines, pasted, with the gateway's port in them, bring a record to the model or list the tools."""
    snippet = checked(f"framework {name}")
    assert len([line for line in snippet.splitlines() if line]) <= LONGEST
    program, script = await asyncio.to_thread(command_of, name)
    text = "\n".join((before, snippet.replace(URL, gateway.url), after))
    if program == NODE:
        file = Path(script).with_name("snippet.mjs")  # beside the modules
        command = [str(program), str(file)]
    else:
        file, around = tmp_path / "snippet.py", tmp_path / "around.py"
        around.write_text(AROUND.format(drivers=str(DRIVERS), file=str(file)))
        command = [str(program), str(around)]
    file.write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ATLAS_AGENT_KEY": AGENT_KEY}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment | {"OPENAI_API_KEY": "none", "CREWAI_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert printed in await output_of(process, seconds=RUN_SECONDS)


def test_each_snippet_names_the_version_that_is_tried() -> None:
    """The heading above a snippet has the version that its pins have."""
    page = (DRIVERS.parents[2] / "docs" / "how-to" / "agents.md").read_text()
    sections = re.split(r"^### ", page, flags=re.MULTILINE)
    for name in (param.values[0] for param in SNIPPETS):
        [section] = [text for text in sections if f"<!-- checked: framework {name} -->" in text]
        versions = re.findall(r"\d+(?:\.\d+)?", section.splitlines()[0])
        pins = (DRIVERS / f"{name}.txt").read_text()
        assert versions and all(re.search(rf"[=@]{re.escape(version)}\.", pins) for version in versions), name
