"""Channels: the ways by which a notice leaves, a family of interchangeable parts with one module each.

A new one is a module here, and a few lines elsewhere: docs/how-to/notices.md, "Add another way".
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

WEBHOOK = "webhook"  # the name of the channel of ATLAS_NOTIFY_URL, the one for a program


@dataclass(frozen=True)
class Asks:
    """The case on which a message asks for a decision, as it is shown there."""

    case_id: str
    round_number: int
    seen_sha256: str
    link: str | None


@dataclass(frozen=True)
class Message:
    """A notice as it is sent: for a program its body, for a person title and text. None has arguments."""

    delivery_id: str  # the same for each attempt, so that a receiver knows a copy
    title: str
    text: str
    body: dict[str, Any]
    asks: Asks | None = None  # where it is about one case, and a decision on it


class Channel(Protocol):
    """A way by which a notice leaves."""

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Hand a message over, and return what it takes to rewrite it there; raises NotDelivered."""

    async def close(self) -> None:
        """Let go of what is open."""
