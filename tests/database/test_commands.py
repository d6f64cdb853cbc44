"""Each command of an operator works on PostgreSQL, beside a gateway that runs on it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from gateway_process import WAIT_SECONDS, GatewayProcess, call, text_of

from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.database.migrating import newest_version
from atlas.people.records.named import members_of_groups, names_of_reviewers
from atlas.settings import Settings
from tests.support.postgres import PostgresServer

Typed = Callable[..., Awaitable[tuple[int, str]]]


@pytest_asyncio.fixture
async def gateway(server: PostgresServer, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway whose cases are in PostgreSQL."""
    process = GatewayProcess(tmp_path, ATLAS_DATABASE_URL=server.new_database(tmp_path.name))
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


@pytest.fixture
def typed(gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command where the gateway is, with its settings; its exit status and what it says."""
    for name, value in gateway.environment.items():
        monkeypatch.setenv(name, value)

    async def run(module: str, *words: str) -> tuple[int, str]:
        settings = {name: os.environ[name] for name in gateway.environment}
        done = await ran_beside(module, *words, environment=settings, directory=gateway.directory)
        return done.returncode, done.stdout + done.stderr

    return run


async def test_people_stops_and_the_ledger_are_reached_while_the_gateway_runs(
    gateway: GatewayProcess, typed: Typed
) -> None:
    """What a command does, the gateway sees with the next call; all of it is one chain."""
    status, said = await typed("atlas.people", "--at", gateway.url, "add", "anna")
    assert status == 0 and "anna has an account." in said
    assert "anna" in (await typed("atlas.people", "list"))[1]
    assert (await typed("atlas.people", "passkeys", "check"))[0] == 0
    status, said = await typed("atlas.stop", "everything", "--reason", "fire")
    assert status == 0 and "stopped all calls" in said
    stop_id = said.partition(":")[0]
    async with gateway.agent() as agent:
        refused = await call(agent, "check_status", beneficiary_id="BEN-123")
        assert "a person stopped all calls" in text_of(refused) and "Reason: fire." in text_of(refused)
        assert (await typed("atlas.stop", "lift", stop_id, "--reason", "out"))[0] == 0
        assert "disability benefit" in text_of(await call(agent, "check_status", beneficiary_id="BEN-125"))
    status, said = await typed("atlas.ledger", "verify")
    assert status == 0 and "entries verified" in said
    status, exported = await typed("atlas.ledger", "export")
    assert status == 0 and len(exported.splitlines()) >= int(said.split()[1]) > 4
    assert not (gateway.data / "atlas.db").exists()


async def test_a_command_without_the_address_of_the_database_does_nothing_and_names_it(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have stopped nothing, in a file of its own beside the gateway."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", "")
    status, said = await typed("atlas.stop", "everything", "--reason", "fire")
    assert (
        status == 1 and "a gateway runs. If that keeps its cases in PostgreSQL, give this command its" in said
    )


async def test_a_policy_is_tried_on_the_calls_in_postgresql(gateway: GatewayProcess, typed: Typed) -> None:
    """Also by two workers."""
    async with gateway.agent() as agent:
        for number in range(12):
            await call(agent, "check_status", beneficiary_id=f"BEN-12{number % 3 + 3}")
    file = gateway.directory / "stricter.toml"
    file.write_text('[[rule]]\ntool = "check_status"\nscore = 90\n')
    replay = ("replay", str(file), "--json", "--until", "2100-01-01", "--since", "2000-01-01")
    status, one = await typed("atlas.assessors.policy", *replay, "--workers", "1")
    assert status == 0, one
    assert json.loads(one)["calls"] == json.loads(one)["people_now"]["calls"] == 12
    assert (await typed("atlas.assessors.policy", *replay, "--workers", "2")) == (0, one)


async def test_accounts_in_postgresql_are_reviewers_that_a_policy_can_name(
    gateway: GatewayProcess, typed: Typed
) -> None:
    """So they are for `./setup.sh`, which asks before a gateway starts."""
    settings = Settings(_env_file=None)
    assert "anna" not in (names_of_reviewers(settings) or ())
    await typed("atlas.people", "--at", gateway.url, "add", "anna", "--groups", "seniors")
    assert "anna" in (names_of_reviewers(settings) or ())
    assert members_of_groups(settings) == {"seniors": {"anna"}}


async def test_the_check_says_what_works_and_names_what_lacks(
    gateway: GatewayProcess, server: PostgresServer, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is said of a password."""
    status, said = await typed("atlas.database", "check")
    assert status == 0 and "It keeps what it acknowledges: synchronous_commit on, fsync on" in said
    assert "A change gets its turn and could be kept." in said
    name = gateway.directory.name
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk")
    url = server.url(name).replace("atlas@", "clerk:secret-of-clerk@")
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    status, said = await typed("atlas.database", "check")
    assert status == 1 and "its user has not all rights on " in said and "secret-of-clerk" not in said


async def test_the_tables_are_made_by_a_command_of_their_own(
    server: PostgresServer, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several at once: one makes them, and the others wait."""
    url = server.new_database("made")
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    status, said = await typed("atlas.ledger", "verify")
    assert status == 2 and "no readable ledger" in said
    stores = [beside(Location(directory=Path(), url=url)) for _ in range(3)]
    await asyncio.gather(*(asyncio.to_thread(store.bring_up_to_date) for store in stores))
    assert (await typed("atlas.database", "migrate"))[0] == 0
    assert f"The tables are of version {newest_version()}." in (await typed("atlas.database", "check"))[1]


async def test_the_start_and_readyz_name_the_database(gateway: GatewayProcess) -> None:
    """An operator reads at a glance where the cases are."""
    address = gateway.environment["ATLAS_DATABASE_URL"].replace("atlas@", "")
    assert f"  database   {address}" in gateway.newest_log()
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.get(f"{gateway.url}/readyz")
    assert answer.json()["database"]["name"] == "postgresql", answer.text
