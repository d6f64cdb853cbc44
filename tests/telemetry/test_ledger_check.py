"""The ledger is verified in the background, and the store knows when."""

from datetime import timedelta
from pathlib import Path

import pytest
from gateway_process import GatewayProcess, call
from kept import change_in, without_trigger
from scrapes import METRICS, verified_scrape
from store import open_case, open_store, tool_call

from atlas import ledger
from atlas.telemetry.ledger_check import BATCH, LedgerCheck, read_checks

DAY = timedelta(days=1)


async def test_a_gateway_verifies_its_ledger_after_the_start_and_tells_when_it_did(tmp_path: Path) -> None:
    """After a restart it still knows, and does not begin again before it is due."""
    gateway = GatewayProcess(tmp_path, **METRICS)
    await gateway.start()
    try:
        seen = await verified_scrape(gateway)
        verified = seen.value("atlas_ledger_verified_timestamp_seconds")
        assert seen.value("atlas_ledger_broken") == 0
        async with gateway.agent() as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
        await gateway.kill()
        await gateway.start()
        again = await verified_scrape(gateway)
        assert again.value("atlas_ledger_verified_timestamp_seconds") == verified
        assert again.value("atlas_ledger_verified_entries") < again.value("atlas_ledger_entries")
    finally:
        await gateway.kill()


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1])
async def test_all_entries_are_verified_however_many_there_are(tmp_path: Path, count: int) -> None:
    """In batches, of which the last one may be empty."""
    async with open_store(tmp_path) as store:
        for number in range(count):
            await open_case(store, tool_call(number=number))
        await LedgerCheck(store.database, every=DAY).verify()
        checks = await store.database.look(read_checks)
    assert checks.whole is not None and checks.whole.entries == count
    assert checks.newest == checks.whole


async def test_a_broken_ledger_is_an_error_in_the_log_and_in_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last verification that was whole stays known beside it."""
    async with open_store(tmp_path) as store:
        for number in range(3):
            await open_case(store, tool_call(number=number))
        check = LedgerCheck(store.database, every=DAY)
        await check.verify()
        change_in(tmp_path, without_trigger("ledger_no_update", "ledger"))
        change_in(tmp_path, "UPDATE ledger SET actor = 'another' WHERE seq = 2")
        await check.verify()
        checks = await store.database.look(read_checks)
    assert checks.newest is not None and checks.whole is not None
    assert checks.newest.entries == 1 and "2" in str(checks.newest.problem)
    assert checks.whole.entries == 3
    assert "The ledger is broken" in caplog.text


async def test_another_gateway_that_verified_a_moment_ago_is_enough(tmp_path: Path) -> None:
    """Of several one verifies: the others find in the store that it did."""
    async with open_store(tmp_path) as store:
        await open_case(store)
        await LedgerCheck(store.database, every=DAY).verify()
        before = (await store.database.look(read_checks)).newest
        pause = await LedgerCheck(store.database, every=DAY)._look()
        assert (await store.database.look(read_checks)).newest == before
        assert pause > 0
        await LedgerCheck(store.database, every=timedelta(microseconds=1))._look()
        assert (await store.database.look(read_checks)).newest != before


def test_the_chain_is_followed_from_any_place() -> None:
    """Part by part it is the same as at one go."""
    rows, place = [], ledger.START
    for seq in range(1, 6):
        entry = {
            "seq": seq,
            "at": "2026-11-27T00:00:00.000000Z",
            "case_id": "",
            "action": "a",
            "actor": "b",
            "detail": {},
            "previous_hash": place.entry_hash,
        }
        place = ledger.Place(seq, ledger.entry_hash(entry))
        rows.append(entry | {"entry_hash": place.entry_hash})
    assert ledger.verify(rows) == 5
    assert ledger.follow(rows[2:], ledger.follow(rows[:2], ledger.START)) == place
