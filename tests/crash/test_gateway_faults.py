"""What the gateway does with a full disk, a locked database and a damaged engine: says so, and goes on."""

import os
import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_process import GatewayProcess, call, eventually, outcome, reference_in, status_of, text_of
from kept import store_by_hand

CHANGE = {"beneficiary_id": "BEN-124", "changes": {"status": "suspended"}}
OTHER_CHANGE = {"beneficiary_id": "BEN-123", "changes": {"status": "suspended"}}
NOT_RECORDED = "the gateway cannot record it. Nothing was done."


async def readiness(gateway: GatewayProcess) -> dict[str, Any]:
    """What /readyz says."""
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{gateway.url}/readyz")
    said: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) is said["ready"]
    return said


async def is_ready(gateway: GatewayProcess) -> bool:
    """Whether everything works."""
    return bool((await readiness(gateway))["ready"])


async def history(gateway: GatewayProcess, beneficiary_id: str) -> list[str]:
    """What happened to a record."""
    async with gateway.agent() as agent:
        status = await call(agent, "check_status", beneficiary_id=beneficiary_id)
    return list(status.structured_content["history"])


def limit_files(gateway: GatewayProcess, size: int) -> None:
    """Let the process write nothing beyond a size to any file, as on a full disk."""
    resource.prlimit(gateway.process_id, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def refuses_and_goes_on(gateway: GatewayProcess, agent: Any, case_id: str, problem: str) -> None:
    """While nothing can be kept, agents and reviewers are told that nothing was done; /readyz says why."""
    refused = await call(agent, "modify_welfare_record", **OTHER_CHANGE)
    assert refused.is_error and NOT_RECORDED in text_of(refused)
    answer = await gateway.decide(case_id)
    assert (answer.status_code, answer.json()["error"]) == (503, "StoreUnavailable")
    said = await readiness(gateway)
    assert not said["database"]["ok"] and problem in said["database"]["problem"]


async def works_again(gateway: GatewayProcess, agent: Any, case_id: str) -> None:
    """Without a restart what waited is decided and executed, once, and nothing else has happened."""
    await eventually(lambda: is_ready(gateway))
    assert (await gateway.decide(case_id)).status_code == 200
    assert "EXECUTED" in text_of(await outcome(agent, case_id))
    assert len(await history(gateway, "BEN-124")) == 1
    assert await history(gateway, "BEN-123") == []


@pytest.mark.sqlite("it lets the files of the gateway grow no further")
async def test_on_a_full_disk_nothing_is_done_that_is_not_recorded_and_later_all_goes_on(
    gateway: GatewayProcess,
) -> None:
    """Calls and decisions are refused with a sentence; when there is room again, no restart is needed."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        limit_files(gateway, 1024)
        await refuses_and_goes_on(gateway, agent, case_id, "disk I/O error")
        limit_files(gateway, resource.RLIM_INFINITY)
        await works_again(gateway, agent, case_id)


@pytest.mark.soak
async def test_while_another_process_has_the_databases_locked_nothing_is_done_and_later_all_goes_on(
    gateway: GatewayProcess,
) -> None:
    """The same for a lock, which the gateway waits for at most five seconds."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        with (
            closing(store_by_hand(gateway.data)) as cases,
            closing(sqlite3.connect(gateway.data / "engine.db", isolation_level=None)) as engine,
        ):
            cases.execute("BEGIN EXCLUSIVE")
            engine.execute("BEGIN EXCLUSIVE")
            await refuses_and_goes_on(gateway, agent, case_id, "database is locked")
        await works_again(gateway, agent, case_id)


def damage_running(path: Path) -> None:
    """Scribble over a database that a process has open, and have it look at the file again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        connection.execute("PRAGMA user_version = 1")


async def test_people_decide_while_the_engine_is_damaged_and_with_a_new_one_all_is_brought_to_its_end(
    gateway: GatewayProcess,
) -> None:
    """/readyz tells it, the next start is refused in a sentence; a new engine.db takes all up, once."""
    async with gateway.agent() as agent:
        waiting = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        damage_running(gateway.data / "engine.db")
        queued = reference_in(await call(agent, "modify_welfare_record", **OTHER_CHANGE))
    assert status_of(gateway, queued) == "QUEUED"
    said = await readiness(gateway)
    assert "engine.db is damaged" in said["engine"]["problem"] and said["database"]["ok"]
    assert (await gateway.decide(waiting)).status_code == 200
    await gateway.stop()
    await refused_start(gateway)
    for path in gateway.data.glob("engine.db*"):
        path.rename(gateway.directory / path.name)
    await gateway.start()
    async with gateway.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, waiting))
        await eventually(lambda: waits_for_a_person(gateway, queued))
        assert (await gateway.decide(queued)).status_code == 200
        assert "EXECUTED" in text_of(await outcome(agent, queued))
    assert [len(await history(gateway, each)) for each in ("BEN-124", "BEN-123")] == [1, 1]


async def waits_for_a_person(gateway: GatewayProcess, case_id: str) -> bool:
    """Whether a case has been judged and put before a person."""
    return status_of(gateway, case_id) == "PENDING_REVIEW"


async def refused_start(gateway: GatewayProcess) -> None:
    """The gateway ends at once, with one sentence that names the file and what to do."""
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    assert await gateway.ended() != 0
    said = gateway.newest_log()
    assert "engine.db" in said and "move engine.db* away to begin with an empty one" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("refusals", "ending", "runs"), [(9, "EXECUTED", 1), (10, "FAILED", 0)])
async def test_an_approval_outlasts_nine_refusals_of_the_database_and_with_the_tenth_nothing_is_done(
    gateway: GatewayProcess, refusals: int, ending: str, runs: int
) -> None:
    """Right: what a person approved is tried ten times; then its agent is told that it was not executed."""
    await gateway.kill()
    await gateway.start(ATLAS_TEST_AWAY=str(refusals))
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        assert (await gateway.decide(case_id)).status_code == 200
        assert text_of(await outcome(agent, case_id)).startswith(f"{ending} (Ref: {case_id})")
        assert len(await history(gateway, "BEN-124")) == runs
