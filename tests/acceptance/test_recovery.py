"""What the gateway does when others fail: the engine forgets, the workflow fails, the disk is full."""

import asyncio
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from acceptance.test_changes import NO_ONE, NOTE, Office
from gateway_process import (
    AGENT_KEY,
    REFERENCE,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    text_of,
)
from kept import refuse_inserts, run_at_inserts, store_by_hand, without_trigger

CHANGE = {"beneficiary_id": "BEN-124", "changes": {"status": "suspended"}}


def fill_disk(gateway: GatewayProcess, *tables: str) -> None:
    """Let every insertion into the tables fail, in the gateway's process too."""
    with closing(store_by_hand(gateway.data)) as connection, connection:
        for table in tables:
            for statement in refuse_inserts(table, f"{table} is full"):
                connection.execute(statement)


def empty_disk(gateway: GatewayProcess, *tables: str) -> None:
    """Let insertions succeed again."""
    with closing(store_by_hand(gateway.data)) as connection, connection:
        for table in tables:
            connection.execute(without_trigger(f"{table}_full", table))


async def test_a_case_whose_run_the_engine_has_lost_is_taken_up_by_another_run(
    gateway: GatewayProcess,
) -> None:
    """The engine's file is gone; the decision still takes effect, once."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
    await gateway.kill()
    for path in gateway.data.glob("engine.db*"):
        path.unlink()
    await gateway.start()
    await gateway.decide(case_id)
    async with gateway.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
        status = await call(agent, "check_status", beneficiary_id="BEN-124")
    assert len(status.structured_content["history"]) == 1


async def test_two_gateways_do_not_share_a_data_directory(gateway: GatewayProcess) -> None:
    """The second one ends and says why; the first goes on."""
    second = GatewayProcess(gateway.directory)
    second.log = gateway.directory / "second.log"
    try:
        await second.start()
    except AssertionError as error:
        assert "Another gateway works on the data directory" in str(error)
    else:
        raise AssertionError("a second gateway started")
    async with gateway.agent() as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-124")).is_error


async def test_a_policy_with_a_mistake_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    """It names the file and the mistake, without a traceback."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rule]]\ntool = "check_status"\nscore = 101\n')
    gateway = GatewayProcess(tmp_path, ATLAS_POLICY=str(policy))
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    assert f"The policy {policy} cannot be used: " in gateway.newest_log()
    assert "line 3" in gateway.newest_log()
    assert "Traceback" not in gateway.newest_log()


async def test_damaged_keys_of_the_engine_end_the_start_with_a_sentence(tmp_path: Path) -> None:
    """It names the file and what to do, without a traceback."""
    gateway = GatewayProcess(tmp_path)
    gateway.data.mkdir()
    keys = gateway.data / "engine.keys"
    keys.write_bytes(b"\0\xff")
    with pytest.raises(AssertionError, match="the gateway ended"):
        await gateway.start()
    assert f"does not start: {keys} does not hold" in gateway.newest_log()
    assert "Traceback" not in gateway.newest_log()


async def test_every_error_over_http_has_the_same_shape(gateway: GatewayProcess) -> None:
    """{"error", "detail"}, with the status that fits."""
    key = {"Authorization": "Bearer reviewer-key-of-the-tests"}
    decision = {"decision": "APPROVED", "event_id": "evt_48f1fb4b"}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        answers = [
            (404, await client.get("/nothing")),
            (405, await client.get("/webhook/approval")),
            (401, await client.post("/webhook/approval", json=decision)),
            (
                403,
                await client.post(
                    "/webhook/approval", json=decision, headers={"Authorization": f"Bearer {AGENT_KEY}"}
                ),
            ),
            (404, await client.post("/webhook/approval", json=decision, headers=key)),
            (422, await client.post("/webhook/approval", json=[], headers=key)),
            (422, await client.post("/webhook/approval", content=b"{", headers=key)),
            (401, await client.post("/api/inngest", json={})),
        ]
    for status, response in answers:
        assert response.status_code == status, response.text
        assert set(response.json()) == {"error", "detail"}, response.text


async def test_a_database_that_cannot_be_written_refuses_calls_and_decisions(gateway: GatewayProcess) -> None:
    """Nothing runs that is not recorded, and the reviewer is told that the decision was not taken."""
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "modify_welfare_record", **CHANGE))
        fill_disk(gateway, "cases", "ledger")
        refused = await call(agent, "check_status", beneficiary_id="BEN-124")
        assert refused.is_error and "cannot record it" in text_of(refused)
        answer = await gateway.decide(case_id)
        assert (answer.status_code, answer.json()["error"]) == (503, "StoreUnavailable")
        empty_disk(gateway, "cases", "ledger")
        assert (await gateway.decide(case_id)).status_code == 200
        assert "EXECUTED" in text_of(await outcome(agent, case_id))


def fail_commit(gateway: GatewayProcess) -> None:
    """Let no transaction be committed in which a call is approved by itself."""
    with closing(store_by_hand(gateway.data)) as connection, connection:
        connection.execute("CREATE TABLE one (one INTEGER PRIMARY KEY)")
        connection.execute(
            "CREATE TABLE other (one INTEGER REFERENCES one (one) DEFERRABLE INITIALLY DEFERRED)"
        )
        is_approval = "NEW.action = 'decide.auto_approved'"
        for statement in run_at_inserts("fails", "ledger", is_approval, "INSERT INTO other VALUES (1)"):
            connection.execute(statement)


async def test_an_approval_that_was_seen_and_did_not_get_to_the_disk_is_made_again(tmp_path: Path) -> None:
    """Nothing is executed on it, and the call need not wait until someone misses it."""
    office = Office(tmp_path)
    office.policy.write_text(NO_ONE)
    await office.start()
    try:
        fail_commit(office)
        office.tell(seconds=0.1)  # so that the approval is committed before the execution begins
        async with office.agent() as agent:
            calling = asyncio.create_task(call(agent, "write_note", **NOTE))

            async def is_lost() -> bool:
                return "A change did not get to the disk" in office.newest_log()

            await eventually(is_lost)
            assert office.notes() == 0
            with closing(store_by_hand(office.data)) as connection, connection:
                connection.execute(without_trigger("fails", "ledger"))
            answered = await calling
            case_id = REFERENCE.search(text_of(answered))
            ending = await outcome(agent, case_id[0]) if case_id else answered
        assert "written" in text_of(ending) and office.notes() == 1
    finally:
        await office.kill()


async def test_a_run_that_fails_brings_its_case_before_a_person(gateway: GatewayProcess) -> None:
    """The assessment cannot be kept, five times: a person decides, and no agent waits for ever."""
    fill_disk(gateway, "assessments")
    async with gateway.agent() as agent:
        case_id = reference_in(await call(agent, "check_status", beneficiary_id="BEN-124"))

        async def waits_for_a_person() -> bool:
            result = await outcome(agent, case_id, wait_seconds=0)
            return bool(result.structured_content["status"] == "PENDING_REVIEW")

        await eventually(waits_for_a_person, seconds=100)
        # What the policy says of the call must be on disk before a person's approval is.
        assert (await gateway.decide(case_id)).status_code == 503
        empty_disk(gateway, "assessments")
        assert (await gateway.decide(case_id)).status_code == 200
        assert "EXECUTED" in text_of(await outcome(agent, case_id))
