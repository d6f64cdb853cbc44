"""Many at once: reject always; approve only alike calls of which no rule asks more."""

import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from desk_browser import faults_of, person
from desk_office import AGENTS, KEYS, extension, modification, sign_in
from gateway_process import GatewayProcess, call, eventually, reference_in, status_of
from kept import change_in, refuse_inserts, without_trigger
from playwright.async_api import Browser, Locator, Page, expect
from store import assessment_of, open_case, open_store, tool_call

from atlas.models import Assessment
from atlas.review_rules import ReviewRules
from atlas.reviews.together import why_alone

POLICY = """
together_below = 80

[[rule]]
tool = "check_status"
score = 5

[[rule]]
tool = "request_extension"
score = 75
classification = "high risk"

[[rule]]
tool = "request_extension"
when = "args.days > 200"
approvals = 2

[[rule]]
tool = "request_extension"
when = "args.days > 300"
may_edit = ["days"]

[[rule]]
tool = "modify_welfare_record"
score = 95
"""
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for this module."""
    directory = tmp_path_factory.mktemp("many")
    (directory / "policy.toml").write_text(POLICY)
    process = GatewayProcess(
        directory,
        ATLAS_AGENT_KEY=",".join(f"{name}:{key}" for name, key in AGENTS.items()),
        ATLAS_REVIEWER_KEY=",".join(f"{name}:{key}" for name, key in KEYS.items()),
        ATLAS_POLICY=str(directory / "policy.toml"),
    )
    await process.start()
    yield process
    await process.kill()


def client(gateway: GatewayProcess, name: str = "anna") -> httpx.AsyncClient:
    """The program of a person."""
    headers = {"Authorization": f"Bearer {(KEYS | AGENTS)[name]}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60)


async def seen(gateway: GatewayProcess, case_id: str) -> str:
    """What an approval of a case carries, as the list has it, which is what the case itself has."""
    async with client(gateway) as program:
        whole = (await program.get(f"/cases/{case_id}")).json()["seen_sha256"]
        listed = (await program.get("/cases", params={"q": case_id})).json()["cases"]
    assert listed[0]["seen_sha256"] == whole
    return str(whole)


async def post(gateway: GatewayProcess, *decisions: dict[str, Any], key: str | None = None) -> list[Any]:
    """The results of many decisions."""
    headers = {"Idempotency-Key": key} if key else {}
    async with client(gateway) as program:
        answer = await program.post("/webhook/approvals", json={"decisions": decisions}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


async def approvals(gateway: GatewayProcess, case_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Approvals of what is shown now."""
    said = {"decision": "APPROVED"}
    return [said | {"event_id": one, "seen_sha256": await seen(gateway, one)} for one in case_ids]


async def test_alike_calls_are_approved_in_one_go_and_the_same_again_is_a_success(
    office: GatewayProcess,
) -> None:
    """One result a case, under one idempotency key."""
    refs = [await extension(office, 10 + number) for number in range(3)]
    many = await approvals(office, refs)
    for _ in range(2):
        results = await post(office, *many, key="the same request")
        assert [(one["event_id"], one["status"]) for one in results] == [(ref, 200) for ref in refs]


async def test_of_a_mixed_list_no_call_is_approved_and_the_rejections_count(office: GatewayProcess) -> None:
    """Another tool, or another agent, is not alike."""
    mine, other = await extension(office, 20), await extension(office, 20, agent="letter-bot")
    changed, refused = await modification(office, monthly_amount_eur=20), await extension(office, 21)
    many = await approvals(office, [mine, other, changed])
    results = await post(office, *many, {"decision": "REJECTED", "event_id": refused, "reason": "No."})
    assert [one["status"] for one in results] == [403, 403, 403, 200]
    assert "not alike" in results[0]["detail"]
    assert [status_of(office, ref) for ref in (mine, other, changed, refused)] == [
        *("PENDING_REVIEW",) * 3,
        "REJECTED",
    ]


