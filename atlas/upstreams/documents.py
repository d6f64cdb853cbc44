"""Reads the file that lists servers: JSON as the hosts write it, with comments, or the TOML of Codex."""

import json
import re
from pathlib import Path
from typing import Any

import tomli

from atlas.models import plain_text
from atlas.texts import TextUnreadable, read_text

PLACES = ("mcpServers", "servers", "mcp_servers", "context_servers", "amp.mcpServers")
LEFT_OUT = ("excludeMCPServers", "disabledMcpServers", "disabledMcpjsonServers")  # beside the servers
NOT_JSON = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
LAST_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')
IS_TOML = re.compile(r"^\s*\[\s*mcp_servers\b", re.MULTILINE)


class Written(float):
    """A number that is no whole one, with the text that stands in the file."""

    text: str

    def __new__(cls, text: str) -> "Written":
        """Keep the text."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def read_servers(path: Path) -> dict[str, Any]:
    """The servers of a file by name, without those that it leaves out; raises ValueError, a sentence."""
    try:
        text = read_text(path)
        document = _toml(text) if path.suffix == ".toml" or IS_TOML.search(text) else _json(text)
    except OSError as error:
        raise ValueError(f"{error.strerror}.") from None
    except TextUnreadable as error:
        raise ValueError(f"{error}.") from None
    except RecursionError:
        raise ValueError("it is no JSON that a server is described in.") from None
    if not isinstance(document, dict):
        document = {}
    return {name: entry for name, entry in _servers(document).items() if not _is_left_out(document, name)}


def _json(text: str) -> Any:
    # What is taken away leaves its lines, so that a mistake is where it is said to be.
    bare = NOT_JSON.sub(lambda match: match[1] or "\n" * match[0].count("\n"), text)
    bare = LAST_COMMA.sub(lambda match: match[1] or "", bare)
    try:
        return json.loads(
            bare, object_pairs_hook=_without_twins, parse_float=Written, parse_constant=_no_number
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno}: {error.msg}).") from None


def _toml(text: str) -> Any:
    try:
        return tomli.loads(text, parse_float=Written)
    except tomli.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML ({error}).") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"it has {text}, which is no number.")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {plain_text(twin)!r} twice in one place.")
    return found


def _servers(document: dict[str, Any]) -> dict[str, Any]:
    places = {name: document.get(name) for name in PLACES} | {"mcp.servers": _mcp(document).get("servers")}
    found = {name: servers for name, servers in places.items() if isinstance(servers, dict)}
    if not found:
        raise ValueError(
            'it has no "mcpServers", which maps names to servers ("servers" and "mcp_servers" will do).'
        )
    if len(found) > 1:
        raise ValueError(f"it has servers under {' and under '.join(found)}: keep one of them.")
    return next(iter(found.values()))


def _is_left_out(document: dict[str, Any], name: str) -> bool:
    """Whether the file leaves a server out beside its servers, as Gemini CLI and Claude Code do."""
    mcp = _mcp(document)
    left_out = [document.get(key) for key in LEFT_OUT] + [mcp.get("excluded")]
    allowed = [document.get("allowMCPServers"), mcp.get("allowed")]
    return any(name in names for names in left_out if isinstance(names, list)) or any(
        name not in names for names in allowed if isinstance(names, list) and names
    )


def _mcp(document: dict[str, Any]) -> dict[str, Any]:
    mcp = document.get("mcp")
    return mcp if isinstance(mcp, dict) else {}
