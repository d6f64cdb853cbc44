"""Plays out of a record, for a test: what AgentDojo answered is given again, without AgentDojo."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plays import Play


class RecordedStage:
    """One recorded play: each of its calls can be made once, and is answered as it was."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.play = Play(**kept["play"])
        self.request: str = kept["request"]
        self._user: list[dict[str, Any]] = kept["user"]
        self._injection: list[dict[str, Any]] = kept["injection"]
        self._waiting = [*self._user, *self._injection]
        self._shows = {call["text"] for call in self._waiting if call["shows_attack"]}

    def run(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """The recorded answer; a call that was not recorded, or not so often, is an error."""
        for call in self._waiting:
            if (call["tool"], call["arguments"]) == (tool, arguments):
                self._waiting.remove(call)
                return call["text"], call["is_error"]
        return f"KeyError: no such call of {tool} is recorded", True

    def shows_attack(self, text: str) -> bool:
        """Whether the text held what the attack wrote."""
        return text in self._shows

    def calls_of_user(self) -> list[dict[str, Any]]:
        """The calls with which the user's task is done."""
        return [_told(call) for call in self._user]

    def calls_of_injection(self) -> list[dict[str, Any]]:
        """The calls with which the injection task is done."""
        return [_told(call) for call in self._injection]


class RecordedSuite:
    """The plays of one suite out of a file that `benchmarks/agentdojo.py --record` wrote."""

    def __init__(self, path: Path) -> None:
        self._kept = json.loads(path.read_text())

    def tools(self) -> list[dict[str, Any]]:
        """What each tool says of itself."""
        tools: list[dict[str, Any]] = self._kept["tools"]
        return tools

    def plays(self, attack: str) -> Iterator[Play]:
        """The recorded plays with an attack."""
        plays = (Play(**kept["play"]) for kept in self._kept["plays"])
        return (play for play in plays if play.attack == attack)

    def stage(self, play: Play) -> RecordedStage:
        """One play at its beginning."""
        kept = next(kept for kept in self._kept["plays"] if Play(**kept["play"]) == play)
        return RecordedStage(json.loads(json.dumps(kept)))


def _told(call: dict[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in ("tool", "arguments", "acts")}