async def test_a_call_that_a_rule_asks_more_of_is_approved_alone_only(office: GatewayProcess) -> None:
    """Nor above the ceiling, nor without what was shown; the refusal is in the ledger."""
    two, high = await extension(office, 201), await modification(office, monthly_amount_eur=30)
    for ref, said in ((two, "asks for 2 approvals"), (high, "is not below 80")):
        [result] = await post(office, *await approvals(office, [ref]))
        assert (result["status"], result["error"]) == (403, "RuleRefuses") and said in result["detail"]
        async with client(office) as program:
            timeline = (await program.get(f"/cases/{ref}")).json()["timeline"]
        assert timeline[-1]["detail"]["rule"] == "together_below"
    blind = await extension(office, 31)
    [result] = await post(office, {"decision": "APPROVED", "event_id": blind})
    assert result["status"] == 403 and "seen_sha256" in result["detail"]


async def test_what_changed_since_it_was_shown_is_refused_and_the_others_go_on(
    office: GatewayProcess,
) -> None:
    """So is what is not there, and what was decided the other way."""
    refs = [await extension(office, 40 + number) for number in range(3)]
    many = await approvals(office, refs)
    many[0]["seen_sha256"] = "0" * 64
    assert (await office.decide(refs[1], "REJECTED", key=KEYS["ben"])).status_code == 200
    missing = {"decision": "REJECTED", "event_id": "evt_" + "0" * 16}
    results = await post(office, *many, missing)
    assert [one["status"] for one in results] == [409, 409, 200, 404]
    assert [one.get("error") for one in results] == ["CallChanged", "ContraryDecision", None, "CaseNotFound"]


async def test_where_the_store_fails_between_two_decisions_each_is_told_what_became_of_it(
    office: GatewayProcess,
) -> None:
    """Right: the first is on record, the others are not, and the same request is sent again. Wrong: 503
    "nothing was changed" for all of them, one of which is recorded and runs."""
    refs = [await extension(office, 110 + number) for number in range(3)]
    many = await approvals(office, refs)
    for statement in refuse_inserts("decisions", when=f"NEW.case_id = '{refs[1]}'"):
        change_in(office.data, statement)
    results = await post(office, *many, key="a full disk")
    assert [(one["status"], one.get("error")) for one in results] == [
        (200, None),
        (503, "StoreUnavailable"),
        (503, "StoreUnavailable"),
    ]
    assert "nothing was changed" in results[1]["detail"]
    assert [status_of(office, ref) for ref in refs[1:]] == ["PENDING_REVIEW", "PENDING_REVIEW"]
    change_in(office.data, without_trigger("decisions_full", "decisions"))
    results = await post(office, *many, key="a full disk")
    assert [one["status"] for one in results] == [200, 200, 200]


async def test_an_agent_and_a_stranger_decide_on_nothing(office: GatewayProcess) -> None:
    """The list is for reviewers."""
    ref = await extension(office, 50)
    body = {"decisions": [{"decision": "REJECTED", "event_id": ref}]}
    async with client(office, "billing-bot") as program:
        assert (await program.post("/webhook/approvals", json=body)).status_code == 403
    async with httpx.AsyncClient(base_url=office.url, timeout=60) as program:
        assert (await program.post("/webhook/approvals", json=body)).status_code == 401
    assert status_of(office, ref) == "PENDING_REVIEW"


async def terminal(gateway: GatewayProcess, *said: str) -> tuple[int, str]:
    """What the command prints, and its status."""
    shell = gateway.environment | {"ATLAS_REVIEWER_KEY": f"anna:{KEYS['anna']}"}
    done = await ran_beside("atlas.cases", *said, "--url", gateway.url, environment=shell)
    return done.returncode, done.stdout + done.stderr


async def test_a_terminal_rejects_several_with_one_reason(office: GatewayProcess) -> None:
    """One line a case; without a reason none is rejected."""
    refs = [await extension(office, 60 + number) for number in range(2)]
    assert (await terminal(office, "reject", *refs))[0] == 2
    assert status_of(office, refs[0]) == "PENDING_REVIEW"
    missing = "evt_" + "1" * 16
    status, said = await terminal(office, "reject", *refs, missing, "--reason", "A duplicate.")
    assert status == 1 and said.splitlines()[:2] == [f"{ref} is rejected." for ref in refs]
    assert f"{missing}: There is no case" in said
    assert [status_of(office, ref) for ref in refs] == ["REJECTED", "REJECTED"]


