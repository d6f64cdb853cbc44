"""Sessions on disk and their way back: what is kept, for whom, how much of it, and how long."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastmcp import Context, FastMCP
from gateway_process import eventually
from kept import database_of, everything_in, store_by_hand
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from raw_session import RawSession, only_message

from atlas.agents.sessions import store as stored
from atlas.agents.sessions.handshake import Handshake
from atlas.agents.sessions.store import SessionStore
from atlas.agents.transports import add_transports
from atlas.database.database import Database

SAID = Handshake(protocol_version="2025-06-18", client_info={"name": "x"}, capabilities={"roots": {}})


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one."""
    database = database_of(tmp_path)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> SessionStore:
    """A store without sessions."""
    return SessionStore(database)


async def test_a_session_is_found_by_its_id_for_its_agent_until_it_is_forgotten(store: SessionStore) -> None:
    """What was said comes back as it was said."""
    await store.keep("agent", "secret-id", SAID)
    assert await store.find("agent", "secret-id") == SAID
    assert await store.find("other", "secret-id") is None
    assert not await store.forget("other", "secret-id")
    assert await store.forget("agent", "secret-id")
    assert await store.find("agent", "secret-id") is None


async def test_the_file_does_not_hold_the_id(store: SessionStore, tmp_path: Path) -> None:
    """A copy of the database opens no session."""
    await store.keep("agent", "secret-id", SAID)
    kept = everything_in(tmp_path)
    assert b"secret-id" not in kept and SAID.protocol_version.encode() in kept


async def test_one_agent_keeps_so_many_sessions_and_takes_none_from_another(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was silent for longest makes room."""
    monkeypatch.setattr(stored, "MOST_SESSIONS", 3)
    await store.keep("other", "o", SAID)
    for session_id in "abc":
        await store.keep("agent", session_id, SAID)
    await store.note_seen("agent", "a")
    await store.keep("agent", "d", SAID)
    found = [session_id for session_id in "abcd" if await store.find("agent", session_id)]
    assert found == ["a", "c", "d"]
    assert await store.find("other", "o")


async def test_a_client_that_says_too_much_of_itself_is_not_kept(store: SessionStore, tmp_path: Path) -> None:
    """A thousand sessions of one agent are some megabytes at most."""
    much = SAID.model_copy(update={"client_info": {"name": "x" * stored.MOST_TEXT}})
    assert not await store.keep("agent", "much", much)
    with store_by_hand(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


async def test_a_handshake_is_said_again_as_it_was_said(store: SessionStore) -> None:
    """With fields that no version knows, since the client's next one may."""
    said = Handshake(
        protocol_version="2025-11-25",
        client_info={"name": "é\u2028", "version": "1", "extra": [1, None]},
        capabilities={"experimental": {"x": {"deep": [1.5]}}},
    )
    await store.keep("agent", "odd", said)
    again = await store.find("agent", "odd")
    assert again is not None and again.as_request() == said.as_request()


@asynccontextmanager
async def serving(database: Database) -> AsyncIterator[httpx.ASGITransport]:
    """A server of one tool, in this process."""
    app, server = FastAPI(), FastMCP("test")

    @server.tool
    def where(context: Context) -> str:
        """By which id the server knows the session."""
        return context.session_id

    lifespan = add_transports(app, server, SessionStore(database))
    async with lifespan():
        yield httpx.ASGITransport(app)


async def where(session: RawSession) -> str:
    """By which id the server knows the session."""
    answer = only_message(await session.post("tools/call", name="where", arguments={}))
    text: str = answer["result"]["content"][0]["text"]
    return text


def by_hand(transport: httpx.ASGITransport, session_id: str | None = None) -> RawSession:
    """A client in this process."""
    return RawSession("http://127.0.0.1", key=None, transport=transport, session_id=session_id)


async def opened_before(database: Database) -> str:
    """The id of a session that a server opened which is gone."""
    async with serving(database) as transport:
        session = by_hand(transport)
        await session.open()
    return str(session.session_id)


async def test_requests_that_come_at_once_take_one_session_up(database: Database) -> None:
    """All of them are served by the same one."""
    session_id = await opened_before(database)
    async with serving(database) as transport:
        session = by_hand(transport, session_id)
        known = await asyncio.gather(*(where(session) for _ in range(6)))
        assert len(set(known)) == 1 and known[0] != session_id
        assert await where(session) == known[0]


async def test_a_session_that_is_ended_while_it_is_taken_up_has_ended(database: Database) -> None:
    """In whichever order the two come: afterwards it is refused."""
    session_id = await opened_before(database)
    async with serving(database) as transport:
        session = by_hand(transport, session_id)
        answers = await asyncio.gather(session.post("tools/list"), session.delete(), session.post("ping"))
        assert answers[1].status_code == 200
        assert (await session.post("tools/list")).status_code == 404


async def test_a_session_that_was_let_go_for_being_idle_is_taken_up_when_its_client_comes_back(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FastMCP ends it after half an hour; its client need not notice, also not the second time."""
    monkeypatch.setattr("fastmcp.settings.http_session_idle_timeout", 1.0)
    caplog.set_level(logging.INFO, "mcp.server.streamable_http_manager")
    async with serving(database) as transport:
        session = by_hand(transport)
        await session.open()
        known = [await where(session)]
        for times in (1, 2):

            async def is_let_go(times: int = times) -> bool:
                return caplog.text.count("idle timeout") >= times

            await eventually(is_let_go)
            known.append(await where(session))
    assert len(set(known)) == 3 and known[0] == session.session_id


async def test_a_session_in_use_stays_in_memory_and_is_served_by_its_own_id(database: Database) -> None:
    """Nothing is taken up that is there."""
    async with serving(database) as transport:
        session = by_hand(transport)
        await session.open()
        assert await where(session) == await where(session) == session.session_id


async def test_a_session_that_cannot_be_kept_is_served_by_its_process(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that cannot be written is told to calls; the handshake does nothing that could be lost."""
    async with serving(database) as transport:
        session = by_hand(transport)
        with store_by_hand(tmp_path) as connection:
            connection.execute("ALTER TABLE sessions RENAME TO elsewhere")
        await session.open()
        assert await where(session) == session.session_id
        session.session_id = "unknown"
        answer = await session.post("tools/list")
        assert answer.status_code == 503 and "try again" in answer.json()["error"]["message"]


async def test_more_sessions_than_fit_into_memory_are_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session on disk is not lost by it: its client is not told to begin again."""
    session_id = await opened_before(database)
    async with serving(database) as transport:
        with monkeypatch.context() as full:
            full.setattr(StreamableHTTPSessionManager, "_admit_session", lambda *_: None)
            answer = await by_hand(transport, session_id).post("tools/list")
            assert answer.status_code == 503 and "Too many open sessions" in answer.text
        only_message(await by_hand(transport, session_id).post("tools/list"))
