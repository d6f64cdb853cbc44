"""A case store on the store of the run, and calls to put into it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from kept import database_of, database_url
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.canonical import digest
from atlas.cases import opening
from atlas.cases.definitions import Definition
from atlas.cases.endings import end_case
from atlas.cases.store import CaseStore, add_assessment, read_case, transition
from atlas.decide import Decisions
from atlas.instants import now
from atlas.models import Assessment, Case, Decision, Outcome, Ruling, Status, ToolCall, Verdict
from atlas.people.owners import NO_OWNERS
from atlas.people.votes import Vote
from atlas.settings import Settings


@asynccontextmanager
async def open_store(directory: Path) -> AsyncIterator[CaseStore]:
    """A store in a directory, closed afterwards."""
    database = database_of(directory)
    await database.open()
    try:
        yield CaseStore(database)
    finally:
        await database.close()


def tool_call(tool_name: str = "check_status", principal: str = "agent", **arguments: Any) -> ToolCall:
    """A call with its digest."""
    return ToolCall(
        principal=principal, tool_name=tool_name, arguments=arguments, arguments_sha256=digest(arguments)
    )


def insert_case(
    connection: Connection, call: ToolCall, definition: Definition | None = None
) -> tuple[Case, bool]:
    """Open a case for a call, or find the unfinished case of the same call; says whether it was opened."""
    unfinished = opening.unfinished_case(connection, call)
    opened = opening.open_case(connection, call, definition) if unfinished is None else unfinished
    return opened, unfinished is None


async def open_case(
    store: CaseStore, call: ToolCall | None = None, *, definition: Definition | None = None, **more: Any
) -> Case:
    """A queued case, recorded as the admission does it, with more in its entry."""

    def work(connection: Connection) -> Case:
        case, _ = insert_case(connection, call or tool_call(beneficiary_id="BEN-123"), definition)
        detail = {"tool_name": case.call.tool_name, "arguments_sha256": case.call.arguments_sha256}
        ledger.append(
            connection, case.case_id, ledger.Action.ADMITTED, actor=case.call.principal, detail=detail | more
        )
        return case

    return await store.database.write(work)


def recorded_approval(case: Case) -> Decision:
    """What a reviewer decided who approves of a case."""
    return Decision(
        decision=Verdict.APPROVED,
        reviewer="r",
        reason=None,
        arguments_sha256=case.call.arguments_sha256,
        decided_at=now(),
    )


def ruling(**fields: Any) -> Ruling:
    """What a policy might say: a person decides."""
    usual = {"policy_sha256": "0" * 64, "rules": ("a rule",), "score": 80, "floor": 0}
    return Ruling(**(usual | {"classification": "test", "rationale": "A test."} | fields))


def assessment_of(call: ToolCall, risk_score: int = 80, **fields: Any) -> Assessment:
    """An assessment as our own step writes it, by a ruling with such fields."""
    return Assessment(
        risk_score=risk_score,
        classification="test",
        action=call.tool_name,
        rationale="A test.",
        assessor="test",
        threshold=70,
        arguments_sha256=call.arguments_sha256,
        assessed_at=now(),
        ruling=ruling(score=risk_score, **fields),
    )


def decisions(
    store: CaseStore, *, owners: Mapping[str, frozenset[str]] = NO_OWNERS, **fields: Any
) -> Decisions:
    """Takes decisions of people, under a policy whose rulings have such fields."""

    async def rule(case: Case) -> Assessment:
        return assessment_of(case.call_in_force, **fields)

    return Decisions(store=store, rule=rule, timeout=timedelta(days=1), tell=lambda case: None, owners=owners)


async def answer(store: CaseStore, case: Case, text: str = "Read.", *, is_outside: bool = True) -> None:
    """Have the tool of a case answer, whenever its call came, as another process writes it."""
    result = {"content": [{"type": "text", "text": text}]}
    await store.database.write(answering(case, result, is_outside=is_outside))


def answering(case: Case, result: dict[str, Any], *, is_outside: bool = True) -> Callable[[Connection], Case]:
    """The change that records what the tool of a case answered."""

    def work(connection: Connection) -> Case:
        found = read_case(connection, case.case_id)
        judged = assessment_of(case.call).model_copy(update={"is_outside": is_outside})
        found = add_assessment(connection, found, judged)
        for status in (Status.AUTHORIZED, Status.EXECUTING):
            found = transition(connection, found, status)
        outcome = Outcome(result=result, detail=None, finished_at=now())
        action = ledger.Action.EXECUTED
        return end_case(connection, found, Status.EXECUTED, action, detail={}, outcome=outcome)

    return work


def approval(
    reviewer: str = "reviewer", reason: str | None = None, *, is_signed: bool = True, round_number: int = 1
) -> Vote:
    """A reviewer says yes, to the case as it was judged in that round."""
    signed = {"is_signed": is_signed, "round_number": round_number}
    return Vote(Verdict.APPROVED, reviewer=reviewer, reason=reason, **signed)


def rejection(reviewer: str = "reviewer", reason: str | None = None) -> Vote:
    """A reviewer says no."""
    return Vote(Verdict.REJECTED, reviewer=reviewer, reason=reason)


def settings_of_test(directory: Path, **fields: Any) -> Settings:
    """Settings that read nothing from the environment of the person who runs the tests."""
    return Settings(
        _env_file=None, atlas_data_dir=directory, **({"atlas_database_url": database_url(directory)} | fields)
    )
