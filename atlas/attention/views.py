"""That a person sees a call: when they opened it, and an entry of the ledger where the policy asks for it."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy.engine import Connection

from atlas.attention.looks import opened
from atlas.cases.comments import is_view_noted, note_view
from atlas.database.database import Database


async def opens(
    database: Database, case_id: str, person: str, *, is_recorded: bool, by_itself: bool = False
) -> None:
    """Note that a person opens a call, before anything of it is told.

    `by_itself`: their open page brought what changed, which is a view only of a round that is new to them.
    """
    await opened(database, case_id, person)
    await views(database, [case_id], person, is_recorded=is_recorded, by_itself=by_itself)


async def views(
    database: Database, case_ids: Sequence[str], person: str, *, is_recorded: bool, by_itself: bool = False
) -> None:
    """Write into the ledger that a person reads some calls, where that is recorded and not noted yet."""
    if not is_recorded:
        return
    asked = partial(_not_noted, case_ids=case_ids, person=person, by_itself=by_itself)
    if fresh := await database.look(asked):
        await database.write(partial(_note, case_ids=fresh, person=person, by_itself=by_itself))


def _not_noted(connection: Connection, *, case_ids: Sequence[str], person: str, by_itself: bool) -> list[str]:
    return [
        case_id
        for case_id in case_ids
        if not is_view_noted(connection, case_id, name=person, by_itself=by_itself)
    ]


def _note(connection: Connection, *, case_ids: Sequence[str], person: str, by_itself: bool) -> None:
    for case_id in case_ids:
        note_view(connection, case_id, name=person, by_itself=by_itself)
