"""People in a store, and cases whose rules ask for some of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from kept import entries_in
from sqlalchemy.engine import Connection
from store import approval, assessment_of, decisions, open_case, tool_call

from atlas import ledger
from atlas.cases.store import CaseStore, add_assessment
from atlas.decide import decide_by_score
from atlas.instants import now
from atlas.models import Case
from atlas.people.accounts import accounts
from atlas.people.records import delegations
from atlas.people.records.delegations import Delegation
from atlas.people.records.trainings import train
from atlas.people.tables import delegations as table
from atlas.review_rules import ReviewRules

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
Result = TypeVar("Result")


async def add(store: CaseStore, **groups: str) -> None:
    """People with accounts, and their groups with blanks between."""

    def work(connection: Connection) -> None:
        for name, said in groups.items():
            accounts.add(connection, name, said.split(), keys=())

    await store.database.write(work)


async def trained(store: CaseStore, name: str, scope: str = "benefits", *, until: datetime | None) -> None:
    """Note a training, as an operator does."""
    await store.database.write(
        lambda connection: train(
            connection, name, scope=scope, what="A course", until=until, actor="operator"
        )
    )


async def delegated(store: CaseStore, giver: str, to: str, **more: Any) -> Delegation:
    """A delegation that begins now, for a day."""
    given = {"actor": giver, "ends_at": now() + DAY} | more
    return await store.database.write(lambda connection: delegations.delegate(connection, giver, to, **given))


async def moved(store: CaseStore, delegation: Delegation, by: timedelta) -> None:
    """Let time pass: the delegation is so much earlier, or later."""
    values = {"begins_at": delegation.begins_at + by, "ends_at": delegation.ends_at + by}
    statement = table.update().where(table.c.delegation_id == delegation.delegation_id).values(**values)
    await store.database.write(lambda connection: connection.execute(statement))


class Office:
    """Cases under one ruling, and votes on them."""

    def __init__(self, store: CaseStore, *, owners: frozenset[str] = frozenset(), **ruling: Any) -> None:
        review = {name: ruling.pop(name) for name in tuple(ruling) if name in ReviewRules.model_fields}
        self.owners = owners
        self._store = store
        self.fields = ruling | {"review": ReviewRules(**review)}
        self.decisions = decisions(store, owners={"agent": owners}, **self.fields)

    async def case(self, **arguments: Any) -> Case:
        """A case that waits."""
        case = await open_case(self._store, tool_call(**({"n": 1} | arguments)))

        def judge(connection: Connection) -> Case:
            judged = add_assessment(connection, case, assessment_of(case.call, **self.fields))
            return decide_by_score(connection, judged, timeout=DAY)

        return await self._store.change(case.case_id, judge)

    async def approve(self, case: Case, name: str, **more: Any) -> Case:
        """One approval by a name that is checked."""
        vote = replace(approval(name, round_number=more.pop("round_number", 1)), **more)
        return await self.decisions.record(case.case_id, vote)

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """What the store says."""
        return await self._store.database.read(work)

    def entries(self, action: ledger.Action) -> list[dict[str, Any]]:
        """The entries of the ledger of one act."""
        return [one for one in entries_in(self._store.database.directory) if one["action"] == action.value]
