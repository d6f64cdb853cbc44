"""What a stop keeps from beginning beside calls of tools: no case is opened for it, so it asks first."""

from collections.abc import Awaitable, Callable
from functools import partial

from atlas.agents.keys import current_principal
from atlas.stop.covering import stop_of_server
from atlas.stop.stops import Store
from atlas.stop.words import refused


def asking_stops(database: Store) -> Callable[[str], Awaitable[str | None]]:
    """Asks whether the present agent may use a server; a sentence says why not."""

    async def refusal(server: str) -> str | None:
        look = partial(stop_of_server, principal=current_principal(), server=server)
        stop = await database.read(look)
        return None if stop is None else refused(f"The server {server} was not asked", stop)

    return refusal
