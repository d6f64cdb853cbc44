"""What an upstream offers: each list that it declares is read by itself, and each thing on it."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import mcp.types as mcp
from mcp import ClientSession, MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types import methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ValidationError

from atlas.errors import UpstreamMissing
from atlas.models import plain_text
from atlas.upstreams.wires import RelaySession

MOST_PAGES = 20  # of a list
LONGEST_LISTS = 16 * 1024 * 1024  # characters of all lists together
LATE_SECONDS = 5.0  # for which a list is waited for when another one is there
STRICTEST = "2025-11-25"  # the era whose clients refuse a list for one thing on it
LONGEST_REASON = 200  # characters of what a library says of a thing
LONGEST_NAMED = 60  # characters of a name, where something is said of it
SILENT = "it does not say what it offers"


class Kind(NamedTuple):
    """One of the lists: how it is asked for, and what an upstream declares that has it."""

    method: str
    key: str  # of the list in its answer
    capability: str
    thing: type[BaseModel]
    name: str  # of one thing on it, and with an s of the list


KINDS = (
    Kind("tools/list", "tools", "tools", mcp.Tool, "tool"),
    Kind("resources/list", "resources", "resources", mcp.Resource, "resource"),
    Kind("resources/templates/list", "resourceTemplates", "resources", mcp.ResourceTemplate, "template"),
    Kind("prompts/list", "prompts", "prompts", mcp.Prompt, "prompt"),
)


class Missing(NamedTuple):
    """A list that is declared and cannot be read."""

    list_name: str
    reason: str

    def __str__(self) -> str:
        return f"its {self.list_name} cannot be listed ({self.reason})"


@dataclass(frozen=True)
class Offer:
    """What an upstream offers, as it said when it was asked last."""

    tools: tuple[mcp.Tool, ...] = ()
    resources: tuple[mcp.Resource, ...] = ()
    templates: tuple[mcp.ResourceTemplate, ...] = ()
    prompts: tuple[mcp.Prompt, ...] = ()
    missing: tuple[Missing, ...] = ()  # each list that it declares and does not give
    left_out: tuple[str, ...] = ()  # a sentence for each thing that cannot be used


class ListBroken(Exception):
    """A list that cannot be read, with the reason."""


class Listed(NamedTuple):
    """The things on one list, and a sentence for each that cannot be used."""

    things: tuple[Any, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass
class _Room:
    """How much of all lists together may still be read."""

    left: int

    def take(self, length: int) -> None:
        """Count what was read. Raises UpstreamMissing."""
        self.left -= length
        if self.left < 0:
            raise UpstreamMissing(reason=f"its lists are longer than {LONGEST_LISTS // 1024 // 1024} MB")


async def read_offer(session: ClientSession, before: Offer | None) -> Offer:
    """Every list that is declared; in the place of one that is broken what it held before.

    Raises UpstreamMissing if no list can be read.
    """
    assert isinstance(session, RelaySession)  # noqa: S101  (both transports make one)
    declared = session.server_capabilities
    kinds = [kind for kind in KINDS if getattr(declared, kind.capability, None) is not None]
    read = await _read_all(session, kinds)
    broken = {kind: said for kind, said in read.items() if isinstance(said, ListBroken)}
    if kinds and len(broken) == len(kinds):
        raise UpstreamMissing(reason=f"{SILENT} ({next(iter(broken.values()))})")
    former = before or Offer()
    found = {_field(kind): getattr(former, _field(kind)) for kind in broken}
    found |= {_field(kind): said.things for kind, said in read.items() if isinstance(said, Listed)}
    missing = tuple(Missing(_field(kind), str(reason)) for kind, reason in broken.items())
    left_out = tuple(line for said in read.values() if isinstance(said, Listed) for line in said.left_out)
    return Offer(**found, missing=missing, left_out=left_out)


def left_out(kind: str, name: object, why: str) -> str:
    """The sentence on something that is not offered to agents."""
    shown = plain_text(name)[:LONGEST_NAMED] if isinstance(name, str) else "without a name"
    return f"its {kind} {shown or 'without a name'} is left out: {why}"


def field_of(error: Exception) -> str:
    """What cannot be used, and why, without the value: it is the upstream's to say, and can be long."""
    if not isinstance(error, ValidationError):
        return str(error) if type(error) is ValueError else type(error).__name__
    mistake = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{_place(mistake['loc'])}: {mistake['msg']}"


