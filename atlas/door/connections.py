"""Which connections are open: how long each may take to send a request, and how many there may be at once."""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Protocol

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
WRITE_SECONDS = 60.0  # how long a client may read nothing of an answer that waits for it


@dataclass(frozen=True)
class Limits:
    """Seconds and numbers; `key_of` names who sends an Authorization header, or None for strangers."""

    key_of: Callable[[str], str | None]
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    per_key: int = 512
    strangers: int = 512
    strangers_per_address: int = 128


class Connection(Protocol):
    """One connection, as the door sees it."""

    @property
    def waits(self) -> bool:
        """Whether a part of a request is still to come, so that nothing is lost if it is closed."""

    def is_late(self, now: float) -> bool:
        """Whether what is still to come should be there."""

    def give_up(self) -> None:
        """Say so, and close."""


class Door:
    """Counts connections. A stranger makes room for the next one; a connection with a key stays."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[Connection, str] = {}
        self._strangers: OrderedDict[Connection, str] = OrderedDict()  # the oldest first, with its address
        self._of_address: defaultdict[str, OrderedDict[Connection, None]] = defaultdict(OrderedDict)
        self._of_key: defaultdict[str, set[Connection]] = defaultdict(set)
        self._sweep: asyncio.TimerHandle | None = None

    def enter(self, connection: Connection, address: str) -> None:
        """Let a connection in; where strangers are too many, the oldest of them that waits is closed."""
        group = group_of(address)
        of_address = self._of_address[group]
        if len(of_address) >= self.limits.strangers_per_address:
            make_room(of_address)
        if len(self._strangers) >= self.limits.strangers:
            make_room(self._strangers)
        self._open[connection] = group
        self._strangers[connection] = group
        self._of_address[group][connection] = None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._look)

    def is_known(self, connection: Connection, authorization: str) -> bool:
        """Note whose connection it is; False if this key has too many."""
        name = self.limits.key_of(authorization)
        if name is None:
            return True
        mine = self._of_key[name]
        if connection not in mine and len(mine) >= self.limits.per_key:
            return False
        mine.add(connection)
        self._forget_stranger(connection)
        return True

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._open.pop(connection, None)
        self._forget_stranger(connection)
        for name, mine in list(self._of_key.items()):
            mine.discard(connection)
            if not mine:
                del self._of_key[name]

    def _forget_stranger(self, connection: Connection) -> None:
        group = self._strangers.pop(connection, None)
        if group is None:
            return
        self._of_address[group].pop(connection, None)
        if not self._of_address[group]:
            del self._of_address[group]

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in [found for found in self._open if found.is_late(now)]:
            connection.give_up()
        still = bool(self._open)
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._look) if still else None


def make_room(connections: "OrderedDict[Connection, str] | OrderedDict[Connection, None]") -> None:
    """Close the oldest connection that waits; one that is being answered stays."""
    oldest = next((connection for connection in connections if connection.waits), None)
    if oldest is not None:
        oldest.give_up()


def group_of(address: str) -> str:
    """What counts as one address: of IPv6, the network of 64 bits that one subscriber has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else address
