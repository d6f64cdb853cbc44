"""Plans: a person approves a bounded set of calls beforehand, at the desk, over HTTP and in a terminal."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from desk_browser import faults_of, person
from desk_office import AGENTS, KEYS, sign_in
from gateway_process import GatewayProcess, call, eventually, outcome, output_of, reference_in, text_of
from kept import entries_in, store_by_hand
from nursery import ROOT, quick_python
from playwright.async_api import Browser, expect
from shifted_clock import set_clock

from atlas import ledger
from atlas.instants import instant_text, now

POLICY = """
together_below = 80

[[rule]]
tool = "check_status"
score = 5

[[rule]]
tool = "request_extension"
score = 75

[[rule]]
tool = "request_extension"
when = "args.days > 300"
deny = true

[[rule]]
tool = "request_payment_extension"
score = 80
floor = 70
plans = true

[[rule]]
tool = "modify_welfare_record"
score = 95
floor = 70
"""
EXTENSION = "request_extension"


def gateway_with(directory: Path, policy: str = POLICY, **more: Any) -> GatewayProcess:
    """A gateway with two agents and two reviewers, which is not started yet."""
    path = directory / "policy.toml"
    path.write_text(policy)
    settings = {
        "ATLAS_AGENT_KEY": ",".join(f"{name}:{key}" for name, key in AGENTS.items()),
        "ATLAS_REVIEWER_KEY": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
        "ATLAS_POLICY": str(path),
    }
    return GatewayProcess(directory, **(settings | more))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for the tests of this module that do not end it."""
    directory = tmp_path_factory.mktemp("plans")
    process = gateway_with(directory, ATLAS_AGENT_OWNERS="letter-bot:ben")
    await process.start()
    yield process
    await process.kill()


