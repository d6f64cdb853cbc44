"""Cases as resources: `atlas://cases/{ref}` is where a call stands and what became of it, for its agent."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError
from fastmcp.resources import Resource, ResourceResult
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.types import ListResourcesRequest, ReadResourceRequestParams

from atlas.agents.answers import facts_of
from atlas.agents.keys import current_principal
from atlas.agents.receipt import hand_over, own_case
from atlas.cases.store import CaseStore
from atlas.cases.tables import cases
from atlas.models import Case

PREFIX = "atlas://cases/"
MOST_LISTED = 100
JSON = "application/json"

# The newest first, and nothing of their results, which can be long.
_UNCOLLECTED = (
    sa.select(cases.c.case_id, cases.c.tool_name, cases.c.status)
    .where(cases.c.collected_at.is_(None))
    .order_by(cases.c.opened_at.desc())
    .limit(MOST_LISTED)
)


def uri_of(case: Case) -> str:
    """The resource of a case."""
    return PREFIX + case.case_id


def add_case_resources(server: FastMCP, store: CaseStore) -> None:
    """Offer each agent its own cases, by reference and in the list."""
    server.add_middleware(OwnCases(store))

    @server.resource(
        PREFIX + "{ref}",
        name="case",
        title="A held call and its outcome",
        description="Where a call stands that was answered PENDING REVIEW, and its result once there is one",
        mime_type=JSON,
    )
    async def case(ref: str) -> str:
        """The standing of a case, its result if there is one, and one line for its reader."""
        found = await _own(store, PREFIX + ref)
        await hand_over(store, found)
        return json.dumps(as_json(found), ensure_ascii=False)


def as_json(case: Case) -> dict[str, Any]:
    """What the resource of a case holds: the facts of the case, and the tool's result or None."""
    return {"result": None} | facts_of(case)


async def _own(store: CaseStore, uri: str) -> Case:
    found = await own_case(store, uri.removeprefix(PREFIX))
    if found is None:
        # Another agent's reference is answered like one that never existed.
        raise NotFoundError(f"Unknown resource: {uri!r}")
    return found


class OwnCases(Middleware):
    """Lists the cases whose ending the agent has not got yet, and no other agent's cases."""

    def __init__(self, store: CaseStore) -> None:
        self._store = store

    async def on_list_resources(
        self,
        context: MiddlewareContext[ListResourcesRequest],
        call_next: CallNext[ListResourcesRequest, Sequence[Resource]],
    ) -> Sequence[Resource]:
        """The list, with the agent's own cases after it."""
        mine = _UNCOLLECTED.where(cases.c.principal == current_principal())
        found = await self._store.database.read(lambda connection: connection.execute(mine).all())
        return [*await call_next(context), *(_listed(*row) for row in found)]

    async def on_read_resource(
        self,
        context: MiddlewareContext[ReadResourceRequestParams],
        call_next: CallNext[ReadResourceRequestParams, ResourceResult],
    ) -> ResourceResult:
        """Read a resource; a case that is not the agent's is not found, here where FastMCP says so."""
        if context.message.uri.startswith(PREFIX):
            await _own(self._store, context.message.uri)
        return await call_next(context)


def _listed(case_id: str, tool_name: str, status: str) -> Resource:
    return Resource(uri=PREFIX + case_id, name=case_id, title=f"{tool_name}: {status}", mime_type=JSON)
