"""What the parts of one change to the store share: connection, functions, and the events it emits."""

import dataclasses
import sqlite3
from collections.abc import Mapping
from typing import Any

from atlas.engine.functions import Function, is_named


@dataclasses.dataclass(frozen=True)
class Transaction:
    """One change; the events it emits are delivered before it is committed."""

    connection: sqlite3.Connection
    functions: Mapping[str, Function]
    emitted: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Run a statement with its values."""
        return self.connection.execute(statement, values)

    def is_heard(self, name: str) -> bool:
        """Whether anything listens for events of a name."""
        is_trigger = any(
            is_named(trigger.event, name)
            for function in self.functions.values()
            for trigger in function.triggers
        )
        waits = "SELECT 1 FROM pauses WHERE event_name = ? LIMIT 1"
        return is_trigger or self.execute(waits, name).fetchone() is not None

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Keep a server-made event for delivery if anything listens for it."""
        if self.is_heard(name):
            self.emitted.append({"name": name, "data": data})
