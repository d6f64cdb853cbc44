"""A route for people's programs that knows who asks before it looks at what is asked."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from atlas.people.visitors import Visitors


def known_first(visitors: Visitors) -> type[APIRoute]:
    """The route; the person stands in `request.state.person`."""

    class KnownFirst(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def known(request: Request) -> Response:
                request.state.person = await visitors.person_of(request)
                return await handle(request)

            return known

    return KnownFirst
