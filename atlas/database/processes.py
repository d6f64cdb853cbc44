"""The processes that share a store: each says that it lives, and what a dead one had begun is taken over.

Times are by the clock of the store, for people. That a process is silent is measured by the clock of the one
that watches it, so that no two clocks are ever compared.
"""

import socket
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import __version__
from atlas.database.dialects import store_now
from atlas.database.tables import processes

LIVES = processes.c.ended_at.is_(None)


def enter(connection: Connection, process_id: str) -> None:
    """Write down that a process begins."""
    name = socket.gethostname()[:200]
    values = {"process_id": process_id, "name": name, "version": __version__}
    connection.execute(
        processes.insert().values(values | {"started_at": store_now(), "seen_at": store_now()})
    )


def beat(connection: Connection, process_id: str) -> bool:
    """Write down that a process lives; False: it was given up, and others have taken over."""
    this = processes.update().where(processes.c.process_id == process_id, LIVES)
    return connection.execute(this.values(seen_at=store_now())).rowcount == 1


def living(connection: Connection) -> dict[str, str]:
    """When each process that was not given up said last that it lives."""
    query = sa.select(processes.c.process_id, sa.cast(processes.c.seen_at, sa.String)).where(LIVES)
    return {str(process_id): str(seen_at) for process_id, seen_at in connection.execute(query)}


def give_up(connection: Connection, silent: Mapping[str, str]) -> list[str]:
    """Give up processes that have not said that they live since those moments; returns which ones.

    From then on such a process can write nothing: it is asked in the transaction of each of its changes.
    """
    return [process_id for process_id, seen_at in silent.items() if _end(connection, process_id, seen_at)]


def _end(connection: Connection, process_id: str, seen_at: str) -> bool:
    is_silent = sa.cast(processes.c.seen_at, sa.String) == seen_at
    this = processes.update().where(processes.c.process_id == process_id, LIVES, is_silent)
    return connection.execute(this.values(ended_at=store_now())).rowcount == 1


def leave(connection: Connection, process_id: str) -> None:
    """Write down that a process has ended."""
    this = processes.update().where(processes.c.process_id == process_id, LIVES)
    connection.execute(this.values(ended_at=store_now()))


def note_policy(connection: Connection, process_id: str, policy_sha256: str | None) -> None:
    """Write down by which policy a process judges; None: by none."""
    this = processes.update().where(processes.c.process_id == process_id)
    connection.execute(this.values(policy_sha256=policy_sha256))


def alone(connection: Connection, process_id: str) -> None:
    """Write down that a process begins, and that it is the only one: a lock has told so."""
    connection.execute(processes.update().where(LIVES).values(ended_at=store_now()))
    enter(connection, process_id)


def is_at_work(process_id: sa.ColumnElement[str] | str) -> sa.ColumnElement[bool]:
    """Whether the process that a column or a text names lives, as far as the store knows."""
    return sa.exists().where(processes.c.process_id == process_id, LIVES)


def lives(connection: Connection, process_id: str | None) -> bool:
    """Whether a process lives, as far as a transaction sees."""
    return process_id is not None and bool(connection.scalar(sa.select(is_at_work(process_id))))


def still_alive(process_id: str) -> str:
    """The condition, in SQL, without which a process may not write: it was not given up."""
    return f"NOT EXISTS (SELECT 1 FROM processes WHERE process_id = '{process_id}' AND ended_at IS NOT NULL)"  # noqa: S608
