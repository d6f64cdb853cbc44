"""What a condition counts over the earlier calls of the session: `session.calls()` and `session.sum()`."""

import fnmatch
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from celpy.celtypes import DoubleType, IntType, MapType, StringType

from atlas.assessors import Earlier, Question
from atlas.assessors.policy.facts import trace_of
from atlas.origins.leaves import leaves_of

TAKES = {"calls": 1, "sum": 2}
EXAMPLES = {"calls": 'session.calls("send_*")', "sum": 'session.sum("send_*", "amount")'}
NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,300})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?", re.ASCII)


class NotCounted(TypeError):
    """Something that a condition counts is not known; says what, without values of the call."""


class Session(MapType):
    """The variable `session`, with the earlier calls behind it."""

    def __init__(self, facts: MapType, question: Question) -> None:
        """The facts that conditions can name, and the calls that they can count."""
        super().__init__(facts)
        self.question = question

    def fitting(self, pattern: Any) -> list[Earlier]:
        """The earlier calls whose tool fits a pattern; raises NotCounted if these may not be all."""
        if not isinstance(pattern, StringType):
            raise NotCounted("the name of a tool is no text")
        own = [one for one in self.question.earlier if not one.is_other_session]
        if not self.question.knows_session or trace_of(self.question).calls > len(own):
            raise NotCounted("the session has had more calls than are counted")
        return [one for one in own if fnmatch.fnmatchcase(one.tool_name, pattern)]


def calls(session: Any, pattern: Any) -> IntType:
    """How many earlier calls of the session have a tool that fits; those that were refused count too."""
    return IntType(len(_of(session).fitting(pattern)))


def sum_of(session: Any, pattern: Any, path: Any) -> DoubleType:
    """The sum of an argument over those calls; each counts by its size, so that none makes it smaller."""
    fitting = _of(session).fitting(pattern)
    total = math.fsum(abs(_number_at(one, str(path))) for one in fitting)
    if not math.isfinite(total):
        raise NotCounted("a sum is too large")
    return DoubleType(total)


def _of(session: Any) -> Session:
    if not isinstance(session, Session):
        raise NotCounted("only a session can be counted")
    return session


def _number_at(one: Earlier, path: str) -> float:
    leaves, is_whole = leaves_of(one.arguments)
    at = [leaf.value for leaf in leaves if leaf.path == path]
    if not is_whole or len(at) != 1:
        raise NotCounted("an earlier call does not have the number that is summed")
    return _number(at[0])


def _number(value: Any) -> float:
    """A number, or a text that is one as JSON writes it."""
    try:
        if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
            value = json.loads(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except (ValueError, OverflowError):  # more digits than a number has place for
        pass
    raise NotCounted("an earlier call has no number where one is summed")


def mistakes_in_count(name: str, owner: str, arguments: list[Any]) -> Iterator[str]:
    """What is wrong with `.calls()` or `.sum()`; an argument is None where only a call can say it."""
    count = TAKES[name]
    if owner != "session":
        yield f"calls .{name}() of something else than session; write {EXAMPLES[name]}"
    elif len(arguments) != count:
        yield f"needs {count} argument{'s' if count > 1 else ''} in .{name}(), such as {EXAMPLES[name]}"
    elif any(not isinstance(said, StringType | None) for said in arguments):
        yield f"needs texts in .{name}(), such as {EXAMPLES[name]}"
    elif set(arguments[0] or "") & set("[]"):
        yield f"has a pattern in .{name}() with brackets; it is the name of a tool, or a pattern with * and ?"
