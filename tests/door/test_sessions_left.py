"""Sessions that an agent opens and leaves: they are put aside, and their clients do not notice."""

import gc
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastmcp import Context, FastMCP
from kept import database_of
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from raw_session import RawSession, only_message

from atlas.agents.sessions.present import PresentSessions
from atlas.agents.sessions.store import SessionStore
from atlas.agents.transports import add_transports

MOST = 5


def test_the_session_that_was_idle_for_longest_is_put_aside() -> None:
    """One that serves a request is not idle, however old it is; other agents lose nothing by it."""
    present = PresentSessions(2)
    for session_id in "abc":
        present.has_come(("agent", session_id))
    present.has_come(("other", "o"))
    with present.serving(("agent", "a")):
        assert present.to_put_aside("agent") == [("agent", "b")]
    assert present.to_put_aside("agent") == [("agent", "b")]
    present.has_gone(("agent", "b"))
    assert present.to_put_aside("agent") == [] == present.to_put_aside("other")


async def test_many_sessions_of_one_agent_stay_few_in_memory_and_all_go_on(tmp_path: Path) -> None:
    """Every one of them is served when its client comes back, by the id that its client knows."""
    database, app, server = database_of(tmp_path), FastAPI(), FastMCP("test")

    @server.tool
    def where(context: Context) -> str:
        """By which id the server knows the session."""
        return context.session_id

    await database.open()
    lifespan = add_transports(app, server, SessionStore(database), most_present=MOST)
    managers: list[StreamableHTTPSessionManager] = []
    async with lifespan():
        transport = httpx.ASGITransport(app)
        sessions = []
        for _ in range(4 * MOST):
            session = RawSession("http://127.0.0.1", key=None, transport=transport)
            await session.open()
            sessions.append(session)
        managers += [found for found in gc.get_objects() if isinstance(found, StreamableHTTPSessionManager)]
        for session in sessions:
            only_message(await session.post("tools/call", name="where", arguments={}))
            assert all(len(manager._server_instances) <= MOST for manager in managers)
    assert managers, "the place where sessions are in memory was not found"
    await database.close()
