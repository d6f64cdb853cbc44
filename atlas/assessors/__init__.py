"""The judges of a call: a family of interchangeable parts that answer with a risk score from 0 to 100."""

from typing import Any, Protocol

from atlas.models import Frozen, ToolCall


class ToolFacts(Frozen):
    """What a tool says of itself by its MCP annotations; None where it says nothing."""

    name: str
    description: str
    is_read_only: bool | None
    is_destructive: bool | None
    is_idempotent: bool | None


class Assessor(Protocol):
    """Judges one call."""

    name: str

    async def judge(self, call: ToolCall, tool: ToolFacts) -> Any:
        """Answer {"risk_score": 0-100, "classification", "action", "rationale"}; may raise anything."""
