"""The texts of a tool's answer, as far as later calls are compared with them."""

import json
from collections.abc import Sequence
from typing import Any

MOST_CHARACTERS = 100_000  # of one answer
TEXTS_OF_A_RESOURCE = ("uri", "text")
TEXTS_OF_A_LINK = ("name", "title", "description", "uri", "mimeType")
SERVER_INFO = "io.modelcontextprotocol/serverInfo"  # in its place agents see that of the gateway
WRAPPED = ("fastmcp", {"wrap_result": True})


def text_of_result(result: dict[str, Any] | None) -> tuple[str, bool]:
    """The texts of an MCP CallToolResult, one after the other, and whether something was left out.

    What `structuredContent` only repeats is not taken twice.
    """
    if result is None:
        return "", False
    texts, is_all_text = _texts_of(result)
    structured = result.get("structuredContent")
    if structured is not None and not _repeats(structured, texts):
        texts.append(json.dumps(structured, ensure_ascii=False))
    if result.get("inputRequests"):  # what the tool asks, in words that the agent reads
        texts.append(json.dumps(result["inputRequests"], ensure_ascii=False))
    texts += _notes_of(result)
    whole = "\n".join(texts)
    return whole[:MOST_CHARACTERS], len(whole) > MOST_CHARACTERS or not is_all_text


def text_at_once(result: dict[str, Any]) -> tuple[str, bool] | None:
    """The same of an answer that takes next to no time to read; None for one that may be long."""
    texts, is_all_text = _texts_of(result)
    structured = result.get("structuredContent")
    if (
        sum(map(len, texts)) + len(texts) > MOST_CHARACTERS
        or result.get("inputRequests")
        or _notes_of(result)
    ):
        return None
    if structured is not None and not _repeats(structured, texts):
        return None
    return "\n".join(texts), not is_all_text


def _blocks_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [block for block in result.get("content") or [] if isinstance(block, dict)]


def _texts_of(result: dict[str, Any]) -> tuple[list[str], bool]:
    """The texts of the blocks, and whether each block is a text."""
    blocks = _blocks_of(result)
    texts = [text for block in blocks if (text := _text_of(block))]
    return texts, len(texts) == len(blocks) and not any(map(_holds_file, blocks))


def _text_of(block: dict[str, Any]) -> str:
    """The text of a block; empty for a picture or a sound."""
    if isinstance(block.get("text"), str):
        return str(block["text"]) or " "
    resource = block.get("resource")
    if isinstance(resource, dict):
        said = (resource.get(name) for name in TEXTS_OF_A_RESOURCE)
        return "\n".join(text for text in said if isinstance(text, str))
    if not isinstance(block.get("uri"), str):  # a picture or a sound, and no link
        return ""
    return "\n".join(str(block[name]) for name in TEXTS_OF_A_LINK if isinstance(block.get(name), str))


def _holds_file(block: dict[str, Any]) -> bool:
    """Whether a block holds a file that is no text, of which only the address is compared."""
    resource = block.get("resource")
    return isinstance(resource, dict) and not isinstance(resource.get("text"), str)


def _notes_of(result: dict[str, Any]) -> list[str]:
    """What a server adds in `_meta`, which a client may show to its model; not what the protocol adds."""
    blocks = _blocks_of(result)
    holders = [result, *blocks, *(block.get("resource") for block in blocks)]
    notes = [holder["_meta"] for holder in holders if isinstance(holder, dict) and holder.get("_meta")]
    found = [_without_protocol(note) for note in notes if isinstance(note, dict)]
    return [json.dumps(note, ensure_ascii=False) for note in found if note]


def _without_protocol(note: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in note.items() if key != SERVER_INFO and (key, value) != WRAPPED}


def _repeats(structured: Any, texts: Sequence[str]) -> bool:
    """Whether structured content says the same as the one text beside it, which is for old clients."""
    if len(texts) != 1 or len(texts[0]) > MOST_CHARACTERS:
        return False
    if structured == {"result": texts[0]}:
        return True
    try:
        said = json.loads(texts[0])
    except (ValueError, RecursionError):
        return False
    return structured in (said, {"result": said})
