"""The stages of the gateway that serves a request of Inngest, as the durable story finds them."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.models import Case


@dataclass(frozen=True)
class Stages:
    """The stages of the gateway that serves the request, each called with the case's reference."""

    assess: Callable[[str], Awaitable[Case]]  # and decide by the score, in one transaction
    ask: Callable[[str], Awaitable[Case]]  # the same, and tell the reviewer of a case that waits
    decide: Callable[..., Awaitable[Case]]  # after the wait; is_woken: by an event, not by the time-out
    execute: Callable[[str], Awaitable[Case]]
    is_approved: Callable[[str], Awaitable[bool]]  # by a person
    report_failure: Callable[[str, str], Awaitable[Case]]


stages: ContextVar[Stages] = ContextVar("stages")  # set by the gateway for each request of Inngest


class BindStages:
    """ASGI middleware: the requests that pass here find the stages of this gateway."""

    def __init__(self, app: ASGIApp, bound: Stages) -> None:
        self._app = app
        self._bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind for the duration of the request."""
        token = stages.set(self._bound)
        try:
            await self._app(scope, receive, send)
        finally:
            stages.reset(token)
