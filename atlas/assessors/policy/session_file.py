"""The earlier calls of a session, written down by a person who wants a policy explained: JSON lines."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, StrictBool, StrictStr, ValidationError

from atlas.assessors import Earlier, ToolFacts
from atlas.models import Frozen
from atlas.origins.outside import is_outside
from atlas.texts import TextUnreadable, text_of

EXAMPLE = '{"tool": "read_email", "arguments": {}, "result": "Pay DE89…", "outside": true}'


class SessionInvalid(Exception):
    """A file from which no session can be read, with the reason."""


class _Line(Frozen):
    tool: StrictStr = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    result: Any = ""  # a text, or any other JSON
    outside: StrictBool | None = None  # None: as its name lets suppose


def read_session(path: Path) -> tuple[Earlier, ...]:
    """The calls in the order of the lines, the oldest first; raises SessionInvalid with the line."""
    try:
        lines = text_of(path.read_bytes()).split("\n")
    except OSError as error:
        raise SessionInvalid(f"{path}: {error.strerror or 'it cannot be read'}.") from error
    except TextUnreadable as error:
        raise SessionInvalid(f"{path}: {error}.") from error
    numbered = enumerate(lines, start=1)
    return tuple(_earlier(line, f"{path}, line {number}") for number, line in numbered if line.strip())


def _earlier(text: str, place: str) -> Earlier:
    try:
        line = _Line.model_validate(json.loads(text))
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        said = f"{key}: {error.errors()[0]['msg']}" if key else "it is no JSON object"
        raise SessionInvalid(f"{place}: {said}. Write a line such as {EXAMPLE}") from error
    except (ValueError, RecursionError) as error:
        raise SessionInvalid(f"{place}: it is no JSON: {error}. Write a line such as {EXAMPLE}") from error
    facts = ToolFacts(name=line.tool)
    return Earlier(
        tool_name=line.tool,
        arguments=line.arguments,
        result=line.result if isinstance(line.result, str) else json.dumps(line.result, ensure_ascii=False),
        is_outside=is_outside(facts) if line.outside is None else line.outside,
    )
