"""A gateway that is killed while notices are due loses none of them; a copy has the id of the first one."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from acceptance.test_restart import CHANGE, MORTAL, call_until_death
from gateway_process import ROOT, GatewayProcess, eventually
from receivers import Taken, receiver

from crash.gateway_load import rows
from crash.test_gateway_crash import build_gateway, crash, seed_of_test

OPEN = "SELECT count(*) FROM deliveries WHERE sent_at IS NULL AND given_up_at IS NULL"
UNSPREAD = "SELECT count(*) FROM notices WHERE spread_at IS NULL"
# What is caused, in the ledger and among the notices, by case.
CAUSED = {
    "review_requested": ("decide.review_requested",),
    "decided": ("decide.approved", "decide.rejected"),
    "expired": ("decide.expired",),
    "outcome_unknown": ("execute.outcome_unknown",),
}
MOMENTS = (
    "before atlas.people.notices Notifier.tell",  # the case waits, and no one was told
    "before atlas.outbox.spreading write",
    "after atlas.outbox.spreading write",  # in the transaction
    "before atlas.outbox.channels.webhook StandardWebhook.send",
    "after atlas.outbox.channels.webhook StandardWebhook.send",  # it arrived, and that is not noted
    "after atlas.outbox.deliveries note_sent",  # in the transaction
)


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    """A receiver that outlives the gateway."""
    async with receiver() as one:
        yield one


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_notice_survives_a_kill_at_each_moment_of_its_way(
    tmp_path: Path, taken: Taken, moment: str
) -> None:
    """Killed once, started again: it arrives, and if it arrives twice the receiver knows the copy."""
    gateway = GatewayProcess(tmp_path, script=MORTAL, ATLAS_NOTIFY_URL=taken.url)
    await gateway.start(ATLAS_TEST_DIE=moment)
    await call_until_death(gateway, "modify_welfare_record", CHANGE)
    gateway.script = ROOT / "gateway.py"
    await gateway.start()
    try:
        await taken.accepted(1)
        await eventually(partial(is_all_sent, gateway))
    finally:
        await gateway.kill()
    assert {body["kind"] for body in taken.bodies} == {"review_requested"}
    assert len({one["headers"]["webhook-id"] for one in taken.requests}) == 1
    assert len(taken.requests) == (2 if moment.startswith("after") and "write" not in moment else 1)


async def test_no_notice_is_lost_by_a_few_kills_under_load(tmp_path: Path, taken: Taken) -> None:
    """Calls and decisions go on meanwhile; ledger, notices and receiver agree in the end."""
    await crash_with_notices(tmp_path, taken, kills=3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_no_notice_is_lost_by_300_kills_under_load(tmp_path: Path, taken: Taken) -> None:
    """The same, long enough to hit the rare moments."""
    await crash_with_notices(tmp_path, taken, kills=300)


async def crash_with_notices(directory: Path, taken: Taken, *, kills: int) -> None:
    """Kill a gateway that often, and compare what was caused with what was written and with what arrived."""
    gateway = build_gateway(directory)
    gateway._environment["ATLAS_NOTIFY_URL"] = taken.url
    await crash(gateway, kills=kills, seed=seed_of_test())
    await gateway.start()
    try:
        await eventually(partial(is_all_sent, gateway))
    finally:
        with contextlib.suppress(AssertionError):
            await gateway.kill()
    check_caused(gateway)
    check_arrived(gateway, taken)


async def is_all_sent(gateway: GatewayProcess) -> bool:
    """Whether nothing is left to send."""
    return rows(gateway, OPEN) == [(0,)] and rows(gateway, UNSPREAD) == [(0,)]


def check_caused(gateway: GatewayProcess) -> None:
    """Each thing that people have to know is one notice, and nothing else is."""
    noted = Counter(rows(gateway, "SELECT kind, case_id FROM notices"))
    for kind, actions in CAUSED.items():
        marks = ", ".join("?" for _ in actions)
        of_ledger = rows(gateway, f"SELECT case_id FROM ledger WHERE action IN ({marks})", *actions)
        caused = Counter((kind, case_id) for (case_id,) in of_ledger)
        assert caused == Counter({key: count for key, count in noted.items() if key[0] == kind})
    assert {kind for kind, _ in noted} <= set(CAUSED) and noted


def check_arrived(gateway: GatewayProcess, taken: Taken) -> None:
    """What is noted as sent has arrived; no id stands for two notices; each end that was caused arrived."""
    arrived = {one["headers"]["webhook-id"]: one["body"]["notice_id"] for one in taken.requests}
    copies = {(one["headers"]["webhook-id"], one["body"]["notice_id"]) for one in taken.requests}
    sent = rows(gateway, "SELECT delivery_id, notice_id FROM deliveries WHERE sent_at IS NOT NULL")
    assert len(copies) == len(arrived) and dict(sent).items() <= arrived.items()
    ends = {
        notice_id for (notice_id,) in rows(gateway, "SELECT notice_id FROM notices WHERE kind = 'decided'")
    }
    assert ends <= set(arrived.values())
    print(f"{len(sent)} notices sent, {len(taken.requests)} arrived")
