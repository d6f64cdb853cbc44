"""Seeded cases: like any other until the decision, never executed, seen by no agent, revealed and counted."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from desk_browser import person
from desk_office import KEYS, POLICY, office, sign_in
from gateway_process import (
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
    status_of,
    text_of,
)
from kept import store_by_hand
from nursery import ROOT
from playwright.async_api import Browser
from store import assessment_of, insert_case, open_store, tool_call

from atlas import ledger
from atlas.attention.seeded import expire_overdue, seed
from atlas.cases.figures.period import FiguresKept
from atlas.cases.store import transition
from atlas.errors import TransitionRefused
from atlas.models import Assessment, Case, Status, ToolCall

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCRIPT = ROOT / "tests" / "attention" / "gateway_that_seeds.py"
WHY = "BEN-999 is no person of this office."
SEEDED_POLICY = f"""
seeded_share = 100

{POLICY}

[[seeded]]
tool = "request_extension"
arguments = {{beneficiary_id = "BEN-999", days = 30, reason = "illness"}}
why = "{WHY}"
"""
AGENT = "key-of-billing-bot-tests"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that seeds a case for each one that comes before people."""
    process = office(tmp_path_factory.mktemp("seeding"), rules=SEEDED_POLICY)
    process.script = SCRIPT
    await process.start()
    yield process
    await process.kill()


def rows(gateway: GatewayProcess, text: str, *values: Any) -> list[Any]:
    with closing(store_by_hand(gateway.data)) as connection:
        return connection.execute(text, values).fetchall()


async def real_and_seeded(gateway: GatewayProcess, days: int) -> tuple[str, str]:
    """The references of a call of an agent, and of the seeded one that follows it."""
    async with gateway.agent(AGENT) as agent:
        said = {"beneficiary_id": "BEN-123", "days": days, "reason": "illness"}
        real = reference_in(await call(agent, "request_extension", **said))

    async def waits() -> str | None:
        found = rows(
            gateway, "SELECT case_id FROM cases WHERE claimed_by = 'seeded' AND status = 'PENDING_REVIEW'"
        )
        return str(found[0][0]) if found else None

    return real, str(await eventually(waits))


async def read(gateway: GatewayProcess, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEYS['anna']}"}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        return await client.get(gateway.url + path, headers=headers)


async def figures(gateway: GatewayProcess) -> tuple[int, int]:
    """How many seeded cases the first person decided, and how many of them they caught."""
    people = (await read(gateway, "/reviews/statistics")).json()["people"]
    return (people[0]["seeded"], people[0]["seeded_caught"]) if people else (0, 0)


