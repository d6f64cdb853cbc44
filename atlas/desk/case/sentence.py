"""What a call will do, in a sentence of the tool's own title and the arguments; no model writes it.

It is made of the recorded definition and the stored arguments. It names every argument, or says how many more
there are, and a value that is cut says so.
"""

from typing import Any, NamedTuple

from atlas.canonical import canonical_json
from atlas.desk.lines import size_of
from atlas.models import Case, ToolCall

MOST_NAMED = 8  # arguments
LONGEST_VALUE = 80  # characters of one


class Named(NamedTuple):
    """An argument as the sentence names it."""

    name: str
    value: str
    is_text: bool
    left_out: int  # characters that are not shown


class Sentence(NamedTuple):
    """Its parts, in order; each is text that an agent or a server wrote."""

    title: str
    tool_name: str
    server: str | None  # that offers the tool; None: the gateway itself
    arguments: tuple[Named, ...]
    more: int  # arguments that are not named
    has_answers: bool  # the agent also answers what the tool asked before


def sentence_of(case: Case, definition: dict[str, Any]) -> Sentence:
    """The sentence on a case whose tool had this definition; an empty one was never recorded."""
    call = case.call_in_force
    names = _in_order(call, definition)
    annotations = definition.get("annotations")
    declared = annotations.get("title") if isinstance(annotations, dict) else None
    return Sentence(
        title=str(definition.get("title") or declared or call.tool_name),
        tool_name=call.tool_name,
        server=definition.get("upstream"),
        arguments=tuple(_named(name, call.arguments[name]) for name in names[:MOST_NAMED]),
        more=max(0, len(names) - MOST_NAMED),
        has_answers=call.continuation is not None,
    )


def _in_order(call: ToolCall, definition: dict[str, Any]) -> list[str]:
    """The names of the arguments: first those that the tool requires, then the others that it knows."""
    schema = definition.get("inputSchema")
    schema = schema if isinstance(schema, dict) else {}
    required, known = schema.get("required"), schema.get("properties")
    order = [*(required if isinstance(required, list) else ()), *(known if isinstance(known, dict) else ())]
    place = {name: number for number, name in reversed([*enumerate(map(str, order))])}
    return sorted(call.arguments, key=lambda name: (place.get(name, len(order)), name))


def _named(name: str, value: Any) -> Named:
    if isinstance(value, str):
        return Named(name, value[:LONGEST_VALUE], True, max(0, len(value) - LONGEST_VALUE))
    written = canonical_json(value).decode()
    if len(written) > LONGEST_VALUE and isinstance(value, (dict, list)):
        return Named(name, size_of(value), False, 0)
    return Named(name, written, False, 0)


def declared(definition: dict[str, Any]) -> tuple[str, ...]:
    """What a tool says of its own effects, in words; a claim of its server."""
    hints = definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    said = [yes if hints[key] else no for key, yes, no in _HINTS if isinstance(hints.get(key), bool)]
    return tuple(text for text in said if text)


_HINTS = (
    ("readOnlyHint", "it only reads", "it changes something"),
    ("destructiveHint", "it can destroy something", "it destroys nothing"),
    ("idempotentHint", "a second call changes nothing more", ""),
    ("openWorldHint", "it reaches other systems", "it reaches no other system"),
)
