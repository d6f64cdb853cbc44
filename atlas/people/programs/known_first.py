"""A route for people's programs that knows who asks before it looks at what is asked."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from atlas.people.programs.bodies import check_body
from atlas.people.visitors import Visitors


def known_first(gate: Callable[[Request], Awaitable[object]]) -> type[APIRoute]:
    """A route that knows who asks before it reads the body, which FastAPI reads before it asks."""

    class KnownFirst(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def known(request: Request) -> Response:
                await gate(request)
                await check_body(request)
                return await handle(request)

            return known

    return KnownFirst


def person_first(visitors: Visitors) -> type[APIRoute]:
    """The same of a person, who then stands in `request.state.person`."""

    async def noted(request: Request) -> None:
        request.state.person = await visitors.person_of(request)

    return known_first(noted)
