"""Which requests of an agent belong together: by its MCP session, or by what it names.

MCP's handshake versions have sessions, over SSE and over streamable HTTP; 2026-07-28 has none. There a client
can name its own in `_meta`. A model that may write what its client sends could begin a session at each call,
so as to have read nothing in it. So what is named does not divide an MCP session, unless the operator says
that the client, not the model, writes what the requests say.
"""

from hashlib import sha256

from fastmcp.server.context import Context
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

SESSION = "io.atlas/session"  # in `_meta` of a request
CLIENTS_ID = "atlas.session_id"  # in the scope of a request: the id by which the client knows its session


def session_of(context: Context, *, principal: str, trusts_client: bool) -> str | None:
    """The session of a request as 32 hex digits, for this agent alone; None: it is in none that has a name.

    The id itself is not kept.
    """
    named, opened = _named(context), _opened(context)
    if named is not None and (trusts_client or opened is None):
        return _digest("named", principal, named)
    return None if opened is None else _digest("opened", principal, opened)


def _named(context: Context) -> str | None:
    """What the client calls the session in `_meta`; what is no text, or an empty one, names none."""
    request = context.request_context
    said = (request.meta or {}).get(SESSION) if request else None
    return said if isinstance(said, str) and said.strip() else None


def _opened(context: Context) -> str | None:
    """The MCP session, by the id that outlives the process where there is one."""
    request = context.request_context
    if request is None or request.protocol_version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    kept = request.request.scope.get(CLIENTS_ID) if request.request is not None else None
    return kept if isinstance(kept, str) else context.session_id


def _digest(kind: str, principal: str, said: str) -> str:
    """A digest that two agents do not share, nor a session that was named with one that was opened."""
    parts = (part.encode("utf-8", "replace") for part in (kind, principal, said))
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()[:32]
