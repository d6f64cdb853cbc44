"""The texts of a tool's answer, as far as later calls are compared with them."""

import json
from typing import Any

MOST_CHARACTERS = 200_000  # of one answer


def text_of_result(result: dict[str, Any] | None) -> tuple[str, bool]:
    """The texts of an MCP CallToolResult, one after the other, and whether something was left out."""
    if result is None:
        return "", False
    blocks = [block for block in result.get("content") or [] if isinstance(block, dict)]
    texts = [text for block in blocks if isinstance(text := _text_of(block), str)]
    structured = result.get("structuredContent")
    if structured is not None:
        texts.append(json.dumps(structured, ensure_ascii=False))
    if result.get("inputRequests"):  # what the tool asks, in words that the agent reads
        texts.append(json.dumps(result["inputRequests"], ensure_ascii=False))
    whole = "\n".join(texts)
    is_partly_read = len(whole) > MOST_CHARACTERS or len(texts) < len(blocks)
    return whole[:MOST_CHARACTERS], is_partly_read


def _text_of(block: dict[str, Any]) -> Any:
    return block.get("text") or (block.get("resource") or {}).get("text")
