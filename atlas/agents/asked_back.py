"""That a tool asks its agent something while it runs, in words that the agent reads and that are not kept."""

from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.database import Database

# Set while an approved call is executed: writes down that the agent is asked.
note_question: ContextVar[Callable[[str], Awaitable[None]] | None] = ContextVar("note_question", default=None)


async def note_asked(context: Context, kind: str) -> None:
    """Write down, before the agent is asked, that it is; raises SQLAlchemyError, and then it may not be."""
    note = context.get(note_question)
    if note is not None:
        await note(kind)


async def record_reading(kind: str, *, database: Database, principal: str, session: str | None) -> None:
    """Have the ledger say that a session read something that is not in any answer; raises SQLAlchemyError."""
    detail = {"kind": kind} | ({"session": session} if session else {})

    def record(connection: Connection) -> None:
        ledger.append(connection, ledger.NO_CASE, ledger.Action.READ, actor=principal, detail=detail)

    await database.write(record)
