"""Reads and writes `.env`: a setting that was asked for gets its new value, every other line stays."""

import io
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from atlas.settings import read_env_file
from atlas.texts import read_text


def read_values(path: Path) -> dict[str, str]:
    """The settings of a file as the gateway reads them, but `${NAME}` as it stands; none without a file."""
    return {name: value or "" for name, value in read_env_file(path, interpolate=False).items()}


def write_values(path: Path, values: Mapping[str, str], *, template: Path) -> None:
    """Give settings their values in a file that only its owner can read; a new one begins as the template."""
    source = path if path.exists() else template
    text = with_values(read_text(source), values)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of a `.env` in which settings have these values; those that it lacks follow at its end."""
    seen: set[str] = set()
    lines: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original.string
        if binding.key is not None and binding.key in values:
            seen.add(binding.key)
            above = original[: len(original) - len(original.lstrip())]  # empty lines belong to the next one
            original = f"{above}{assignment(binding.key, values[binding.key])}\n"
        lines.append(original)
    lines += ["\n"] if lines and not lines[-1].endswith("\n") else []
    return "".join(lines + [f"{assignment(name, values[name])}\n" for name in values if name not in seen])


def assignment(name: str, value: str) -> str:
    """`NAME=value`, with quotes only where the value cannot be read without."""
    bare = f"{name}={value}"
    if dotenv_values(stream=io.StringIO(bare), interpolate=False) == {name: value}:
        return bare
    return f"{name}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
