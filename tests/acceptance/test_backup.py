"""What a copy of the data directory is worth."""

import asyncio
import sys
import tarfile
from pathlib import Path

import pytest
from gateway_process import (
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    outcome,
    reference_in,
    status_of,
    text_of,
)


async def test_a_case_whose_run_the_engine_has_lost_is_started_again_when_it_is_decided(
    gateway: GatewayProcess,
) -> None:
    """The case store is what counts: without the engine's files the approved call still runs, once."""
    async with gateway.agent() as agent:
        case_id = reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason="hospital stay")
        )
    await gateway.kill()
    lost = list(gateway.data.glob("engine.*"))
    for path in lost:
        path.unlink()
    await gateway.start()
    assert (await gateway.decide(case_id)).status_code == 200
    async with gateway.agent() as agent:
        assert "now due on 2027-03-03" in text_of(await outcome(agent, case_id))
        status = await call(agent, "check_status", beneficiary_id="BEN-123")
    assert lost and len(status.structured_content["history"]) == 1


@pytest.mark.sqlite("test_backup_postgresql.py has the backup of PostgreSQL")
async def test_a_backup_that_was_made_while_the_gateway_ran_is_a_data_directory(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    """Its ledger verifies, its files are their owner's alone, what waited waits, and nothing is left over."""
    async with gateway.agent() as agent:
        case_id = reference_in(
            await call(agent, "request_payment_extension", beneficiary_id="BEN-123", reason="hospital stay")
        )
    backup, restored = tmp_path / "backup.tar", GatewayProcess(tmp_path / "restored")
    with backup.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "atlas.backup"),
            cwd=gateway.directory,
            env={"PYTHONPATH": str(ROOT), "ATLAS_DATA_DIR": str(gateway.data)},
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    assert process.returncode == 0, said.decode()
    assert "the ledger in it verifies" in said.decode()
    assert not list(gateway.data.glob(".backup*"))
    restored.data.mkdir(parents=True)
    with tarfile.open(backup) as tar:
        assert {(one.name, one.mode) for one in tar} == {
            (name, 0o600) for name in ("atlas.db", "engine.db", "engine.keys")
        }
        tar.extractall(restored.data)  # noqa: S202  (we made it)
    await gateway.kill()
    await restored.start()
    try:
        assert status_of(restored, case_id) == "PENDING_REVIEW"
        assert (await restored.decide(case_id)).status_code == 200
        async with restored.agent() as agent:
            assert "now due on 2027-03-03" in text_of(await outcome(agent, case_id))
    finally:
        await restored.kill()