def people(gateway: GatewayProcess, name: str = "anna") -> httpx.AsyncClient:
    """The program of a person."""
    headers = {"Authorization": f"Bearer {(KEYS | AGENTS)[name]}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60)


async def make(gateway: GatewayProcess, name: str = "anna", **more: Any) -> httpx.Response:
    """Ask for a plan."""
    usual: dict[str, Any] = {"tool": EXTENSION, "most_calls": 3, "reason": "The flood of this week."}
    usual["ends_at"] = instant_text(now() + timedelta(hours=1))
    async with people(gateway, name) as client:
        return await client.post("/plans", json=usual | more)


async def made(gateway: GatewayProcess, name: str = "anna", **more: Any) -> str:
    """The id of a new plan."""
    answer = await make(gateway, name, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["plan_id"])


async def stop(gateway: GatewayProcess, *plan_ids: str, name: str = "anna") -> None:
    """Stop plans, so that they let no call of another test pass."""
    async with people(gateway, name) as client:
        for plan_id in plan_ids:
            assert (await client.post(f"/plans/{plan_id}/stop")).is_success


async def ask(gateway: GatewayProcess, agent: str = "billing-bot", tool: str = EXTENSION, **said: Any) -> Any:
    """A call of an agent."""
    usual = {"beneficiary_id": "BEN-123", "reason": "illness"}
    async with gateway.agent(AGENTS[agent]) as client:
        return await call(client, tool, **(usual | said))


def passed(result: Any) -> bool:
    """Whether the tool has answered."""
    return "PENDING REVIEW" not in text_of(result) and not result.is_error


async def standing(gateway: GatewayProcess, plan_id: str) -> dict[str, Any]:
    """A plan as the list has it."""
    async with people(gateway) as client:
        listed = (await client.get("/plans")).json()["plans"]
    return next(one for one in listed if one["plan"]["plan_id"] == plan_id)


def reason_of_review(gateway: GatewayProcess, case_id: str) -> str:
    """Why the ledger says that a call was put before a person."""
    entries = entries_in(gateway.data)
    found = [
        one for one in entries if one["case_id"] == case_id and one["action"] == "decide.review_requested"
    ]
    return str(found[-1]["detail"]["reason"])


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_call_that_fits_a_plan_passes_and_says_whose_plan_it_was(office: GatewayProcess) -> None:
    """To the agent, over HTTP, and in the ledger; one that does not fit waits for a person."""
    plan = await made(office, condition="args.days <= 14 && args.reason == 'flood'", agent="billing-bot")
    assert passed(await ask(office, days=7, reason="flood"))
    waits = await ask(office, days=15, reason="flood")
    assert f"The plan {plan} does not let it pass: its condition does not hold" in reason_of_review(
        office, reference_in(waits)
    )
    now_standing = await standing(office, plan)
    assert now_standing["plan"]["used"] == 1 and now_standing["is_in_force"]
    [case_id] = now_standing["calls"]
    async with people(office) as client:
        case = (await client.get(f"/cases/{case_id}")).json()
    assert (case["plan"]["plan_id"], case["plan"]["made_by"]) == (plan, "anna")
    assert case["decision"] is None and case["status"] == "EXECUTED"
    async with people(office) as client:
        history = (await client.get("/cases", params={"q": case_id})).json()["cases"]
    assert [line["plan_by"] for line in history] == ["anna"]
    used = next(one for one in case["timeline"] if one["action"] == "decide.plan_used")["detail"]
    assert (used["made_by"], used["use"], used["of"]) == ("anna", 1, 3)
    async with office.agent(AGENTS["billing-bot"]) as agent:
        told = await outcome(agent, case_id)
    assert told.structured_content["plan"] == {"plan_id": plan, "made_by": "anna"}
    await stop(office, plan)


async def test_of_many_calls_at_once_no_more_than_n_pass(office: GatewayProcess) -> None:
    """However they race, the rest waits for a person."""
    plan = await made(office, condition="args.days > 100 && args.days < 200", most_calls=5)
    answers = await asyncio.gather(*(ask(office, days=101 + number) for number in range(12)))
    assert sum(map(passed, answers)) == 5
    waits = next(answer for answer in answers if not passed(answer))
    assert "is used up: it let 5 calls pass" in reason_of_review(office, reference_in(waits))
    assert (await standing(office, plan))["why_not"] == "It is used up."


@pytest.mark.parametrize(
    "condition",
    [
        "args.amount < 100",  # no such argument
        "args.days < 'x'",  # another kind
        "args.documents.all(d, size(d) > 0)",  # left out by the agent
    ],
)
async def test_a_condition_that_cannot_be_evaluated_lets_nothing_pass(
    office: GatewayProcess, condition: str
) -> None:
    """A person decides, and reads why."""
    plan = await made(office, condition=condition)
    waits = await ask(office, days=20, reason=condition)
    assert "cannot be evaluated" in reason_of_review(office, reference_in(waits))
    await stop(office, plan)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("args.days <", "ends too early"),
        ("arguments.days < 3", 'names "arguments"'),
        ("session.calls('pay') < 3", "knows the arguments alone"),
        ("intent == 'good'", "knows the arguments alone"),
        ("'yes'", "is never true or false"),
        ("[0, 0].reduce(all, each, 'aa', all + all) == 'a'", "uses reduce()"),
        ("!" * 1900 + "true", "nested too deeply"),
    ],
)
async def test_a_condition_that_is_wrong_or_not_about_the_arguments_makes_no_plan(
    office: GatewayProcess, condition: str, said: str
) -> None:
    """Before any call."""
    answer = await make(office, condition=condition)
    assert answer.status_code == 422 and said in answer.json()["detail"]


@pytest.mark.parametrize(
    "look_alike", ["billing-b\u043et", "Billing-Bot", "billing-bot ", "billing-bot\u200b"]
)
async def test_a_plan_for_a_name_that_only_looks_like_an_agents_is_refused(
    office: GatewayProcess, look_alike: str
) -> None:
    """Names are compared as they are written, and the answer says which there are."""
    answer = await make(office, agent=look_alike)
    assert answer.status_code == 422 and "Agents: " in answer.json()["detail"]
    assert not passed(await ask(office, days=30, reason=look_alike))


async def test_what_is_denied_or_has_a_floor_stays_out_unless_the_rule_says_plans(
    office: GatewayProcess,
) -> None:
    """A denied call is denied under a plan as well."""
    plan = await made(office, most_calls=9)
    assert "DENIED" in text_of(await ask(office, days=301))
    refused = await make(office, tool="modify_welfare_record")
    assert refused.status_code == 422 and "plans = true" in refused.json()["detail"]
    unknown = await make(office, tool="no_such_tool")
    assert unknown.status_code == 422 and "There is no tool" in unknown.json()["detail"]
    with_floor = await made(office, tool="request_payment_extension")
    assert passed(await ask(office, tool="request_payment_extension"))
    await stop(office, plan, with_floor)


