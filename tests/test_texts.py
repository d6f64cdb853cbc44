"""Text that others wrote: whichever way an editor saved a file, the gateway reads the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from atlas.assessors.evaluate.labelled import read_labelled
from atlas.assessors.policy.file import read_policy
from atlas.configure.env_file import read_values, write_values
from atlas.settings import Settings, variables
from atlas.texts import TextUnreadable, text_of
from atlas.upstreams.config import read_upstreams

AGENT, REVIEWER = "agent-key-of-an-editor", "reviewer-key-of-an-editor"
ENV_FILE = f"ATLAS_AGENT_KEY={AGENT}\nATLAS_REVIEWER_KEY={REVIEWER}\nCRM_TOKEN=größe\n"
POLICY = '[[rule]]\ntool = "größe"\nscore = 10\nlegal_basis = "größe"\n'

Save = Callable[[str], bytes]
SAVED: dict[str, Save] = {
    "as programs of Unix do": lambda text: text.encode(),
    "with a byte order mark": lambda text: text.encode("utf-8-sig"),
    "with two marks, of two files in one": lambda text: ("\ufeff" * 2 + text).encode(),
    "with the line ends of Windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "with the line ends of old Macs": lambda text: text.replace("\n", "\r").encode(),
    "by PowerShell 5": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "as big-endian UTF-16": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "as UTF-32": lambda text: text.encode("utf-32"),
}


@pytest.fixture(params=SAVED, autouse=True)
def save(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """How an editor saves a text, in a folder without anything of the machine's own environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return SAVED[request.param]


def test_the_first_setting_of_an_env_file_is_read(save: Save) -> None:
    """The mark belongs to no name: a key behind it would be missing, and its agents would get 401."""
    Path(".env").write_bytes(save(ENV_FILE))
    assert Settings.read().agent_keys == {AGENT: "agent"}
    assert variables()["CRM_TOKEN"] == "größe"


def test_setup_keeps_the_keys_that_are_there(save: Save) -> None:
    """It wrote a second line for the first key, which then won; now one line has the name."""
    path = Path(".env")
    path.write_bytes(save(ENV_FILE))
    assert read_values(path)["ATLAS_AGENT_KEY"] == AGENT
    write_values(path, {"ATLAS_AGENT_KEY": AGENT, "ATLAS_MCP_CONFIG": "mcp.json"}, template=path)
    assert path.read_bytes().decode() == f"{ENV_FILE}ATLAS_MCP_CONFIG=mcp.json\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_mcp_configuration_is_read(save: Save) -> None:
    """Windows' editors write one, and a host that reads it must not be the only one."""
    Path("mcp.json").write_bytes(save(json.dumps({"mcpServers": {"größe": {"command": "a"}}}, indent=1)))
    [config] = read_upstreams(Path("mcp.json"), {})
    assert config.name == "größe"


def test_a_policy_is_read(save: Save) -> None:
    """As TOML, which is UTF-8 without a mark."""
    Path("policy.toml").write_bytes(save(POLICY))
    [rule] = read_policy(Path("policy.toml")).rules
    assert (rule.tool, rule.legal_basis) == ("größe", "größe")


def test_labelled_calls_are_read(save: Save) -> None:
    """For a measurement; a spreadsheet saves them as UTF-8 with a mark."""
    row = json.dumps({"id": "1", "kind": "größe", "tool_name": "t", "arguments": {}, "label": "safe"})
    Path("calls.jsonl").write_bytes(save(f"{row}\n"))
    [call] = read_labelled(Path("calls.jsonl"))
    assert call.id == "1"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"one\n\xff", "line 2: this is no UTF-8 text"),
        ("größe".encode("latin-1"), "line 1: this is no UTF-8 text"),
        ("a=1\nb=2".encode("utf-16-le"), "line 1: this is no UTF-8 text, but may be UTF-16 without its mark"),
        (b"\xff\xfea", "line 1: this is no UTF-16 text"),
    ],
)
def test_what_is_no_text_is_a_sentence(content: bytes, sentence: str) -> None:
    """With the line; it never reaches a parser as something else."""
    with pytest.raises(TextUnreadable, match=sentence):
        text_of(content)
