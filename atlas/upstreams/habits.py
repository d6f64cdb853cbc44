"""What other hosts write of a server, in the words of the gateway; what it cannot do for them is refused."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import TypeAdapter, ValidationError

from atlas.models import plain_text
from atlas.texts import TextUnreadable, read_text
from atlas.upstreams.placeholders import Placeholders

IN_OUR_WORDS = {
    "serverUrl": "url",  # Windsurf
    "httpUrl": "url",  # Gemini CLI, for streamable HTTP
    "http_headers": "headers",  # Codex
    "transportType": "type",  # Cline, in older files
}
SWITCHES = {"disabled": True, "disable": True} | dict.fromkeys(("enabled", "enable", "isactive"), False)
ONLY_TOOLS = ("includeTools", "enabled_tools", "tools")  # Gemini CLI, Codex, GitHub Copilot
NOT_TOOLS = ("excludeTools", "disabledTools", "disabled_tools")  # Gemini CLI, Windsurf and Roo, Codex
REFUSED = {
    "tcp": "the gateway speaks no WebSocket; write a url that begins with http:// or https://",
    "headersHelper": "the gateway runs no program for headers; write the headers",
    "sandboxEnabled": "the gateway starts programs without a sandbox; write a command that makes one",
}
SWITCH: TypeAdapter[bool] = TypeAdapter(bool)


def is_switched_off(name: str, raw: Mapping[str, Any], placeholders: Placeholders) -> bool:
    """Whether a server is switched off, in any host's words; what is neither on nor off is a ValueError."""
    for key, value in raw.items():
        if key.lower() in SWITCHES and value is not None:
            place = f"the server {name}: {key}"
            try:
                is_said = SWITCH.validate_python(placeholders.fill(place, key, value))
            except ValidationError:
                raise ValueError(f"{place}: this is neither true nor false.") from None
            if is_said is SWITCHES[key.lower()]:
                return True
    return False


def in_our_words(name: str, raw: Mapping[str, Any], placeholders: Placeholders) -> dict[str, Any]:
    """A server with the keys that the gateway knows, and every placeholder filled; raises ValueError."""
    entry = _unfolded(name, raw)
    if raw.get("httpUrl"):
        entry.setdefault("type", "http")
    for key, reason in REFUSED.items():
        if entry.get(key):
            raise ValueError(f"the server {name}: {key}: {reason}.")
    _add_tools(name, entry)
    _add_headers(name, entry, placeholders)
    filled = {key: placeholders.fill(f"the server {name}: {key}", key, value) for key, value in entry.items()}
    _add_env(name, filled, placeholders)
    for key in ("env", "headers"):
        if isinstance(filled.get(key), dict):
            filled[key] = {one: _as_text(value) for one, value in filled[key].items() if value is not None}
    if isinstance(filled.get("args"), list):
        filled["args"] = [_as_text(value) for value in filled["args"]]
    return filled


