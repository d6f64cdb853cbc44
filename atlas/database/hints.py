"""Hints of what other gateways changed: the references of cases, and nothing of what is in them.

A hint can be lost, and has no authority: who hears one reads the store, and also looks there by itself.
"""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

OF_NO_CASE = "-"  # in the place of a reference: a stop, a plan, a person
NOTED = "atlas.hints"  # in the `info` of a connection whose commit says what was changed
OFTEN_SECONDS = 1.0  # between two looks of one who waits, while hints may be lost
SELDOM_SECONDS = 10.0  # while each change is told

EVERYONE = "*"  # in the place of the process that a message is for


class Message(NamedTuple):
    """What one gateway tells another about a case; like a hint it can be lost, and has no authority."""

    to: str  # the process that it is for
    what: str
    case_id: str


Heard = Callable[[frozenset[str] | None], None]


class Hints:
    """Those who want to hear; None, in the place of references: any case may have changed."""

    def __init__(self, *, is_sound: bool) -> None:
        self.listeners: list[Heard] = []
        self.hearers: list[Callable[[str, Message], None]] = []  # told of messages, and which process said it
        self.say: Callable[[Message], Coroutine[Any, Any, None]] = _say_to_no_one
        self.is_sound = is_sound  # each change of another gateway is told, as far as is known

    @property
    def seconds_between_looks(self) -> float:
        """After how long one who waits looks into the store, because a hint may have been lost."""
        return SELDOM_SECONDS if self.is_sound else OFTEN_SECONDS

    def tell(self, case_ids: frozenset[str] | None) -> None:
        """Tell all of them."""
        for listener in self.listeners:
            listener(case_ids)


async def _say_to_no_one(message: Message) -> None:
    """There is no other gateway."""


def hint(connection: Connection, case_id: str) -> None:
    """Have the transaction of a connection tell other gateways, when it is committed, that a case changed."""
    noted = connection.info.get(NOTED)
    if noted is not None:
        noted.add(case_id)
