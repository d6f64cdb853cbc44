"""Gateways that share a database: what a dead, frozen or cut off one had begun is given up, once."""

import asyncio
import contextlib
import os
import signal
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from gateway_process import REFERENCE, GatewayProcess, call, eventually, outcome, reference_in, text_of
from postgres import PostgresServer
from relay import Relay
from several_gateways import SeveralGateways, process_of, several_gateways

from atlas.database.postgresql.address import Address
from atlas.database.postgresql.migrating import migrate
from atlas.database.postgresql.shared_lease import SharedLease
from atlas.database.processes import give_up
from atlas.errors import ProcessGivenUp
from atlas.operate.given_up import GIVEN_UP, GIVEN_UP_STATUS

SHORT_GRACE = {"ATLAS_GRACE_SECONDS": "3"}  # for an agent that is told to come back, and not for a result
LEASE = {"ATLAS_TEST_LEASE": "6"} | SHORT_GRACE  # seconds
UNKNOWN = "execute.outcome_unknown"


async def begun(several: SeveralGateways, at: GatewayProcess, tool: str, n: int) -> str:
    """The reference of a call that is being executed, and whose agent was told to come back."""
    async with at.agent() as agent:
        told = REFERENCE.search(text_of(await call(agent, tool, n=n)))
    assert told is not None

    async def is_begun() -> bool:
        return several.ran() == {f"{tool} {n}": 1}

    await eventually(is_begun)
    return told[0]


async def ended(agent: Client[Any], tool: str, n: int) -> str:
    """What became of a call, also where the grace ended before it did."""
    said = text_of(await call(agent, tool, n=n))
    again = REFERENCE.search(said)
    return said if again is None else text_of(await outcome(agent, again[0]))


def acts_of(several: SeveralGateways, case_id: str) -> list[str]:
    """What the ledger says of a case."""
    return [entry["action"] for entry in several.entries() if entry["case_id"] == case_id]


async def status_is(several: SeveralGateways, case_id: str, status: str) -> bool:
    """Whether a case stands there."""
    return several.rows("SELECT status FROM cases WHERE case_id = %s", case_id) == [(status,)]


async def ends_as_given_up(gateway: GatewayProcess) -> None:
    """It says so, and a supervisor would start it again."""
    assert await gateway.ended() == GIVEN_UP_STATUS, gateway.newest_log()
    assert GIVEN_UP in gateway.newest_log()


def freeze(gateway: GatewayProcess) -> None:
    """Stop it in the middle of anything."""
    os.kill(gateway.process_id, signal.SIGSTOP)


def thaw(gateway: GatewayProcess) -> None:
    """Let it go on."""
    os.kill(gateway.process_id, signal.SIGCONT)


async def test_what_a_killed_gateway_had_begun_is_given_up_once_by_the_others_and_its_agent_is_told(
    url: str, tmp_path: Path
) -> None:
    """Three gateways; the one that executes dies in the middle of its tool."""
    async with several_gateways(tmp_path, url, many=3, **LEASE) as several:
        case_id = await begun(several, several.gateways[0], "hold", 1)
        dead = several.at_work(case_id)
        await dead.kill()
        others = [each for each in several.gateways if each is not dead]
        await eventually(partial(status_is, several, case_id, "OUTCOME_UNKNOWN"))
        for gateway in others:
            async with gateway.agent() as agent:
                assert text_of(await outcome(agent, case_id)).startswith("OUTCOME UNKNOWN")
        assert acts_of(several, case_id).count(UNKNOWN) == 1
        assert several.ran() == {"hold 1": 1}
        assert not any(each.has_ended for each in others)


async def test_a_call_that_may_be_repeated_is_repeated_once_when_its_gateway_was_killed(
    url: str, tmp_path: Path
) -> None:
    """By one of two gateways that both find it."""
    async with several_gateways(tmp_path, url, many=3, **LEASE) as several:
        case_id = await begun(several, several.gateways[0], "put", 1)
        dead = several.at_work(case_id)
        await dead.kill()

        async def is_repeated() -> bool:
            return several.ran() == {"put 1": 2}

        await eventually(is_repeated, seconds=200)
        several.release()
        await eventually(partial(status_is, several, case_id, "EXECUTED"))
        acts = acts_of(several, case_id)
        assert acts.count("execute.started") == 2 and acts.count("execute.finished") == 1
        assert several.ran() == {"put 1": 2}