def shape(value: Any) -> Any:
    """A value without what differs from call to call."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


async def test_until_the_decision_a_seeded_case_is_like_any_other(gateway: GatewayProcess) -> None:
    """The same fields, kinds of values and entries, in the case and in the list, and no hashes."""
    real, seeded = await real_and_seeded(gateway, 1)
    one, other = [(await read(gateway, f"/cases/{case_id}")).json() for case_id in (real, seeded)]
    for name in ("earlier_of_agent", "earlier_of_tool", "arguments", "trace", "waiting_before"):
        one.pop(name), other.pop(name)
    for told in (one, other):
        for entry in told["timeline"]:
            entry["detail"].pop("waiting_before", None)
    assert shape(one) == shape(other)
    assert [entry["action"] for entry in other["timeline"]] == [entry["action"] for entry in one["timeline"]]
    assert {entry["entry_hash"] for entry in one["timeline"] + other["timeline"]} == {""}
    assert other["agent"] == "billing-bot" and other["timeline"][0]["actor"] == "billing-bot"
    lines = {
        line["case_id"]: line for line in (await read(gateway, "/cases?agent=billing-bot")).json()["cases"]
    }
    assert shape(lines[real]) == shape(lines[seeded])
    for path in (f"/desk/cases/{seeded}", "/desk?whose=all", f"/cases/{seeded}", "/cases"):
        text = (await read(gateway, path)).text
        assert '"is_seeded":true' not in text and WHY not in text, path
        assert "seed" not in text.lower().replace('"is_seeded":false', ""), path
    assert other["assessment"]["assessed_at"] >= other["opened_at"]
    answer = await gateway.decide(seeded, "REJECTED", key=KEYS["anna"], reason="There is no such person")
    assert answer.json()["revealed"].endswith(WHY)


async def test_no_figure_and_no_trial_of_a_policy_gives_it_away_while_it_waits(
    gateway: GatewayProcess,
) -> None:
    """Both count what the inbox shows, and count it no more when it is revealed."""
    real, seeded = await real_and_seeded(gateway, 60)
    waits = len((await read(gateway, "/cases?status=PENDING_REVIEW")).json()["cases"])
    assert f"{waits} calls wait for a person" in (await read(gateway, "/desk/overview")).text
    tried = await trial(gateway)
    assert {real, seeded} <= set(re.findall("evt_[0-9a-f]{16}", tried))
    await gateway.decide(seeded, "REJECTED", key=KEYS["anna"])
    left = "1 call waits" if waits == 2 else f"{waits - 1} calls wait"
    assert f"{left} for a person" in (await read(gateway, "/desk/overview")).text
    assert seeded not in await trial(gateway)


async def test_what_was_tried_is_shown_again_to_its_own_person_alone(gateway: GatewayProcess) -> None:
    """It may be the policy in force, with all seeded calls; the report is for all."""
    await trial(gateway, more=f"# {WHY}")
    headers = {"Authorization": f"Bearer {KEYS['ben']}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS) as client:
        page = (await client.get("/desk/policy")).text
    assert "Calls then, and by this policy" in page and WHY not in page
    assert WHY in (await read(gateway, "/desk/policy")).text


async def trial(gateway: GatewayProcess, *, more: str = "") -> str:
    """The report about a policy that would let all of them pass."""
    headers = {"Authorization": f"Bearer {KEYS['anna']}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS) as client:
        token = re.search('name="form_token" value="([^"]*)"', (await client.get("/desk/policy")).text)
        assert token is not None
        said = {"form_token": token[1], "text": f'[[rule]]\ntool = "*"\nscore = 5\n{more}', "days": "1"}
        assert (await client.post("/desk/policy", data=said)).status_code == 303

        async def report() -> str:
            page = (await client.get("/desk/policy")).text
            return page if "Calls then, and by this policy" in page else ""

        return str(await eventually(report))


async def test_approved_it_is_never_executed_and_the_person_reads_why(
    gateway: GatewayProcess, running: Browser
) -> None:
    """At the desk and through the webhook; the ledger has who was told, and the figures count it."""
    before = await figures(gateway)
    _, caught = await real_and_seeded(gateway, 5)
    await gateway.decide(caught, "REJECTED", key=KEYS["anna"])
    _, seeded = await real_and_seeded(gateway, 2)
    page = await (await person(running)).new_page()
    await sign_in(page, gateway, "anna", path=f"/desk/cases/{seeded}")
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#done").wait_for()
    said = await page.locator("main").inner_text()
    assert "It was made to see whether people look" in said and WHY in said
    assert status_of(gateway, seeded) == "DENIED"
    actions = [
        action
        for (action,) in rows(gateway, "SELECT action FROM ledger WHERE case_id = ? ORDER BY seq", seeded)
    ]
    assert actions == [
        "decide.seeded",
        "assess.scored",
        "decide.review_requested",
        "decide.approved",
        "decide.revealed",
    ]
    again = await gateway.decide(seeded, key=KEYS["anna"])
    assert again.status_code == 200 and status_of(gateway, seeded) == "DENIED"
    [line] = [
        line
        for line in (await read(gateway, "/cases?status=DENIED")).json()["cases"]
        if line["case_id"] == seeded
    ]
    assert line["is_seeded"]
    after = await figures(gateway)
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


async def test_no_agent_sees_it_and_the_same_call_of_an_agent_is_its_own(gateway: GatewayProcess) -> None:
    """The seeded one gives way."""
    _, seeded = await real_and_seeded(gateway, 3)
    async with gateway.agent(AGENT) as agent:
        asked = await outcome(agent, seeded, wait_seconds=0)
        assert asked.is_error and "You have no call with the reference" in text_of(asked)
        listed = await agent.list_resources()
        assert seeded not in " ".join(str(resource.uri) for resource in listed)
        said = {"beneficiary_id": "BEN-999", "days": 30, "reason": "illness"}
        own = reference_in(await call(agent, "request_extension", **said))
    assert own != seeded and status_of(gateway, seeded) == "EXPIRED"
    assert (await gateway.decide(own, key=KEYS["anna"])).status_code == 200
    await eventually(lambda: _is(gateway, own, "EXECUTED"))


async def test_the_terminal_says_that_it_was_seeded(gateway: GatewayProcess) -> None:
    """After the decision, with why."""
    _, seeded = await real_and_seeded(gateway, 4)
    told = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "atlas.cases", "reject", seeded, "--url", gateway.url, "--as", "anna"],
        cwd=gateway.directory,
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0 and told.stdout.strip().endswith(WHY), told.stderr


async def test_among_many_it_is_revealed_too(gateway: GatewayProcess) -> None:
    """By the webhook of many and on the page of the inbox: neither says only that it was rejected."""
    headers = {"Authorization": f"Bearer {KEYS['anna']}"}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers=headers, base_url=gateway.url) as client:
        _, seeded = await real_and_seeded(gateway, 6)
        said = {"event_id": seeded, "decision": "REJECTED", "reason": "There is no such person"}
        [result] = (await client.post("/webhook/approvals", json={"decisions": [said]})).json()["results"]
        assert result["status"] == 200 and result["revealed"].endswith(WHY)
        _, seeded = await real_and_seeded(gateway, 7)
        seen = (await client.get(f"/cases/{seeded}")).json()["seen_sha256"]
        form = {"case": f"{seeded}:1:{seen}", "verdict": "REJECTED", "confirmed": "yes", "reason": "No"}
        page = await client.post("/desk/together", data=form)
        assert page.status_code == 200 and WHY in page.text


async def _is(gateway: GatewayProcess, case_id: str, status: str) -> bool:
    return status_of(gateway, case_id) == status


def judged_by_policy(made: ToolCall, **fields: Any) -> Assessment:
    """What the policy says of a call whose tool is there."""
    return assessment_of(made, **fields).model_copy(update={"definition_sha256": "a" * 64})


async def seeded_in(store: Any, *, seconds: float = 3600) -> Case:
    made = tool_call("pay", principal="billing-bot", amount=7)
    judged: Assessment = judged_by_policy(made)
    case = await store.database.write(
        lambda connection: seed(connection, made, judged, why="bad", timeout=timedelta(seconds=seconds))
    )
    assert case is not None and case.is_seeded and case.status is Status.PENDING_REVIEW
    return case


async def test_no_transition_leads_to_an_execution(tmp_path: Path) -> None:
    """Also where a fault would ask for one; and without an admission the last check refuses it too."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store)
        with pytest.raises(TransitionRefused):
            await store.database.write(lambda connection: transition(connection, case, Status.AUTHORIZED))
        authorized = case.model_copy(update={"status": Status.AUTHORIZED})
        with pytest.raises(TransitionRefused):
            await store.database.write(
                lambda connection: transition(connection, authorized, Status.EXECUTING)
            )
        admitted = await store.database.read(
            lambda connection: ledger.find(connection, case.case_id, ledger.Action.ADMITTED)
        )
        assert admitted is None


