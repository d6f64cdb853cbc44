"""Stops and lifts them: each is one transaction with its entry in the ledger, and holds from then on."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.errors import ReasonUnfit, StopNotFound, TargetUnknown
from atlas.instants import now
from atlas.models import Scope, Stop, plain_text
from atlas.outbox import notices
from atlas.stop.covering import as_stop, stops_in_force
from atlas.stop.freezing import freeze, thaw
from atlas.stop.tables import stops

__all__ = ["Scope", "Stop", "Stops"]

LONGEST_REASON = 1000  # characters; an agent reads them

Result = TypeVar("Result")
_NEWEST = sa.select(stops).order_by(stops.c.stopped_at.desc())


class Store(Protocol):
    """Where stops are kept: the database of the gateway, or its file that a command opens."""

    async def read(self, work: Callable[[Connection], Result], /) -> Result:
        """Run work that changes nothing."""

    async def write(self, work: Callable[[Connection], Result], /) -> Result:
        """Run work in one transaction, which is on disk when it returns."""


class Names(Protocol):
    """What the gateway knows by name."""

    async def names(self, scope: Scope, /) -> list[str]:
        """The names of agents, tools or servers."""

    async def check(self, scope: Scope, target: str, /) -> None:
        """Raise TargetUnknown for a name that is not among them."""


class Stops:
    """What people stop and lift."""

    def __init__(
        self,
        database: Store,
        *,
        known: Names | None = None,
        tell: Callable[[Stop], None] = lambda stop: None,
    ) -> None:
        self._database = database
        self._known = known
        self._tell = tell  # the reviewers, of a stop and of its lift

    async def stop(
        self,
        scope: Scope,
        target: str = "",
        *,
        reason: str,
        person_name: str,
        even_if_unknown: bool = False,
    ) -> Stop:
        """Stop it; what is stopped already stays as it is, and the stop in force is returned.

        Raises ReasonUnfit and, unless told otherwise, TargetUnknown.
        """
        target = "" if scope is Scope.EVERYTHING else target
        reason = _fit(reason)
        await self._check(scope, target, even_if_unknown=even_if_unknown)
        begin = partial(_begin, scope=scope, target=target, reason=reason, person_name=person_name)
        stop, is_new = await self._database.write(begin)
        if is_new:
            self._tell(stop)
        return stop

    async def _check(self, scope: Scope, target: str, *, even_if_unknown: bool) -> None:
        if scope is Scope.EVERYTHING:
            return
        if not target:
            raise TargetUnknown(scope=scope.value, target="", known="Name one.")
        if self._known is not None and not even_if_unknown:
            await self._known.check(scope, target)

    async def names(self, scope: Scope) -> list[str]:
        """The agents, tools or servers that are known, in alphabetical order."""
        return [] if self._known is None else await self._known.names(scope)

    async def lift(self, stop_id: str, *, reason: str, person_name: str) -> Stop:
        """Lift a stop; one that was lifted before stays as it is. Raises StopNotFound and ReasonUnfit."""
        end = partial(_end, stop_id=stop_id, reason=_fit(reason), person_name=person_name)
        stop, is_new = await self._database.write(end)
        if is_new:
            self._tell(stop)
        return stop

    async def in_force(self) -> tuple[Stop, ...]:
        """Every stop that holds, the oldest first."""
        return await self._database.read(stops_in_force)

    async def newest(self, limit: int = 100) -> tuple[Stop, ...]:
        """The stops in the order of their age, the newest first, lifted or not."""

        def rows(connection: Connection) -> tuple[Stop, ...]:
            return tuple(as_stop(row) for row in connection.execute(_NEWEST.limit(limit)))

        return await self._database.read(rows)


def _fit(reason: str) -> str:
    """The reason as one line that hides nothing; raises ReasonUnfit."""
    fit = plain_text(reason).strip()
    if not 0 < len(fit) <= LONGEST_REASON:
        raise ReasonUnfit(longest=LONGEST_REASON)
    return fit


def _begin(
    connection: Connection, *, scope: Scope, target: str, reason: str, person_name: str
) -> tuple[Stop, bool]:
    """The stop, and whether it is a new one."""
    for stop in stops_in_force(connection):
        if (stop.scope, stop.target) == (scope, target):
            return stop, False
    stop = Stop(
        stop_id=f"stop_{secrets.token_hex(6)}",
        scope=scope,
        target=target,
        reason=reason,
        stopped_by=person_name,
        stopped_at=now(),
    )
    connection.execute(stops.insert().values(stop.model_dump() | {"scope": scope.value}))
    frozen = freeze(connection, stop, at=stop.stopped_at)
    detail = {"waiting_frozen": frozen.waiting, "approved_held": frozen.approved}
    _append(connection, ledger.Action.STOPPED, stop, reason=reason, actor=person_name, detail=detail)
    _notify(connection, notices.Kind.STOPPED, stop, by=person_name)
    return stop, True


def _end(connection: Connection, *, stop_id: str, reason: str, person_name: str) -> tuple[Stop, bool]:
    """The stop, and whether it was lifted just now."""
    row = connection.execute(sa.select(stops).where(stops.c.stop_id == stop_id)).first()
    if row is None:
        raise StopNotFound(stop_id=stop_id)
    stop = as_stop(row)
    if not stop.is_in_force:
        return stop, False
    moment = now()
    lift = {"lifted_by": person_name, "lifted_at": moment, "lift_reason": reason}
    connection.execute(stops.update().where(stops.c.stop_id == stop_id).values(lift))
    lifted = stop.model_copy(update=lift)
    detail = {"waiting_thawed": thaw(connection, at=moment)}
    _append(connection, ledger.Action.LIFTED, lifted, reason=reason, actor=person_name, detail=detail)
    _notify(connection, notices.Kind.STOP_LIFTED, lifted, by=person_name)
    return lifted, True


def _notify(connection: Connection, kind: notices.Kind, stop: Stop, *, by: str) -> None:
    notices.put(connection, kind, by=by, content={"stop": stop.model_dump(mode="json")})


def _append(
    connection: Connection,
    action: ledger.Action,
    stop: Stop,
    *,
    reason: str,
    actor: str,
    detail: dict[str, int],
) -> None:
    about = {"stop_id": stop.stop_id, "scope": stop.scope.value, "target": stop.target, "reason": reason}
    at = stop.lifted_at or stop.stopped_at
    ledger.append(connection, ledger.NO_CASE, action, actor=actor, detail=about | detail, at=at)