def _field(kind: Kind) -> str:
    return f"{kind.name}s"


async def _read_all(session: RelaySession, kinds: Sequence[Kind]) -> dict[Kind, Listed | ListBroken]:
    """Ask for all lists at once: a server that is silent on one of them holds up no other."""
    if not kinds:
        return {}
    room = _Room(LONGEST_LISTS)
    tasks = {kind: asyncio.create_task(_read(session, kind, room)) for kind in kinds}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks.values(), timeout=LATE_SECONDS)
        return {
            kind: task.result() if task.done() else ListBroken("no answer") for kind, task in tasks.items()
        }
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _read(session: RelaySession, kind: Kind, room: _Room) -> Listed | ListBroken:
    try:
        return await _pages(session, kind, room)
    except MCPError as error:
        if error.error.code == mcp.METHOD_NOT_FOUND:
            return Listed()
        # Without the upstream's own words: people and logs read this as the gateway's.
        return ListBroken(f"error {error.error.code}")
    except ListBroken as broken:
        return broken


async def _pages(session: RelaySession, kind: Kind, room: _Room) -> Listed:
    """One list, page by page, while all of them together are not too long to be kept."""
    things: list[Any] = []
    lines: list[str] = []
    cursors: list[str | None] = [None]
    while len(cursors) <= MOST_PAGES:
        page = await session.read_list(kind.method, cursors[-1])
        room.take(len(str(page)))
        for thing in _on_page(session, kind, page):
            (lines if isinstance(thing, str) else things).append(thing)
        following = page.get("nextCursor")
        if not isinstance(following, str) or following in cursors:
            return Listed(tuple(things), tuple(lines))
        cursors.append(following)
    raise ListBroken(f"more than {MOST_PAGES} pages")


def _on_page(session: RelaySession, kind: Kind, page: dict[str, Any]) -> Iterator[Any]:
    """Each thing on a page, or the sentence on why it is left out."""
    raw = page.get(kind.key)
    if not isinstance(raw, list):
        raise ListBroken(f"its answer holds no list of {kind.name}s")
    for one in raw:
        try:
            yield _thing(session.protocol_version, kind, one)
        except ValueError as error:
            name = one.get("name") if isinstance(one, dict) else None
            yield left_out(kind.name, name, field_of(error))


def _thing(version: str | None, kind: Kind, raw: Any) -> Any:
    """One thing, of which agents of every era can be told; ValueError says what is wrong with it."""
    thing = kind.thing.model_validate(raw, by_name=False)
    told = {key: value for key, value in raw.items() if key != "outputSchema"}  # which agents never see
    methods.validate_server_result(kind.method, STRICTEST, {kind.key: [told]})
    if isinstance(thing, mcp.Tool) and version in MODERN_PROTOCOL_VERSIONS:
        reason = find_invalid_x_mcp_header(thing.input_schema)
        if reason is not None:
            raise ValueError(f"inputSchema: x-mcp-header: {plain_text(reason)[:LONGEST_REASON]}")
    return thing


def _place(location: Sequence[object]) -> str:
    """The field, as a path; `tools.0` before it only leads to the thing."""
    parts = [str(part) for part in location]
    if parts and parts[0] in [kind.key for kind in KINDS]:
        parts = parts[2:]
    return ".".join(plain_text(part)[:LONGEST_NAMED] for part in parts) or "it"
