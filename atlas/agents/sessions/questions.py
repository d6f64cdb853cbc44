"""Numbers what tools ask an agent, so that each answer belongs to one question, also across a restart."""

from secrets import randbelow
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

HIGHEST_START = 2**30  # some clients read ids as 32-bit numbers


async def number_apart(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Let the questions of a new session begin at a number that no process before is likely to have used.

    The SDK begins at 1. In a session that is taken up again the client may still answer a question from
    before the restart. Its "yes" would be taken for the answer to the first question after the restart.
    """
    if ctx.method == "initialize":
        dispatcher = ctx.session._connection.outbound
        if isinstance(dispatcher, JSONRPCDispatcher):
            dispatcher._next_id = randbelow(HIGHEST_START)  # the SDK has no public way
    return await call_next(ctx)