async def test_a_gateway_that_starts_again_gives_up_at_once_what_it_had_begun(
    url: str, tmp_path: Path
) -> None:
    """Its directory tells which process it was; no other gateway is there, and none is waited for."""
    async with several_gateways(tmp_path, url, many=1, ATLAS_TEST_LEASE="10000", **SHORT_GRACE) as several:
        [gateway] = several.gateways
        case_id = await begun(several, gateway, "hold", 1)
        await gateway.kill()
        await gateway.start()
        assert await status_is(several, case_id, "OUTCOME_UNKNOWN")


async def test_a_gateway_that_was_frozen_too_long_changes_nothing_any_more_and_ends(
    url: str, tmp_path: Path
) -> None:
    """Its tool answers after the others have given the case up: the case stands as it was told."""
    async with several_gateways(tmp_path, url, many=2, **LEASE) as several:
        case_id = await begun(several, several.gateways[0], "hold", 1)
        frozen = several.at_work(case_id)
        other = next(each for each in several.gateways if each is not frozen)
        freeze(frozen)
        await eventually(partial(status_is, several, case_id, "OUTCOME_UNKNOWN"))
        before = acts_of(several, case_id)
        several.release()
        thaw(frozen)
        await ends_as_given_up(frozen)
        assert f"The tool of {case_id} answered after this gateway was given up" in frozen.newest_log()
        async with other.agent() as agent:
            assert text_of(await outcome(agent, case_id)).startswith("OUTCOME UNKNOWN")
            assert "looked at 2" in await ended(agent, "look", n=2)
        await frozen.start()
        async with frozen.agent() as agent:
            assert "looked at 3" in await ended(agent, "look", n=3)
        assert acts_of(several, case_id) == before
        assert several.ran() == {"hold 1": 1, "look 2": 1, "look 3": 1}


async def test_an_agent_that_waits_at_a_gateway_that_was_frozen_too_long_gets_its_reference(
    url: str, tmp_path: Path
) -> None:
    """Before the gateway ends; a person decides at the other one."""
    grace = {"ATLAS_REVIEW_GRACE_SECONDS": "25", "ATLAS_GRACE_SECONDS": "25"}
    async with several_gateways(tmp_path, url, many=2, **LEASE | grace) as several:
        frozen, other = several.gateways
        told, case_id = None, ""
        with contextlib.suppress(httpx2.ConnectError):  # the gateway has ended when its client says goodbye
            async with frozen.agent() as agent:
                await agent.list_tools()  # else it does so before it hands out a result
                asking = asyncio.create_task(call(agent, "change", n=1))
                waits = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW'"
                [(case_id,)] = await eventually(partial(found, several, waits))
                freeze(frozen)
                await eventually(partial(is_given_up, several, process_of(frozen)))
                thaw(frozen)
                told = await asking
        assert told is not None and reference_in(told) == case_id
        await ends_as_given_up(frozen)
        assert (await other.decide(case_id)).status_code == 200
        async with other.agent() as agent:
            assert "changed 1" in text_of(await outcome(agent, case_id))
        assert several.ran() == {"change 1": 1}