async def test_the_owner_of_an_agent_makes_no_plan_for_it_and_none_of_theirs_counts(
    office: GatewayProcess,
) -> None:
    """Nor one for every agent, where the call is the agent's own."""
    refused = await make(office, "ben", agent="letter-bot")
    assert refused.status_code == 403 and "No plan was made" in refused.json()["detail"]
    plan = await made(office, "ben")
    assert passed(await ask(office, days=40))
    waits = await ask(office, "letter-bot", days=40)
    assert "owns the agent letter-bot" in reason_of_review(office, reference_in(waits))
    await stop(office, plan)


async def test_an_agent_can_make_list_and_stop_no_plan(office: GatewayProcess) -> None:
    """With its key it is told that it is an agent; without any key it is told to sign in."""
    plan = await made(office)
    assert (await make(office, "billing-bot")).status_code == 403
    async with people(office, "billing-bot") as client:
        assert (await client.get("/plans")).status_code == 403
        assert (await client.post(f"/plans/{plan}/stop")).status_code == 403
    async with httpx.AsyncClient(base_url=office.url, timeout=60) as client:
        assert (await client.get("/plans")).status_code == 401
    assert (await standing(office, plan))["is_in_force"]
    await stop(office, plan)


@pytest.mark.parametrize(
    "wrong",
    [
        {"most_calls": 0},
        {"most_calls": 1001},
        {"reason": " "},
        {"ends_at": instant_text(now() + timedelta(days=31))},
        {"ends_at": instant_text(now() - timedelta(seconds=1))},
    ],
)
async def test_a_plan_has_bounds(office: GatewayProcess, wrong: dict[str, Any]) -> None:
    """In number, in time, and with a reason."""
    assert (await make(office, **wrong)).status_code == 422


async def test_a_stop_covers_planned_calls_as_others(office: GatewayProcess) -> None:
    """Nothing of the tool is taken while it holds."""
    plan = await made(office)
    async with people(office) as client:
        stopped = await client.post("/stops", json={"scope": "tool", "target": EXTENSION, "reason": "Wait."})
        answer = await ask(office, days=50)
        assert not passed(answer) and (await standing(office, plan))["plan"]["used"] == 0
        lift = await client.post(f"/stops/{stopped.json()['stop_id']}/lift", json={"reason": "Go on."})
    assert lift.is_success and passed(await ask(office, days=51))
    await stop(office, plan)


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_person_makes_and_stops_a_plan_at_the_desk(
    office: GatewayProcess, running: Browser, *, scripts: bool
) -> None:
    """One click stops it, without a script too; the page says what is used up and which calls passed."""
    days = 61 if scripts else 62
    page = await (await person(running, scripts=scripts)).new_page()
    await sign_in(page, office, path="/desk/plans")
    await page.get_by_label("Tool").fill(EXTENSION)
    await page.get_by_label("Condition").fill("args.days <")
    await page.get_by_label("Reason").fill("The desk is full.")
    await page.get_by_role("button", name="Approve beforehand").click()
    await expect(page.get_by_role("alert")).to_contain_text("ends too early")
    await expect(page.get_by_label("Reason")).to_have_value("The desk is full.")
    await page.get_by_label("Condition").fill(f"args.days == {days}")
    await page.get_by_role("button", name="Approve beforehand").click()
    plan = await page.locator("li.card h3").first.inner_text()
    assert passed(await ask(office, days=days))
    await page.reload()
    card = page.locator(f"li#{plan}")
    assert "1 of 10" in await card.inner_text() and "The desk is full." in await card.inner_text()
    await card.locator("a.mono").click()
    await expect(page.locator("main")).to_contain_text(f"plan {plan} of anna let it pass")
    await page.goto(f"{office.url}/desk/plans")
    assert not scripts or await faults_of(page) == []  # which is a script itself
    await page.locator(f"li#{plan}").get_by_role("button", name="Stop").click()
    await expect(page.locator(f"li#{plan}")).to_contain_text("anna stopped it.")
    assert not passed(await ask(office, days=days, reason="again"))


