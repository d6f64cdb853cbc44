"""Progress notifications for an agent whose call is being held, if its request asks for them."""

import asyncio
from collections.abc import Awaitable, Callable

from fastmcp.server.context import Context

from atlas.agents.answers import progress_text
from atlas.agents.held_calls import ForgivingSession
from atlas.models import Case, Status

SILENT_SECONDS = 0.5  # a call that its score approves is mostly answered before


class Progress:
    """Tells one agent where its call stands."""

    def __init__(self, context: Context) -> None:
        request = context.request_context
        self._context = context
        self._session = ForgivingSession(context.session) if request else None
        self._token = (request.meta or {}).get("progressToken") if request else None
        self._told = 0
        self._begin = asyncio.get_running_loop().time() + SILENT_SECONDS

    @property
    def tell(self) -> Callable[[Case], Awaitable[None]] | None:
        """What is to be called at each change and each second; None if the agent did not ask."""
        return None if self._token is None else self._tell

    async def _tell(self, case: Case) -> None:
        # From the execution on it is the tool that reports.
        if self._session is None or case.status is Status.EXECUTING:
            return
        early = asyncio.get_running_loop().time() < self._begin
        if early and case.status is not Status.PENDING_REVIEW:
            return
        self._told += 1
        # Below zero and rising: progress never goes back, and a tool that reports its own begins with zero.
        await self._session.send_progress_notification(
            self._token,
            progress=-1 / self._told,
            message=progress_text(case),
            related_request_id=self._context.request_id,
        )
