"""Those who watch hear of what is on disk, and of nothing else."""

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection
from store import open_case, open_store, tool_call

from atlas import ledger
from atlas.cases.store import CaseStore
from atlas.database.facts import note
from atlas.database.known_end import as_a_whole

of_caller: ContextVar[str] = ContextVar("of_caller", default="no one")


class Watching:
    """Keeps what it hears."""

    def __init__(self, *, fails: bool = False) -> None:
        self.joined: list[tuple[str, Any]] = []
        self.heard: list[Any] = []
        self._fails = fails

    def join(self, connection: Connection, facts: Sequence[Any]) -> None:
        """In the transaction."""
        self.joined.append(
            (of_caller.get(), connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar())
        )
        if self._fails:
            raise RuntimeError("a mistake of a watcher")

    def hear(self, facts: Sequence[Any], result: Any, seconds: float) -> None:
        """On disk."""
        self.heard += [(fact, result) for fact in facts]
        assert seconds > 0
        if self._fails:
            raise RuntimeError("a mistake of a watcher")


@pytest.mark.parametrize("fails", [False, True])
async def test_a_change_is_told_with_its_result_and_the_context_of_its_caller(
    tmp_path: Path, fails: bool
) -> None:
    """Also before its caller goes on; what a watcher does wrong harms no change."""
    async with open_store(tmp_path) as store:
        store.database.listeners.append(watching := Watching(fails=fails))
        of_caller.set("anna")
        case = await open_case(store)
        assert [(fact.action, result) for fact, result in watching.heard] == [(ledger.Action.ADMITTED, case)]
        assert watching.joined == [("anna", 1)]
        assert await store.read(case.case_id) == case


async def test_what_is_undone_is_not_told(tmp_path: Path) -> None:
    """As a whole, or in a part of a change."""

    def half(connection: Connection) -> str:
        note(connection, ["kept"])
        with pytest.raises(ValueError), as_a_whole(connection):
            note(connection, ["undone"])
            raise ValueError
        return "done"

    def wrong(connection: Connection) -> None:
        note(connection, ["lost"])
        raise ValueError

    async with open_store(tmp_path) as store:
        store.database.listeners.append(watching := Watching())
        await store.database.write(half)
        with pytest.raises(ValueError):
            await store.database.write(wrong)
        await store.database.write(lambda connection: None)
    assert watching.heard == [("kept", "done")]


async def test_changes_that_share_a_transaction_are_told_one_by_one(tmp_path: Path) -> None:
    """Each with its own facts, in the order in which they were made."""
    async with open_store(tmp_path) as store:
        store.database.listeners.append(watching := Watching())
        ahead = [
            await store.database.write_ahead(lambda connection, n=n: _noted(connection, n)) for n in range(3)
        ]
        for change in ahead:
            await change.on_disk()
    assert watching.heard == [(0, 0), (1, 1), (2, 2)]


def _noted(connection: Connection, number: int) -> int:
    note(connection, [number])
    return number


async def test_without_those_who_listen_nothing_is_noted(tmp_path: Path) -> None:
    """A change is then run as it is."""

    def work(connection: Connection) -> dict[str, Any]:
        note(connection, ["anything"])
        return dict(connection.info)

    async with open_store(tmp_path) as store:
        assert isinstance(store, CaseStore)
        assert not [name for name in await store.database.write(work) if "facts" in str(name)]
        assert await open_case(store, tool_call(number=1))