async def check(box: Locator) -> None:
    """Choose a call, also where a live update comes in the middle of a click."""

    async def is_checked() -> bool:
        if not await box.is_checked():
            await box.click()
        return await box.is_checked()

    await eventually(is_checked)


async def unfold(page: Page) -> None:
    """Open every group of alike calls."""
    for group in await page.locator("li.group > details").all():
        if await group.get_attribute("open") is None:
            await group.locator("> summary").click()


@pytest.mark.parametrize("scripts", [True, False])
async def test_at_the_desk_a_person_chooses_several_and_decides_them_together(
    office: GatewayProcess,
    running: Browser,
    *,
    scripts: bool,
) -> None:
    """With and without a script; each has its result, and what has to be looked at alone stays."""
    base = 70 if scripts else 80
    refs = [await extension(office, base + number) for number in range(2)]
    alone = await extension(office, 200 + base)
    page = await (await person(running, scripts=scripts)).new_page()
    await sign_in(page, office, path="/desk?whose=all&agent=billing-bot")

    async def choose(*chosen: str) -> None:
        await page.goto(f"{office.url}/desk?whose=all&agent=billing-bot")
        await unfold(page)
        for ref in chosen:
            await check(page.locator(f"li#{ref}").get_by_role("checkbox"))

    await choose(*refs)
    await page.get_by_role("button", name="Approve… the chosen calls").click()
    await expect(page.locator("h1")).to_contain_text("Approve 2 calls?")
    assert not scripts or await faults_of(page) == []
    await page.get_by_role("button", name="Approve all 2").click()
    await expect(page.locator("h1")).to_contain_text("2 of 2 approved")
    await choose(alone)
    await page.get_by_role("button", name="Approve… the chosen calls").click()
    await expect(page.locator("main")).to_contain_text("asks for 2 approvals")
    await expect(page.locator("form.card button")).to_have_count(0)
    await choose(alone)
    await page.get_by_role("button", name="Reject… the chosen calls").click()
    await page.get_by_label("Reason").fill("A duplicate.")
    await page.get_by_role("button", name="Reject it").click()
    await expect(page.locator("h1")).to_contain_text("1 of 1 rejected")
    await extension(office, base + 2)  # which no one chooses
    await page.goto(f"{office.url}/desk?whose=all")
    await page.get_by_role("button", name="Reject… the chosen calls").click()
    await expect(page.get_by_role("alert")).to_contain_text("Choose calls in the inbox first")
    assert status_of(office, alone) == "REJECTED"
    assert {status_of(office, ref) for ref in refs} <= {"AUTHORIZED", "EXECUTING", "EXECUTED"}


def padded(days: int, length: int) -> dict[str, Any]:
    """Arguments of which an agent puts a long and harmless one first."""
    return {"beneficiary_id": f"BEN-123 {'as always ' * (length // 10)}", "days": days, "reason": "illness"}


async def test_no_argument_hides_behind_a_long_one_before_many_are_approved(
    office: GatewayProcess, running: Browser
) -> None:
    """Each call is shown whole, what differs is marked, and one that is too long is decided alone."""
    refs = []
    async with office.agent(AGENTS["billing-bot"]) as agent:
        for days, length in ((111, 300), (112, 300), (199, 300), (113, 4_000)):
            said = await call(agent, "request_extension", **padded(days, length))
            refs.append(reference_in(said))
    page = await (await person(running)).new_page()
    await sign_in(page, office, path="/desk?whose=all&agent=billing-bot")
    await unfold(page)
    await expect(page.locator(f"li#{refs[2]} .glimpse")).to_contain_text("…, days: 199")
    await expect(page.locator(f"li#{refs[3]} .glimpse")).to_contain_text("too long for a list")
    for ref in refs:
        await check(page.locator(f"li#{ref}").get_by_role("checkbox"))
    await page.get_by_role("button", name="Approve… the chosen calls").click()
    await expect(page.locator("h1")).to_contain_text("Approve 3 calls?")
    lines = page.locator(".chosen > li")
    for index, days in enumerate((111, 112, 199)):
        await expect(lines.nth(index).locator(".differs .value")).to_have_text([str(days)])
        await expect(lines.nth(index)).to_contain_text(padded(days, 300)["beneficiary_id"])
    await expect(lines.nth(3)).to_contain_text("Stays in the inbox: its arguments are too long")
    assert await faults_of(page) == []
    await page.get_by_role("button", name="Approve all 3").click()
    await expect(page.locator("h1")).to_contain_text("3 of 3 approved")
    [refused] = await post(office, *await approvals(office, refs[3:]))
    assert (refused["status"], refused["error"]) == (403, "RuleRefuses") and "too long" in refused["detail"]
    assert status_of(office, refs[3]) == "PENDING_REVIEW"