def _unfolded(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """With what stands in `transport: {…}` beside the rest, and every key in our words."""
    inner = raw.get("transport")
    pairs = [*((key, value) for key, value in raw.items() if key != "transport" or inner is not value)]
    pairs += inner.items() if isinstance(inner, dict) else [("transport", inner)] if inner else []
    entry: dict[str, Any] = {}
    for key, value in pairs:
        ours = IN_OUR_WORDS.get(key, key)
        if value is not None and entry.setdefault(ours, value) != value:
            raise ValueError(f"the server {name}: {key}: it has two of these that differ; keep one {ours}.")
    return entry


def _as_text(value: Any) -> Any:
    """A number or a switch as a program reads it; other things are left for pydantic to refuse."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _add_tools(name: str, entry: dict[str, Any]) -> None:
    """Take over which tools another host offers; `include` under `atlas` counts before its list."""
    only = _names(name, entry, ONLY_TOOLS)
    left_out = _names(name, entry, NOT_TOOLS)
    ours = entry.get("atlas", {})
    tools = ours.get("tools", {}) if isinstance(ours, dict) else None
    if not isinstance(tools, dict) or not isinstance(tools.get("exclude", []), list):
        return  # a mistake, which is told in its own words
    if only is not None:
        tools = {"include": only} | tools
    if left_out:
        tools = tools | {"exclude": [*tools.get("exclude", []), *left_out]}
    if tools:
        entry["atlas"] = ours | {"tools": tools}


def _names(name: str, entry: Mapping[str, Any], keys: tuple[str, ...]) -> list[str] | None:
    found: list[str] | None = None
    for key in keys:
        names = entry.get(key)
        if isinstance(names, dict) and key == "tools":
            continue  # how single tools are approved elsewhere, as Codex writes it
        if names is None:
            continue
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise ValueError(f"the server {name}: {key}: this is no list of names of tools.")
        found = (found or []) + [_pattern(one) for one in names]
    return found


def _pattern(tool_name: str) -> str:
    """A pattern for one name; Gemini CLI writes what may be its arguments behind it."""
    bare = tool_name.partition("(")[0]
    return bare if bare == "*" else "".join(f"[{sign}]" if sign in "*?[" else sign for sign in bare)


def _check_is_set(name: str, place: str, variable: object, placeholders: Placeholders) -> None:
    """Raise ValueError without the name of the variable: some write the secret itself there."""
    if not placeholders.variables.get(str(variable)):
        raise ValueError(f"the server {name}: {place}: it names a variable that is not set.")


def _add_headers(name: str, entry: dict[str, Any], placeholders: Placeholders) -> None:
    """What Codex has as names of variables."""
    added = {}
    if isinstance(variable := entry.get("bearer_token_env_var"), str):
        _check_is_set(name, "bearer_token_env_var", variable, placeholders)
        added["Authorization"] = f"Bearer ${{env:{variable}}}"
    if isinstance(named := entry.get("env_http_headers"), dict):
        for header, variable in named.items():
            _check_is_set(name, f"env_http_headers.{plain_text(str(header))[:60]}", variable, placeholders)
            added[header] = f"${{env:{variable}}}"
    if added:
        headers = entry.get("headers", {})
        if not isinstance(headers, dict) or {one.lower() for one in headers} & {one.lower() for one in added}:
            raise ValueError(f"the server {name}: headers: it has one of its headers twice.")
        entry["headers"] = headers | added


def _add_env(name: str, filled: dict[str, Any], placeholders: Placeholders) -> None:
    """The variables that Codex hands on, those of the file that VS Code and Cursor name, and the server's."""
    named = filled.get("env_vars") or []
    if not isinstance(named, list):
        raise ValueError(f"the server {name}: env_vars: this is no list of names of variables.")
    names = [str(one.get("name") if isinstance(one, dict) else one) for one in named]
    handed_on = {one: placeholders.variables[one] for one in names if one in placeholders.variables}
    from_file = _env_file(name, filled["envFile"], placeholders) if filled.get("envFile") else {}
    if isinstance(filled.get("env", {}), dict) and (handed_on or from_file):
        filled["env"] = {**handed_on, **from_file, **filled.get("env", {})}


def _env_file(name: str, said: Any, placeholders: Placeholders) -> dict[str, str]:
    place = f"the server {name}: envFile"
    if not isinstance(said, str):
        raise ValueError(f"{place}: this is no path.")
    path = (placeholders.workspace or placeholders.path.absolute().parent) / Path(said)
    try:
        values = dotenv_values(stream=io.StringIO(read_text(path)), interpolate=False)
    except OSError as error:
        raise ValueError(f"{place}: {path}: {error.strerror}.") from None
    except TextUnreadable as error:
        raise ValueError(f"{place}: {path}: {error}.") from None
    return {variable: value for variable, value in values.items() if value is not None}