async def found(several: SeveralGateways, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, once there are some."""
    return several.rows(query)


async def is_given_up(several: SeveralGateways, process_id: str) -> bool:
    """Whether the others have given up a process."""
    ended = "SELECT 1 FROM processes WHERE process_id = %s AND ended_at IS NOT NULL"
    return bool(several.rows(ended, process_id))


async def test_a_gateway_that_was_frozen_for_a_moment_goes_on_and_its_tools_answer_counts(
    url: str, tmp_path: Path
) -> None:
    """No one has given it up."""
    async with several_gateways(tmp_path, url, many=2, ATLAS_TEST_LEASE="60", **SHORT_GRACE) as several:
        case_id = await begun(several, several.gateways[0], "hold", 1)
        frozen = several.at_work(case_id)
        freeze(frozen)
        seen = several.rows("SELECT count(*) FROM processes WHERE ended_at IS NULL")
        several.release()
        thaw(frozen)
        await eventually(partial(status_is, several, case_id, "EXECUTED"))
        assert seen == [(2,)] and not frozen.has_ended
        assert several.ran() == {"hold 1": 1}


async def test_a_gateway_that_is_cut_off_from_the_database_is_given_up_and_ends_when_it_is_back(
    url: str, tmp_path: Path
) -> None:
    """Its network swallows everything for a while, also the answer of its tool."""
    async with several_gateways(tmp_path, url, many=2, **LEASE) as several:
        case_id = await begun(several, several.gateways[0], "hold", 1)
        away = several.at_work(case_id)
        relay = several.relays[several.gateways.index(away)]
        relay.stall()
        several.release()
        await eventually(partial(status_is, several, case_id, "OUTCOME_UNKNOWN"))
        relay.resume()
        await ends_as_given_up(away)
        acts = acts_of(several, case_id)
        assert acts.count(UNKNOWN) == 1 and "execute.finished" not in acts
        assert several.ran() == {"hold 1": 1}


async def test_all_gateways_stay_when_the_database_was_away_for_longer_than_a_lease(
    url: str, tmp_path: Path
) -> None:
    """None could say that it lives, and none could watch the others: no one is given up."""
    async with several_gateways(tmp_path, url, many=2, **LEASE) as several:
        case_id = await begun(several, several.gateways[0], "hold", 1)
        names = [process_of(each) for each in several.gateways]
        for relay in several.relays:
            relay.stall()
        await asyncio.sleep(10)  # the very thing that is tried: longer than a lease
        for relay in several.relays:
            relay.resume()
        several.release()
        await eventually(partial(status_is, several, case_id, "EXECUTED"))
        assert [process_of(each) for each in several.gateways] == names
        alive = "SELECT process_id FROM processes WHERE ended_at IS NULL"
        assert {name for (name,) in several.rows(alive)} == set(names)


async def test_a_call_that_is_held_while_the_database_is_started_again_brings_its_result(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    """The gateway cannot look for a while, and its agent is told no error."""
    long = {"ATLAS_REVIEW_GRACE_SECONDS": "25", "ATLAS_GRACE_SECONDS": "25"}
    async with several_gateways(tmp_path, url, many=1, **long) as several:
        [gateway] = several.gateways
        async with gateway.agent() as agent:
            asking = asyncio.create_task(call(agent, "change", n=1))
            waits = "SELECT case_id FROM cases WHERE status = 'PENDING_REVIEW'"
            [(case_id,)] = await eventually(partial(found, several, waits))

            async def has_looked() -> bool:
                return "A case that is waited for cannot be read now" in gateway.newest_log()

            async with server.away():
                await eventually(has_looked)
                assert not asking.done() or case_id in text_of(await asking)
            assert (await gateway.decide(case_id)).status_code == 200
            told = text_of(await asking)
        assert told == "changed 1" or case_id in told  # on a slow machine the time to hold it is over before
        assert several.ran().total() <= 1


async def test_a_lease_that_is_not_sure_asks_and_waits_for_the_answer(
    server: PostgresServer, url: str
) -> None:
    """Nothing is begun while the database cannot be asked, and nothing after it was given up."""
    direct = Address(url).engine()
    migrate(direct, "test")
    async with Relay([server.port]).run() as relay:
        cut = Address(url.replace(f":{server.port}/", f":{relay.port}/")).engine()
        lease = SharedLease(token_hex(8), cut.connect)
        await asyncio.to_thread(lease.begin, None)
        try:
            await lease.confirm()
            relay.stall()
            lease._sure_until = 0.0  # as after a freeze
            asking = asyncio.create_task(lease.confirm())
            done, _ = await asyncio.wait([asking], timeout=1)
            assert not done
            with direct.connect() as connection:
                seen = connection.exec_driver_sql("SELECT process_id, seen_at FROM processes").all()
                assert give_up(connection, dict(map(tuple, seen))) == [lease.process_id]
            relay.resume()
            with pytest.raises(ProcessGivenUp):
                await asking
            assert lease.is_lost
        finally:
            await asyncio.to_thread(lease.end)
