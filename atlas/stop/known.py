"""Which agents, tools and servers the gateway knows, so that a mistyped name is not taken for a stop.

A tool is known if it is offered now or was called before: one that is missing at the moment can be stopped.
"""

from collections.abc import Awaitable, Callable, Collection
from difflib import get_close_matches
from functools import partial

from atlas.cases.lists.naming import distinct
from atlas.cases.tables import cases
from atlas.errors import TargetUnknown
from atlas.models import Scope
from atlas.settings import Settings
from atlas.stop.stops import Store

MOST_NAMED = 10  # in a sentence
ANYWAY = "A name that is right all the same is stopped with even_if_unknown."
CALLED = {Scope.AGENT: cases.c.principal, Scope.TOOL: cases.c.tool_name}


async def no_names() -> Collection[str]:
    """No names: what is offered is not known."""
    return ()


class Known:
    """The names that the settings, the servers and the case store have."""

    def __init__(
        self,
        settings: Settings,
        database: Store,
        *,
        servers: Collection[str] = (),
        offered: Callable[[], Awaitable[Collection[str]]] = no_names,
        beginnings: tuple[str, ...] = (),
        anyway: str = ANYWAY,
    ) -> None:
        self._agents = set(settings.agents)
        self._database = database
        self._servers = set(servers)
        self._offered = offered  # the names of tools
        self._beginnings = beginnings  # of names of tools, where the servers themselves are not asked
        self._anyway = anyway

    async def names(self, scope: Scope) -> list[str]:
        """The names of agents, tools or servers, in alphabetical order."""
        if scope is Scope.EVERYTHING:
            return []
        if scope is Scope.SERVER:
            return sorted(self._servers)
        named = self._agents if scope is Scope.AGENT else set(await self._offered())
        return sorted(named.union(await self._called(scope)))

    async def _called(self, scope: Scope) -> list[str]:
        return await self._database.read(partial(distinct, column=CALLED[scope]))

    async def check(self, scope: Scope, target: str) -> None:
        """Raise TargetUnknown for a name that is not among them."""
        names = await self.names(scope)
        if target in names or (scope is Scope.TOOL and target.startswith(self._beginnings)):
            return
        like = get_close_matches(target, names, n=MOST_NAMED) or names[:MOST_NAMED]
        said = f"Names that it knows: {', '.join(like)}." if like else "It knows none."
        raise TargetUnknown(scope=scope.value, target=target, known=f"{said} {self._anyway}")
