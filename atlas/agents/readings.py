"""What an agent reads beside its calls, which can hold an order: resources, prompts, completions of servers.

Their text is not kept. The ledger has that this session read something, and the judges take it for text from
third parties that no value can be compared with.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from fastmcp.exceptions import NotFoundError, PromptError, ResourceError
from fastmcp.prompts import PromptResult
from fastmcp.resources import ResourceResult
from fastmcp.server.context import Context
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.types import GetPromptRequestParams, ReadResourceRequestParams, Request
from sqlalchemy.exc import SQLAlchemyError

from atlas.agents.asked_back import record_reading
from atlas.agents.keys import current_principal
from atlas.agents.resources import PREFIX
from atlas.agents.session_of_call import session_of
from atlas.database.database import Database

AGAIN_SECONDS = 60.0  # for which one note stands
MOST_NOTED = 10_000  # sessions of which this process knows when it noted something

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class Readings(Middleware):
    """Notes that a session reads something, before the agent has it."""

    def __init__(self, database: Database, *, trusts_client: bool) -> None:
        self._database = database
        self._trusts_client = trusts_client
        self._noted: OrderedDict[tuple[str, str | None], float] = OrderedDict()

    async def on_read_resource(
        self,
        context: MiddlewareContext[ReadResourceRequestParams],
        call_next: CallNext[ReadResourceRequestParams, ResourceResult],
    ) -> ResourceResult:
        """Read a resource; the agent's own cases are on record anyway."""
        ask = partial(call_next, context)
        if context.message.uri.startswith(PREFIX):
            return await ask()
        return await self._answer(context.fastmcp_context, ask, kind="resource", refused=ResourceError)

    async def on_get_prompt(
        self,
        context: MiddlewareContext[GetPromptRequestParams],
        call_next: CallNext[GetPromptRequestParams, PromptResult],
    ) -> PromptResult:
        """Get a prompt."""
        ask = partial(call_next, context)
        return await self._answer(context.fastmcp_context, ask, kind="prompt", refused=PromptError)

    async def on_request(
        self, context: MiddlewareContext[Request[Any, Any]], call_next: CallNext[Request[Any, Any], Any]
    ) -> Any:
        """Complete an argument of a prompt or a template: for this FastMCP has no name of its own."""
        ask = partial(call_next, context)
        if context.method != "completion/complete":
            return await ask()
        return await self._answer(context.fastmcp_context, ask, kind="completion", refused=ResourceError)

    async def _answer(
        self,
        context: Context | None,
        ask: Callable[[], Awaitable[Answer]],
        *,
        kind: str,
        refused: type[Exception],
    ) -> Answer:
        assert context is not None  # noqa: S101  (FastMCP sets it for every request)
        try:
            answer = await ask()
        except NotFoundError:  # in our words
            raise
        except Exception:  # an error is text of the server too
            await self._note(context, kind, refused)
            raise
        await self._note(context, kind, refused)
        return answer

    async def _note(self, context: Context, kind: str, refused: type[Exception]) -> None:
        principal = current_principal()
        session = session_of(context, principal=principal, trusts_client=self._trusts_client)
        if monotonic() - self._noted.get((principal, session), -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        try:
            await record_reading(kind, database=self._database, principal=principal, session=session)
        except SQLAlchemyError as error:
            logger.exception("A %s was not handed over, because that cannot be recorded", kind)
            raise refused(f"The gateway cannot record that this {kind} is read. Try again.") from error
        self._noted[principal, session] = monotonic()
        self._noted.move_to_end((principal, session))
        if len(self._noted) > MOST_NOTED:
            self._noted.popitem(last=False)
