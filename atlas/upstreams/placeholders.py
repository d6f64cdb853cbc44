"""Fills what stands in `${…}`, as the hosts write it: a variable, or a folder that the gateway can know."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.models import plain_text

# A default may have a placeholder in it. `$NAME` is one only as a whole word: Gemini CLI writes it so.
PLACEHOLDER = re.compile(r"\$\{((?:[^{}]|\$\{[^{}]*\})*)\}|(?<!\S)\$([A-Z_][A-Z0-9_]*)(?!\S)")
VARIABLE = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_]*)|env:([^:{}]+))(?::-(.*))?", re.DOTALL)
OF_A_HOST = re.compile(r"(inputs?|config|command|secrets?|workspaceFolder|extension|user_config)[:.]")
A_SHELL_MAY_READ = ("command", "args")  # $NAME and ${NAME%…} in these are a shell's
EDITOR_FOLDERS = (".vscode", ".cursor")


@dataclass(frozen=True)
class Placeholders:
    """What the placeholders of one file stand for."""

    variables: Mapping[str, str]
    path: Path

    def fill(self, place: str, key: str, value: Any) -> Any:
        """A value with every placeholder in its texts filled; `place` is how a sentence about it begins.

        Raises ValueError, a sentence.
        """
        if isinstance(value, str):
            return PLACEHOLDER.sub(lambda match: self._found(place, key, match), value)
        if isinstance(value, list):
            return [self.fill(place, key, item) for item in value]
        if isinstance(value, dict):
            return {name: self.fill(f"{place}.{_shown(name)}", key, item) for name, item in value.items()}
        return value

    def _found(self, place: str, key: str, match: re.Match[str]) -> str:
        asked = match[1]
        if asked is None:
            return match[0] if key in A_SHELL_MAY_READ else self._variable(place, match[2], None, key)
        if OF_A_HOST.match(asked):
            raise ValueError(_of_a_host(place, asked))
        if variable := VARIABLE.fullmatch(asked):
            return self._variable(place, variable[1] or variable[2], variable[3], key)
        if asked == "/":
            return os.sep
        if key in A_SHELL_MAY_READ:
            return match[0]
        raise ValueError(f"{place}: the gateway cannot fill ${{{_shown(asked)}}}; write ${{NAME}}.")

    def _variable(self, place: str, name: str, default: str | None, key: str) -> str:
        if found := self.variables.get(name):
            return found
        if default is not None:
            return str(self.fill(place, key, default))
        if name in ("workspaceFolder", "workspaceFolderBasename") and self.workspace is None:
            reason = "is the folder that an editor has open, and the gateway has none; write its path"
            raise ValueError(f"{place}: ${{{name}}} {reason}.")
        if name in (folders := self._folders):
            return folders[name]
        raise ValueError(f"{place}: it wants the variable {_shown(name)}, which is not set.")

    @property
    def workspace(self) -> Path | None:
        """The folder that an editor would have open: the one above its own folder with this file."""
        folder = self.path.absolute().parent
        return folder.parent if folder.name in EDITOR_FOLDERS else None

    @property
    def _folders(self) -> dict[str, str]:
        workspace = self.workspace or Path()
        return {
            "userHome": self.variables.get("HOME") or str(Path.home()),
            "pathSeparator": os.sep,
            "workspaceFolder": str(workspace),
            "workspaceFolderBasename": workspace.name,
        }


def _of_a_host(place: str, asked: str) -> str:
    shown = f"${{{_shown(asked)}}}"
    if asked.startswith("input"):
        return f"{place}: {shown} asks a person at each start; write ${{NAME}}, and NAME=… into .env."
    return f"{place}: only the program that this file was written for can fill {shown}; write ${{NAME}}."


def _shown(text: object) -> str:
    return plain_text(str(text))[:60]
