"""The default assessor: scores from a policy file that people can read, by tool name and MCP annotations."""

import asyncio
import hashlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import celpy
import tomli
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.celtypes import BoolType
from pydantic import Field, StrictInt, ValidationError

from atlas.assessors import ToolFacts
from atlas.errors import PolicyInvalid
from atlas.models import Frozen, ToolCall

Score = Field(ge=0, le=100)


class Rule(Frozen):
    """What calls of a tool get, where the condition, if there is one, holds."""

    tool: str
    when: str | None = None
    score: StrictInt = Score
    classification: str
    rationale: str


class Annotated(Frozen):
    """What calls get that no rule names, by what their tool says of itself."""

    read_only: StrictInt = Score
    destructive: StrictInt = Score
    unknown: StrictInt = Score


class PolicyFile(Frozen):
    """The content of a policy file."""

    rule: tuple[Rule, ...] = ()
    annotations: Annotated


class Policy:
    """Judges by the first rule that matches, else by the tool's annotations."""

    def __init__(self, path: Path) -> None:
        """Read a policy file; raises PolicyInvalid with what is wrong in it."""
        try:
            content = path.read_bytes()
            self._file = PolicyFile.model_validate(tomli.loads(content.decode()))
            self._conditions = {rule.when: _program(rule.when) for rule in self._file.rule if rule.when}
        except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError, CELParseError) as error:
            raise PolicyInvalid(path=path, reason=str(error)) from error
        except ValidationError as error:
            raise PolicyInvalid(path=path, reason=_first_mistake(error)) from error
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.name = f"policy {self.sha256[:12]}"

    async def judge(self, call: ToolCall, tool: ToolFacts) -> dict[str, Any]:
        """Score a call; an exception means that a condition could not be evaluated on its arguments."""
        named = [rule for rule in self._file.rule if fnmatchcase(call.tool_name, rule.tool)]
        if any(rule.when for rule in named):  # how long a condition takes depends on the arguments
            rule = await asyncio.to_thread(self._first, named, call, tool)
        else:
            rule = self._first(named, call, tool)
        return {
            "risk_score": rule.score,
            "classification": rule.classification,
            "action": call.tool_name,
            "rationale": rule.rationale,
        }

    def _first(self, named: list[Rule], call: ToolCall, tool: ToolFacts) -> Rule:
        holding = (rule for rule in named if rule.when is None or self._holds(rule.when, call, tool))
        return next(holding, None) or self._by_annotations(tool)

    def _holds(self, when: str, call: ToolCall, tool: ToolFacts) -> bool:
        known: dict[str, Any] = {
            "args": call.arguments,
            "tool": tool.model_dump(),
            "principal": call.principal,
        }
        holds = self._conditions[when].evaluate({key: json_to_cel(value) for key, value in known.items()})
        if not isinstance(holds, BoolType):
            raise TypeError(f"The condition {when!r} is neither true nor false.")
        return bool(holds)

    def _by_annotations(self, tool: ToolFacts) -> Rule:
        if tool.is_destructive and not tool.is_read_only:
            return self._unnamed(tool, self._file.annotations.destructive, "the tool says it is destructive")
        if tool.is_read_only and not tool.is_destructive:
            return self._unnamed(tool, self._file.annotations.read_only, "the tool says it only reads")
        return self._unnamed(tool, self._file.annotations.unknown, "nothing is known of what the tool does")

    def _unnamed(self, tool: ToolFacts, score: int, why: str) -> Rule:
        rationale = f"No rule names this tool; {why}."
        return Rule(tool=tool.name, score=score, classification="unnamed tool", rationale=rationale)


def _program(condition: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(condition))


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors()[0]
    return f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}"
