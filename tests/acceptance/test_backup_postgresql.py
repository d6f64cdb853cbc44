"""A backup of PostgreSQL, and what becomes of calls where cases and engine are of different moments."""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from gateway_process import (
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    outcome,
    reference_in,
    text_of,
)

from atlas import ledger
from atlas.database.choose import beside
from atlas.database.location import Location
from tests.support.postgres import PostgresServer, programs

DUE = "now due on"


@pytest_asyncio.fixture
async def gateway(server: PostgresServer, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway whose cases are in PostgreSQL."""
    process = GatewayProcess(tmp_path, ATLAS_DATABASE_URL=server.new_database(tmp_path.name))
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


async def waits(gateway: GatewayProcess, reason: str) -> str:
    """A call that waits for a person; its reference."""
    async with gateway.agent() as agent:
        arguments = {"beneficiary_id": "BEN-123", "reason": reason}
        return reference_in(await call(agent, "request_payment_extension", **arguments))


async def approved(gateway: GatewayProcess, case_id: str) -> str:
    """What the agent reads of a call once it is approved."""
    answer = await gateway.decide(case_id)
    assert answer.status_code == 200, answer.text
    async with gateway.agent() as agent:
        return text_of(await outcome(agent, case_id))


def executed(url: str, case_id: str) -> int:
    """How often the ledger says that a call was executed; it verifies."""
    entries = list(ledger.read_store(beside(Location(directory=Path(), url=url))))
    ledger.verify(entries)
    return sum(one["case_id"] == case_id and one["action"] == "execute.finished" for one in entries)


def dump(url: str, file: Path) -> None:
    """As docs/how-to/backup.md does it."""
    subprocess.run(
        [str(programs()) + "/pg_dump", "-Fc", "-f", str(file), url], check=True, timeout=WAIT_SECONDS
    )


def restore(file: Path, url: str) -> None:
    """As docs/how-to/backup.md does it."""
    command = [str(programs()) + "/pg_restore", "--no-owner", "--exit-on-error", "-d", url, str(file)]
    subprocess.run(command, check=True, timeout=WAIT_SECONDS)


def keep_engine(gateway: GatewayProcess, folder: Path) -> None:
    """Copy the files of the engine; the gateway is stopped."""
    folder.mkdir()
    for file in gateway.data.glob("engine.*"):
        shutil.copy(file, folder)


def put_engine(gateway: GatewayProcess, folder: Path) -> None:
    """Put them back."""
    for file in gateway.data.glob("engine.*"):
        file.unlink()
    for file in folder.iterdir():
        shutil.copy(file, gateway.data)


async def test_what_becomes_of_calls_where_cases_and_engine_are_of_different_moments(
    gateway: GatewayProcess, server: PostgresServer, tmp_path: Path
) -> None:
    """The cases win: what is executed there never runs again, and what waits there can be decided."""
    url = gateway.environment["ATLAS_DATABASE_URL"]
    first = await waits(gateway, "it waits at the first moment")
    await gateway.stop()
    dump(url, tmp_path / "first.dump")
    keep_engine(gateway, tmp_path / "first")
    await gateway.start()
    assert DUE in await approved(gateway, first)
    second = await waits(gateway, "it waits at the second moment")
    await gateway.stop()
    dump(url, tmp_path / "second.dump")
    keep_engine(gateway, tmp_path / "second")

    # Cases newer than the engine: the one has run, and its run waits there; the other has no run there.
    newer = server.new_database(f"{tmp_path.name}-newer")
    restore(tmp_path / "second.dump", newer)
    put_engine(gateway, tmp_path / "first")
    await gateway.start(ATLAS_DATABASE_URL=newer)
    assert DUE in await approved(gateway, first)  # said once more, of what was done
    assert DUE in await approved(gateway, second)
    await gateway.stop()
    assert (executed(newer, first), executed(newer, second)) == (1, 1)

    # The engine newer than the cases: the one waits again, though its run is over; the other is unknown.
    older = server.new_database(f"{tmp_path.name}-older")
    restore(tmp_path / "first.dump", older)
    put_engine(gateway, tmp_path / "second")
    await gateway.start(ATLAS_DATABASE_URL=older)
    assert (await gateway.decide(second)).status_code == 404
    assert DUE in await approved(gateway, first)
    third = await waits(gateway, "it is new")
    assert DUE in await approved(gateway, third)
    await gateway.stop()
    assert (executed(older, first), executed(older, second), executed(older, third)) == (1, 0, 1)


async def test_the_backup_command_has_the_cases_of_postgresql_and_a_gateway_can_start_on_it(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    """It is made while the gateway runs; unpacked it is a data directory, with or without PostgreSQL."""
    case_id = await waits(gateway, "hospital stay")
    backup, restored = tmp_path / "backup.tar", GatewayProcess(tmp_path / "restored", ATLAS_DATABASE_URL="")
    with backup.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "atlas.backup"),
            cwd=gateway.directory,
            env=gateway.environment | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), 4 * WAIT_SECONDS)
    assert process.returncode == 0, said.decode()
    assert "and postgresql://127.0.0.1:" in said.decode() and "the ledger in it verifies" in said.decode()
    assert not list(gateway.data.glob(".backup*"))
    restored.data.mkdir(parents=True)
    with tarfile.open(backup) as tar:
        assert {one.name for one in tar} == {"atlas.db", "engine.db", "engine.keys"}
        tar.extractall(restored.data)  # noqa: S202  (we made it)
    await gateway.kill()
    await restored.start()
    try:
        assert DUE in await approved(restored, case_id)
    finally:
        await restored.kill()
