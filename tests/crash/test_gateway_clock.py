"""The clock jumps while the gateway runs and over a restart: nothing is lost or hurried."""

import sqlite3
from contextlib import closing
from functools import partial

from gateway_process import GatewayProcess, call, eventually, outcome, reference_in, status_of, text_of
from kept import entries_in
from shifted_clock import set_clock

from atlas import ledger

CHANGE = "modify_welfare_record"


async def hold_call(gateway: GatewayProcess, amount: int) -> str:
    """Make a call that waits for a person and return its reference."""
    async with gateway.agent() as agent:
        changes = {"monthly_amount_eur": amount}
        return reference_in(await call(agent, CHANGE, beneficiary_id="BEN-124", changes=changes))


async def passes_at_once(gateway: GatewayProcess) -> list[str]:
    """A call that needs no person is executed while its agent waits; returns what happened to the record."""
    async with gateway.agent() as agent:
        status = await call(agent, "check_status", beneficiary_id="BEN-124")
    assert not status.is_error and "PENDING" not in text_of(status)
    return list(status.structured_content["history"])


async def approve(gateway: GatewayProcess, case_id: str) -> None:
    """Approve a call that waits; it is executed within seconds."""
    assert (await gateway.decide(case_id)).status_code == 200
    async with gateway.agent() as agent:
        assert "EXECUTED" in text_of(await outcome(agent, case_id))


async def has_wait(gateway: GatewayProcess) -> bool:
    """Whether the run of a call has got as far as its wait."""
    with closing(sqlite3.connect(gateway.data / "engine.db")) as connection:
        return connection.execute("SELECT 1 FROM pauses").fetchone() is not None


async def test_a_clock_that_jumps_an_hour_back_or_forward_delays_no_call_and_no_decision(
    gateway: GatewayProcess,
) -> None:
    """What is due at once is done at once, what waits goes on waiting, and each approved call runs once."""
    clock, waiting = gateway.directory / "clock", [await hold_call(gateway, 100 + n) for n in range(3)]
    for hours, case_id in zip((-1, 1), waiting, strict=False):
        set_clock(clock, hours=hours)
        await passes_at_once(gateway)
        await approve(gateway, case_id)
    set_clock(clock, hours=-2)
    await gateway.kill()
    await gateway.start()
    assert status_of(gateway, waiting[2]) == "PENDING_REVIEW"
    await approve(gateway, waiting[2])
    assert len(await passes_at_once(gateway)) == 3
    entries = list(entries_in(gateway.data))
    assert ledger.verify(entries) == len(entries)


async def test_a_clock_that_jumps_beyond_the_end_of_a_review_refuses_and_never_approves(
    gateway: GatewayProcess,
) -> None:
    """The time to decide ends by the clock; when it is set right again the refusal stands."""
    case_id = await hold_call(gateway, 100)
    await eventually(partial(has_wait, gateway))  # for so long from then on
    set_clock(gateway.directory / "clock", hours=25)
    assert (await gateway.decide(case_id)).status_code == 409
    await passes_at_once(gateway)  # which wakes the engine; it would see the jump by itself within 30 seconds

    async def expired() -> bool:
        return status_of(gateway, case_id) == "EXPIRED"

    await eventually(expired)
    set_clock(gateway.directory / "clock")
    assert (await gateway.decide(case_id)).status_code == 409
    assert await passes_at_once(gateway) == []
