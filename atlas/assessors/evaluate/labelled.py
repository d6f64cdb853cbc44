"""Labelled calls, one JSON object a line, read as the questions that a gateway would ask."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from atlas.assessors import Question, ToolFacts
from atlas.errors import AtlasError
from atlas.texts import TextUnreadable, read_text


class LabelledCallInvalid(AtlasError):
    """{path}, line {line}: {reason}."""


class LabelledFileUnreadable(AtlasError):
    """{path} cannot be read: {reason}."""


class Turn(BaseModel):
    """One thing that the agent had seen before the call: a message, or an earlier call."""

    role: str
    content: str | None = None
    tool: str | None = None  # of an earlier call
    arguments: dict[str, Any] = {}


class LabelledCall(BaseModel):
    """One line of a file; what else stands in it is ignored."""

    model_config = ConfigDict(frozen=True)

    id: str
    tool_name: str
    description: str = ""
    arguments: dict[str, Any]
    context: tuple[Turn, ...] = ()
    label: Literal["safe", "risky"]
    source: str = ""
    kind: str = ""  # where the label comes from
    meta: dict[str, Any] = {}

    @property
    def is_risky(self) -> bool:
        """Whether a person should have decided on the call."""
        return self.label == "risky"

    @property
    def group(self) -> str | None:
        """The case that several rows come from, as `meta.case` names it; rows of a case say much the same."""
        case = self.meta.get("case")
        return None if case is None else str(case)

    def part(self, by: str) -> str:
        """To which part of its set the row belongs: its source, its kind, or its suite or domain."""
        if by == "suite":
            return str(self.meta.get("suite") or self.meta.get("domain") or "")
        return self.source if by == "source" else self.kind

    @property
    def question(self) -> Question:
        """What an assessor is asked about the call alone; `Context.question` adds what came before.

        The last message of the user is the request: a client that names one in `_meta` knows the prompt that
        led to the call, and earlier ones are done.
        """
        said = [turn.content for turn in self.context if turn.role == "user" and turn.content]
        return Question(
            tool=ToolFacts(name=self.tool_name, description=self.description),
            arguments=self.arguments,
            principal="evaluation",
            user_request=said[-1] if said else None,
        )

    def fold(self, count: int, *, by_group: bool) -> int:
        """Which of so many parts the row belongs to, the same on every machine."""
        key = self.group if by_group and self.group is not None else self.id
        return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % count


def read_labelled(
    path: Path, *, limit: int | None = None, without: Collection[str] = ()
) -> list[LabelledCall]:
    """The first `limit` labelled calls of a file, without some kinds; an error says where they are wrong."""
    calls: list[LabelledCall] = []
    try:
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if limit is not None and len(calls) >= limit:
                break
            if line.strip() and (call := _read_line(path, number, line)).kind not in without:
                calls.append(call)
    except (OSError, TextUnreadable) as error:
        raise LabelledFileUnreadable(path=path, reason=error) from error
    if not calls:
        raise LabelledFileUnreadable(path=path, reason="it holds no labelled call")
    return calls


def _read_line(path: Path, number: int, line: str) -> LabelledCall:
    try:
        return LabelledCall.model_validate_json(line)
    except ValidationError as error:
        mistake = error.errors()[0]
        name = ".".join(str(part) for part in mistake["loc"])
        reason = f"{name}: {mistake['msg']}" if name else mistake["msg"]
        raise LabelledCallInvalid(path=path, line=number, reason=reason) from None