async def test_it_expires_like_others_and_is_no_call_of_an_agent_in_the_figures(tmp_path: Path) -> None:
    """Its end is a refusal, and is revealed."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store, seconds=-1)
        assert (await FiguresKept(store.database).of(7)).all.calls == 1
        [ended] = await store.database.write(expire_overdue)
        assert ended.status is Status.EXPIRED and ended.outcome is not None
        assert "bad" in (ended.outcome.detail or "")
        assert await store.database.write(expire_overdue) == []
        assert (await FiguresKept(store.database).of(7)).all.calls == 0
        assert (await store.read(case.case_id)).finished_at is not None


async def test_one_that_waits_stays_when_the_same_call_is_to_be_seeded_again(tmp_path: Path) -> None:
    """A person may look at it, and no agent has made it."""
    async with open_store(tmp_path) as store:
        case = await seeded_in(store)
        again = await store.database.write(
            lambda connection: seed(
                connection, case.call, judged_by_policy(case.call), why="bad", timeout=timedelta(hours=1)
            )
        )
        assert again is None
        assert (await store.read(case.case_id)).status is Status.PENDING_REVIEW


async def test_the_same_call_that_waits_is_not_seeded_beside_it(tmp_path: Path) -> None:
    """Nor one that the policy denies or lets pass: a call that waits all the same would be known by that."""
    async with open_store(tmp_path) as store:
        made = tool_call("pay", principal="billing-bot", amount=7)
        await store.database.write(lambda connection: insert_case(connection, made))
        judged = judged_by_policy(made)
        for call_made, ruled in (
            (made, judged),
            (tool_call("pay", amount=8), judged_by_policy(made, is_denied=True)),
            (tool_call("pay", amount=9), judged_by_policy(made, risk_score=10)),
        ):
            none = await store.database.write(
                lambda connection, call_made=call_made, ruled=ruled: seed(
                    connection, call_made, ruled, why="bad", timeout=timedelta(hours=1)
                )
            )
            assert none is None
