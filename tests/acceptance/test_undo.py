"""The begin of an approved call is put off durably: over a kill, and with an Inngest elsewhere."""

import time
from pathlib import Path
from typing import Any

import pytest
from engine_elsewhere import EVENT_KEY, OLD_KEY, engine
from gateway_process import GatewayProcess, call, eventually, outcome, reference_in, status_of, text_of
from kept import entries_in
from ports import kept_port

from atlas.instants import read_instant

RULES = """
unknown_tools = "person"

[[rule]]
tool = "modify_welfare_record"
score = 95
undo = "%s"
"""


def gateway_with(directory: Path, undo: str, **environment: str) -> GatewayProcess:
    """A gateway whose rule puts the begin off by so long."""
    directory.mkdir(exist_ok=True)
    (directory / "policy.toml").write_text(RULES % undo)
    return GatewayProcess(directory, ATLAS_POLICY=str(directory / "policy.toml"), **environment)


async def approved(gateway: GatewayProcess) -> str:
    """The reference of a call that a person has approved."""
    async with gateway.agent() as agent:
        held = await call(
            agent, "modify_welfare_record", beneficiary_id="BEN-125", changes={"monthly_amount_eur": 700}
        )
    assert (await gateway.decide(reference_in(held))).status_code == 200
    return reference_in(held)


def times(gateway: GatewayProcess, case_id: str) -> dict[str, list[Any]]:
    """When what of a case was recorded."""
    found: dict[str, list[Any]] = {}
    for entry in entries_in(gateway.data):
        if entry["case_id"] == case_id:
            found.setdefault(entry["action"], []).append(read_instant(entry["at"]))
    return found


async def executed(gateway: GatewayProcess, case_id: str, *, after: float) -> None:
    """Wait until it is, and see that it was once, and not too early."""

    async def is_there() -> bool:
        return status_of(gateway, case_id) == "EXECUTED"

    await eventually(is_there)
    [approved_at], [started_at] = (
        times(gateway, case_id)[one] for one in ("decide.approved", "execute.started")
    )
    assert (started_at - approved_at).total_seconds() >= after


@pytest.mark.parametrize("is_down_at_the_begin", [False, True], ids=["before", "over"])
async def test_a_gateway_that_is_killed_within_the_time_begins_the_call_once_and_not_before(
    tmp_path: Path, is_down_at_the_begin: bool
) -> None:
    """Also where the time was over while it was down."""
    gateway = gateway_with(tmp_path / "a", "4s")
    await gateway.start()
    try:
        case_id = await approved(gateway)
        await gateway.kill()
        assert "execute.started" not in times(gateway, case_id)
        if is_down_at_the_begin:
            begins_at = times(gateway, case_id)["decide.approved"][0].timestamp() + 4

            async def is_past() -> bool:
                return time.time() > begins_at

            await eventually(is_past)
        await gateway.start()
        await executed(gateway, case_id, after=4)
    finally:
        await gateway.kill()


async def test_an_inngest_elsewhere_waits_for_the_begin_too(tmp_path: Path) -> None:
    """Over the wire, signed: the run sleeps until the call may begin; what is taken back does not."""
    async with engine(tmp_path / "engine") as engine_url:
        port = kept_port()
        gateway = gateway_with(
            tmp_path / "b",
            "2s",
            ATLAS_PORT=str(port),
            INNGEST_BASE_URL=engine_url,
            INNGEST_EVENT_KEY=EVENT_KEY,
            INNGEST_SIGNING_KEY=OLD_KEY,
            INNGEST_SERVE_ORIGIN=f"http://localhost:{port}",
        )
        await gateway.start()
        try:
            back = await approved(gateway)
            assert (await gateway.decide(back, "TAKEN_BACK")).status_code == 200
            async with gateway.agent() as agent:
                held = await call(
                    agent,
                    "modify_welfare_record",
                    beneficiary_id="BEN-125",
                    changes={"monthly_amount_eur": 710},
                )
                case_id = reference_in(held)
                await gateway.decide(case_id)
                assert text_of(await outcome(agent, case_id, wait_seconds=25)).startswith("EXECUTED")
                assert text_of(await outcome(agent, back)).startswith("PENDING REVIEW")
            await executed(gateway, case_id, after=2)
            assert "execute.started" not in times(gateway, back)
            assert (await gateway.decide(back, round=2)).status_code == 200
            await eventually_executed_once(gateway, back)
        finally:
            await gateway.kill()


async def eventually_executed_once(gateway: GatewayProcess, case_id: str) -> None:
    async def is_there() -> bool:
        return status_of(gateway, case_id) == "EXECUTED"

    await eventually(is_there)
    assert len(times(gateway, case_id)["execute.started"]) == 1
