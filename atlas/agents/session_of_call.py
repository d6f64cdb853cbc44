"""Which calls of an agent belong together: by its MCP session, or by what it names."""

from hashlib import sha256

from fastmcp.server.context import Context

SESSION = "io.atlas/session"  # in `_meta` of a call


def session_of(context: Context) -> str | None:
    """The session of a call as 32 hex digits; the id itself is not kept. None: the agent names none."""
    request = context.request_context
    said = (request.meta or {}).get(SESSION) if request else None
    return (
        sha256(said.encode("utf-8", "replace")).hexdigest()[:32] if isinstance(said, str) and said else None
    )
