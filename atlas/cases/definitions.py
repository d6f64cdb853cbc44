"""What a tool says that it is: the form that is kept and compared, its digest, and what has changed in it.

A definition is the RFC 8785 form of a tool's name, title, description, schemas and annotations, and of the
name of the server behind the gateway that offers it, if one does. Its icons and the rest of its `_meta` are
left out: they change from run to run, and nothing that a call does depends on them.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.canonical import LARGEST_INTEGER, NotCanonical, canonical_json
from atlas.database.statements import Instant, Prepared, metadata
from atlas.models import UPSTREAM_META, Frozen, plain_text

if TYPE_CHECKING:
    from fastmcp.tools import Tool

LONGEST_DEFINITION = 256 * 1024  # bytes
MOST_NAMED = 8  # parameters, in a sentence about what has changed
LONGEST_NAME = 60  # characters of a parameter, in such a sentence

definitions = sa.Table(
    "definitions",
    metadata,
    sa.Column("definition_sha256", sa.String(64), primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
)

# The first definition of each upstream tool that was seen under each policy.
tool_definitions = sa.Table(
    "tool_definitions",
    metadata,
    sa.Column("tool_name", sa.String(200), primary_key=True),
    sa.Column("policy_sha256", sa.String(64), primary_key=True),
    sa.Column("definition_sha256", sa.String(64), nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
)

_KEEP = Prepared(
    sa.text(
        "INSERT INTO definitions (definition_sha256, definition) VALUES (:sha256, :text)"
        " ON CONFLICT DO NOTHING"
    )
)
_READ = Prepared(
    sa.select(definitions.c.definition).where(definitions.c.definition_sha256 == sa.bindparam("sha256"))
)
_FIRST = Prepared(
    sa.select(tool_definitions.c.definition_sha256).where(
        tool_definitions.c.tool_name == sa.bindparam("tool_name"),
        tool_definitions.c.policy_sha256 == sa.bindparam("policy_sha256"),
    )
)


class Definition(Frozen):
    """A tool's definition, as it is kept and compared."""

    text: str  # the RFC 8785 form; only a note, where that is longer than LONGEST_DEFINITION
    sha256: str  # 64 hex digits, of the whole form
    is_too_long: bool = False


def definition_of(tool: "Tool") -> Definition:
    """What a tool says of itself; its name is the one by which it is called."""
    annotations = tool.annotations
    said = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.parameters,
        "outputSchema": tool.output_schema,
        "annotations": annotations.model_dump(mode="json", by_alias=True, exclude_none=True)
        if annotations
        else None,
    }
    upstream = (tool.meta or {}).get(UPSTREAM_META)
    if upstream:  # whose tool it is; the same words from elsewhere are another tool
        said["upstream"] = str(upstream)
    form = _canonical(said)
    sha256 = hashlib.sha256(form).hexdigest()
    if len(form) > LONGEST_DEFINITION:
        note = _canonical({"name": tool.name, "bytes": len(form)})
        return Definition(text=note.decode(), sha256=sha256, is_too_long=True)
    return Definition(text=form.decode(), sha256=sha256)


def _canonical(value: Any) -> bytes:
    try:
        return canonical_json(value)
    except NotCanonical:  # the bounds of a 64 bit integer, for instance, which many servers put into a schema
        return canonical_json(_writable(value))


def _writable(value: Any) -> Any:
    """The value with what RFC 8785 cannot write as an object that says what it was."""
    if isinstance(value, dict):
        return {_text(str(key)): _writable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_writable(item) for item in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return {"$number": repr(value)}


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def keep_definition(connection: Connection, definition: Definition) -> None:
    """Have a definition on record; the same one is kept once, however many calls refer to it."""
    _KEEP.execute(connection, {"sha256": definition.sha256, "text": definition.text})


def read_definition(connection: Connection, sha256: str) -> dict[str, Any]:
    """The definition of that digest; an empty one if it was never kept."""
    row = _READ.first(connection, {"sha256": sha256})
    return dict(json.loads(row[0])) if row else {}


def first_definition(connection: Connection, tool_name: str, policy_sha256: str) -> str | None:
    """The digest of the first definition of an upstream tool that was seen under a policy."""
    row = _FIRST.first(connection, {"tool_name": tool_name, "policy_sha256": policy_sha256})
    return None if row is None else str(row[0])


def note_first_definition(
    connection: Connection, tool_name: str, policy_sha256: str, sha256: str, *, at: datetime
) -> str:
    """Note it as the first one, unless another one was quicker; returns the one that is on record."""
    first = first_definition(connection, tool_name, policy_sha256)
    if first is None:
        values = {"tool_name": tool_name, "policy_sha256": policy_sha256, "definition_sha256": sha256}
        connection.execute(tool_definitions.insert().values(values | {"first_seen_at": at}))
    return first or sha256


def differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What has changed between two definitions, such as "its description and its parameter path"."""
    return _listed([*_differing(before, after)]) or "its definition"


def _differing(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    if not before or not after:
        return  # one of them is not on record
    for key, name in (("name", "name"), ("title", "title"), ("description", "description")):
        if before.get(key) != after.get(key):
            yield f"its {name}"
    if before.get("upstream") != after.get("upstream"):
        yield "the server that offers it"
    yield from _in_input_schema(_schema(before), _schema(after))
    if before.get("outputSchema") != after.get("outputSchema"):
        yield "its output schema"
    old, new = before.get("annotations") or {}, after.get("annotations") or {}
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if changed:
        yield f"what it declares ({', '.join(_name(key) for key in changed[:MOST_NAMED])})"


def _in_input_schema(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    old, new = _parameters(before), _parameters(after)
    changed = [
        f"its {_kind(name, old, new)}parameter {_name(name)}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    yield from changed[:MOST_NAMED]
    if len(changed) > MOST_NAMED:
        yield f"{len(changed) - MOST_NAMED} more of its parameters"
    if before != after and not changed:
        yield "its input schema"
    elif _without_parameters(before) != _without_parameters(after):
        yield "the rest of its input schema"


def _kind(name: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    if name not in old:
        return "new "
    return "removed " if name not in new else ""


def _schema(definition: dict[str, Any]) -> dict[str, Any]:
    schema = definition.get("inputSchema")
    return schema if isinstance(schema, dict) else {}


def _parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """Each parameter with its schema and whether it is required."""
    properties, required = schema.get("properties"), schema.get("required")
    named = properties if isinstance(properties, dict) else {}
    wanted = required if isinstance(required, list) else []
    return {name: (schema, name in wanted) for name, schema in named.items()}


def _without_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("properties", "required")}


def _name(name: str) -> str:
    """A name from a server that no one vouches for, as it can stand in a sentence for a reviewer."""
    return plain_text(name)[:LONGEST_NAME]


def _listed(parts: list[str]) -> str:
    return (
        parts[0] if len(parts) == 1 else " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]))
    )