async def test_a_chosen_call_stays_chosen_when_its_line_is_updated(
    office: GatewayProcess, running: Browser
) -> None:
    """Another person looks at it, and its line says so."""
    ref = await extension(office, 95)
    page = await (await person(running)).new_page()
    await sign_in(page, office, path="/desk?whose=all&agent=billing-bot")
    await unfold(page)
    line = page.locator(f"li#{ref}")
    await check(line.get_by_role("checkbox"))
    other = await (await person(running)).new_page()
    await sign_in(other, office, "ben", path=f"/desk/cases/{ref}")
    await line.get_by_text("looks at it").wait_for()
    await expect(line.get_by_role("checkbox")).to_be_checked()
    alike = await extension(office, 96)
    await page.locator(f"li#{alike}").wait_for(state="attached")
    await expect(line.get_by_role("checkbox")).to_be_checked()


async def test_a_chosen_call_that_another_person_changes_is_not_chosen_any_more(
    office: GatewayProcess,
    running: Browser,
) -> None:
    """Else a person would approve what they have not seen."""
    ref = await extension(office, 301)
    page = await (await person(running)).new_page()
    await sign_in(page, office, path="/desk?whose=all&agent=billing-bot")
    box = page.locator(f"li#{ref}").get_by_role("checkbox")
    await unfold(page)
    await check(box)
    changed = {"beneficiary_id": "BEN-123", "days": 302, "reason": "illness"}
    answer = await office.decide(ref, key=KEYS["ben"], arguments=changed)
    assert answer.json()["approvals"] == {"given": 1, "needed": 2}, answer.text
    await expect(box).to_have_value(re.compile(f"^{ref}:2:"))
    await expect(box).not_to_be_checked()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"needs_passkey": True}, "passkey"),
        ({"is_separate": True}, "separate"),
        ({"trainings": ("benefits",)}, "training"),
        ({"reason_from": 50}, "reason"),
        ({"reason_from": 90}, None),
        ({"hides_score": True}, "first choice"),
        ({"min_seconds": 3}, "time to look"),
    ],
)
async def test_what_keeps_a_call_apart(tmp_path: Path, fields: dict[str, Any], said: str | None) -> None:
    """All that a rule asks of the person beside a yes."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
    judged: Assessment = assessment_of(case.call, 75, review=ReviewRules(**fields))
    reason = why_alone(case.model_copy(update={"assessment": judged}), below=80)
    assert (reason is None) if said is None else (said in str(reason))
    assert why_alone(case.model_copy(update={"assessment": judged}), below=0) is not None


@pytest.mark.parametrize(("count", "is_apart"), [(90, False), (110, True)])
async def test_a_call_with_very_many_values_is_looked_at_alone(
    tmp_path: Path, count: int, is_apart: bool
) -> None:
    """They are few bytes and many lines, and a page has two hundred calls."""
    async with open_store(tmp_path) as store:
        case = await open_case(store, tool_call("pay", values=[1] * count))
    judged = assessment_of(case.call, 75)
    reason = why_alone(case.model_copy(update={"assessment": judged}), below=80)
    assert (reason is not None and "too long" in reason) is is_apart
