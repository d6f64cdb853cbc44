"""Which stop covers a call: read in the very transaction that would admit it, approve it or begin it."""

import json
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.definitions import definitions, read_definition
from atlas.cases.tables import cases
from atlas.database.dialects import json_elements, json_value
from atlas.database.statements import Prepared
from atlas.models import Case, Scope, Stop
from atlas.stop.tables import stops

_COLUMNS = tuple(column.name for column in stops.c)
_IN_FORCE = Prepared(sa.select(stops).where(stops.c.lifted_at.is_(None)).order_by(stops.c.stopped_at))


def stops_in_force(connection: Connection) -> tuple[Stop, ...]:
    """Every stop that holds, the oldest first."""
    return tuple(as_stop(row) for row in _IN_FORCE.rows(connection, {}))


def as_stop(row: Iterable[object]) -> Stop:
    """A row of the table."""
    return Stop.model_validate(dict(zip(_COLUMNS, row, strict=True)))


def stop_of_call(
    connection: Connection, *, principal: str, tool_name: str, server: str | None
) -> Stop | None:
    """The oldest stop that covers a call of a tool, which a server behind the gateway may offer."""
    named = {Scope.EVERYTHING: "", Scope.AGENT: principal, Scope.TOOL: tool_name, Scope.SERVER: server}
    found = stops_in_force(connection)
    return next((stop for stop in found if named[stop.scope] == stop.target), None)


def stop_of(connection: Connection, case: Case) -> Stop | None:
    """The same for a call on record: its server is the one that its tool's definition names."""
    if not stops_in_force(connection):
        return None
    definition = read_definition(connection, case.definition_sha256 or "")
    call, server = case.call, definition.get("upstream")
    return stop_of_call(connection, principal=call.principal, tool_name=call.tool_name, server=server)


def stop_of_server(connection: Connection, *, principal: str, server: str) -> Stop | None:
    """The oldest stop that keeps an agent from what a server offers beside its tools."""
    return stop_of_call(connection, principal=principal, tool_name="", server=server)


def covered_by(found: Iterable[Stop]) -> sa.ColumnElement[bool]:
    """The condition that one of these stops covers a case, as short for thousands as for one."""
    targets: dict[Scope, list[str]] = {}
    for stop in found:
        targets.setdefault(stop.scope, []).append(stop.target)
    return sa.or_(sa.false(), *(_covered(scope, _among(names)) for scope, names in targets.items()))


def _among(names: list[str]) -> sa.Select[tuple[str]]:
    # As one value: SQLite refuses a chain of a thousand conditions, and many thousands of values.
    return sa.select(json_elements(sa.literal(json.dumps(names))).table_valued("value").c.value)


def _covered(scope: Scope, targets: sa.Select[tuple[str]]) -> sa.ColumnElement[bool]:
    if scope is Scope.EVERYTHING:
        return sa.true()
    if scope is Scope.AGENT:
        return cases.c.principal.in_(targets)
    if scope is Scope.TOOL:
        return cases.c.tool_name.in_(targets)
    server = json_value(definitions.c.definition, "upstream")
    its_tools = sa.select(definitions.c.definition_sha256).where(server.in_(targets))
    return cases.c.definition_sha256.in_(its_tools)