async def terminal(gateway: GatewayProcess, *said: str) -> str:
    """What the command prints."""
    environment = gateway.environment | {"ATLAS_REVIEWER_KEY": f"anna:{KEYS['anna']}"}
    process = await asyncio.create_subprocess_exec(
        *(quick_python(), "-m", "atlas.plans", *said, "--url", gateway.url),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await output_of(process, seconds=60)


async def test_a_person_makes_lists_and_stops_a_plan_in_a_terminal(office: GatewayProcess) -> None:
    """The same plan that the other ways have."""
    bounds = ("--when", "args.days == 71", "--calls", "2", "--for", "8h", "--reason", "A flood.")
    said = await terminal(office, "make", EXTENSION, *bounds)
    plan = said.split()[0]
    assert "lets 2 calls pass until" in said and passed(await ask(office, days=71))
    [line] = [line for line in (await terminal(office, "list")).splitlines() if plan in line]
    assert "1 of 2 used" in line and "in force" in line and "by anna" in line
    assert await terminal(office, "stop", plan) == f"{plan} is stopped, by anna.\n"
    assert not passed(await ask(office, days=71, reason="again"))


@pytest.mark.sqlite(
    "with PostgreSQL another file at a start is not in force: tests/acceptance/test_one_policy.py"
)
async def test_a_plan_holds_over_a_restart_and_not_under_another_policy_or_after_its_time(
    tmp_path: Path,
) -> None:
    """The clock that is moved ends it; so does the policy file when it is edited."""
    clock = tmp_path / "clock"
    set_clock(clock)
    script = ROOT / "tests" / "crash" / "crash_gateway.py"
    places = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "support")))
    gateway = gateway_with(tmp_path, ATLAS_TEST_CLOCK=str(clock), PYTHONPATH=places)
    gateway.script = script
    await gateway.start()
    try:
        plan = await made(gateway, most_calls=3)
        assert passed(await ask(gateway, days=7))
        await gateway.kill()
        await gateway.start()
        assert passed(await ask(gateway, days=8)) and (await standing(gateway, plan))["plan"]["used"] == 2
        set_clock(clock, hours=2)
        assert not passed(await ask(gateway, days=9))
        assert (await standing(gateway, plan))["why_not"] == "Its time is over."
        set_clock(clock)
        (tmp_path / "policy.toml").write_text(POLICY + "\n# edited\n")
        await gateway.kill()
        await gateway.start()
        waits = await ask(gateway, days=10)
        assert "under another policy" in reason_of_review(gateway, reference_in(waits))
    finally:
        await gateway.kill()


@pytest.mark.parametrize(
    "moment", ["before atlas.execute Execution._claim", "after atlas.decide decide_by_score"]
)
async def test_a_kill_between_use_and_execution_loses_no_call_and_counts_none_twice(
    tmp_path: Path, moment: str
) -> None:
    """After the restart it is executed once, and the plan has one use."""
    gateway = gateway_with(tmp_path)
    await gateway.start()
    plan = await made(gateway, most_calls=1)
    await gateway.kill()
    gateway.script = ROOT / "tests" / "acceptance" / "mortal_gateway.py"
    await gateway.start(ATLAS_TEST_DIE=moment)
    with pytest.raises(Exception):  # noqa: B017  (any error that the client has of a gateway that died)
        await asyncio.wait_for(ask(gateway, days=7), 60)
    await eventually(lambda: _ended(gateway))
    gateway.script = ROOT / "gateway.py"
    await gateway.start()
    try:
        await eventually(lambda: _has(gateway, "EXECUTED"))
        assert (await standing(gateway, plan))["plan"]["used"] == 1
        entries = list(entries_in(gateway.data))
        actions = [entry["action"] for entry in entries]
        assert actions.count("decide.plan_used") == actions.count("execute.started") == 1
        assert ledger.verify(entries) == len(entries)
        assert not passed(await ask(gateway, days=8))
    finally:
        await gateway.kill()


async def _ended(gateway: GatewayProcess) -> bool:
    return gateway.has_ended


async def _has(gateway: GatewayProcess, status: str) -> bool:
    with closing(store_by_hand(gateway.data)) as connection:
        return connection.execute("SELECT 1 FROM cases WHERE status = ?", (status,)).fetchone() is not None
