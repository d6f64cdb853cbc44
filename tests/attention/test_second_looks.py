"""Rules against waving through: a hidden score, a typed reason, time to look; by each way to decide."""

import json
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import Ran, ran
from desk_browser import faults_of, person
from desk_office import KEYS, extension, office, sign_in
from gateway_process import WAIT_SECONDS, GatewayProcess, call, reference_in, status_of
from kept import store_by_hand
from playwright.async_api import Browser, Page, expect
from words import whole_words

from atlas.attention.reasons import bare, words_in
from atlas.instants import instant_text, read_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")
POLICY = """
[[rule]]
tool = "request_extension"
name = "hidden"
score = 83
classification = "very high risk"
rationale = "It takes long from the house."
hide_score = true

[[rule]]
tool = "request_payment_extension"
name = "reasoned"
score = 80
reason_from = 80

[[rule]]
tool = "modify_welfare_record"
name = "slow"
score = 75
min_seconds = 600
"""
NEW = [{"monthly_amount_eur": 500 + number} for number in range(4)]
TELLING = ("83 of 100", "very high risk", "It takes long from the house.")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway with one tool for each rule."""
    process = office(tmp_path_factory.mktemp("attention"), rules=POLICY)
    await process.start()
    yield process
    await process.kill()


async def asked(gateway: GatewayProcess, tool: str, **arguments: Any) -> str:
    """The reference of a call that waits."""
    async with gateway.agent("key-of-billing-bot-tests") as agent:
        return reference_in(await call(agent, tool, beneficiary_id="BEN-123", **arguments))


async def page_of(running: Browser, gateway: GatewayProcess, case_id: str, name: str = "anna") -> Page:
    page = await (await person(running)).new_page()
    await sign_in(page, gateway, name, path=f"/desk/cases/{case_id}")
    return page


async def read(gateway: GatewayProcess, path: str, name: str = "anna") -> httpx.Response:
    """What a person's program reads."""
    headers = {"Authorization": f"Bearer {KEYS[name]}"}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.get(gateway.url + path, headers=headers)
    assert answer.is_success, answer.text
    return answer


def in_terminal(gateway: GatewayProcess, *arguments: str) -> Ran:
    """A command of a reviewer."""
    words = (*arguments, "--url", gateway.url, "--as", "anna")
    return ran("atlas.cases", *words, environment=gateway.environment, directory=gateway.directory)


def seen_in_terminal(gateway: GatewayProcess, case_id: str) -> str:
    shown = in_terminal(gateway, "show", case_id)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.strip().rpartition(" ")[2]


def of_ledger(gateway: GatewayProcess, case_id: str, action: str) -> list[dict[str, Any]]:
    with closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT detail FROM ledger WHERE case_id = ? AND action = ? ORDER BY seq"
        return [json.loads(detail) for (detail,) in connection.execute(query, (case_id, action))]


def long_ago(gateway: GatewayProcess, case_id: str, table: str, column: str) -> None:
    """Move what is on record of a look to an hour ago, as if the person had taken that long."""
    with closing(store_by_hand(gateway.data)) as connection:
        of_case = (case_id,)
        found = connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE case_id = ?", of_case)
        for (at,) in found.fetchall():
            earlier = instant_text(read_instant(at) - timedelta(hours=1))
            this = f"UPDATE {table} SET {column} = ? WHERE case_id = ? AND {column} = ?"
            connection.execute(this, (earlier, case_id, at))
        connection.commit()


async def test_at_the_desk_the_score_is_shown_after_the_first_choice(
    running: Browser, gateway: GatewayProcess
) -> None:
    """Nothing on the page or in the inbox says it before; then the same person confirms."""
    case_id = await extension(gateway, 1)
    page = await page_of(running, gateway, case_id)
    said = await page.locator("main").inner_text() + await page.content()
    assert not [text for text in TELLING if text in said]
    await expect(page.locator(".score, .scale")).to_have_count(0)
    assert await faults_of(page) == []
    await page.goto(f"{gateway.url}/desk")
    line = page.locator(f'li[data-case="{case_id}"]')
    await expect(line).not_to_contain_text("very high")
    assert "83" not in whole_words(await line.locator(".score").all_inner_texts())
    await page.goto(f"{gateway.url}/desk/cases/{case_id}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("Your first choice is on record")
    await expect(page.get_by_role("alert")).to_contain_text("83 of 100")
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    now_said = " ".join((await page.locator("main").inner_text()).split())
    assert not [text for text in TELLING if text not in now_said]
    assert of_ledger(gateway, case_id, "decide.asked_again") == [
        {"rule": "hide_score", "said": "APPROVED", "round": 1}
    ]
    other = await page_of(running, gateway, case_id, "ben")
    await expect(other.locator(".score, .scale")).to_have_count(0)
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#done").wait_for()
    await expect(page.locator("#done")).to_contain_text("Your approval is recorded")


async def test_no_other_way_tells_the_hidden_score(gateway: GatewayProcess) -> None:
    """One case, the list, its order and its filter, the export, the terminal."""
    case_id = await extension(gateway, 2)
    one = (await read(gateway, f"/cases/{case_id}")).json()
    assert one["assessment"]["is_hidden"] and one["assessment"]["risk_score"] is None
    assert not [text for text in TELLING[1:] if text in json.dumps(one)]
    listed = (await read(gateway, "/cases?status=PENDING_REVIEW&score=100")).json()["cases"]
    assert [line["risk_score"] for line in listed if line["case_id"] == case_id] == [None]
    for path in ("/cases?status=PENDING_REVIEW&order=riskiest", "/cases?q=BEN-123", "/desk", "/desk/history"):
        waiting = (await read(gateway, path)).text.split(case_id)[1:]
        assert waiting and not [text for text in waiting if "very high risk" in text[:400]], path
    shown = in_terminal(gateway, "show", case_id)
    assert (
        shown.returncode == 0
        and "hidden: it is shown" in shown.stdout
        and "very high risk" not in shown.stdout
    )


async def test_a_program_confirms_only_what_it_has_seen_with_the_score(gateway: GatewayProcess) -> None:
    """The same approval posted again and again, with or without a key of its own, decides nothing."""
    case_id = await extension(gateway, 3)
    before = (await read(gateway, f"/cases/{case_id}")).json()["seen_sha256"]
    for more in (
        {"idempotency_key": "first", "seen_sha256": before},
        {"idempotency_key": "first", "seen_sha256": before},
        {"seen_sha256": before},
        {},
    ):
        answer = await gateway.decide(case_id, key=KEYS["anna"], **more)
        assert (answer.status_code, answer.json()["error"]) == (409, "AskedAgain"), answer.text
    assert "83 of 100" in answer.json()["detail"]
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    assert len(of_ledger(gateway, case_id, "decide.asked_again")) == 1
    now_seen = (await read(gateway, f"/cases/{case_id}")).json()
    assert now_seen["assessment"]["risk_score"] == 83 and now_seen["seen_sha256"] != before
    # Another person has not made a first choice by that, and could not have seen the score.
    answer = await gateway.decide(case_id, key=KEYS["ben"], seen_sha256=now_seen["seen_sha256"])
    assert answer.json()["error"] == "CallChanged"
    answer = await gateway.decide(case_id, key=KEYS["anna"], seen_sha256=now_seen["seen_sha256"])
    assert answer.status_code == 200


async def test_in_the_terminal_the_second_look_has_the_score(gateway: GatewayProcess) -> None:
    """The digest that `show` prints holds both times."""
    case_id = await extension(gateway, 4)
    first = in_terminal(gateway, "approve", case_id, "--seen", seen_in_terminal(gateway, case_id))
    assert first.returncode == 1 and "83 of 100" in first.stderr
    second = in_terminal(gateway, "approve", case_id, "--seen", seen_in_terminal(gateway, case_id))
    assert second.returncode == 0, second.stderr


async def test_a_rejection_counts_at_once(gateway: GatewayProcess) -> None:
    """Also where a rule asks much of approvals."""
    for case_id in (
        await extension(gateway, 5),
        await asked(gateway, "request_payment_extension", reason="a fifth"),
        await asked(gateway, "modify_welfare_record", changes=NEW[0]),
    ):
        assert (await gateway.decide(case_id, "REJECTED", key=KEYS["anna"])).status_code == 200
        assert status_of(gateway, case_id) == "REJECTED"


async def test_from_a_score_on_an_approval_needs_words_of_its_own(
    running: Browser, gateway: GatewayProcess
) -> None:
    """None, one word, and what was written for another call are refused with a sentence, by every way."""
    first = await asked(gateway, "request_payment_extension", reason="one")
    for reason in (None, "", "ok", "ok ok ok ok", "1 2 3 4 5", "…"):
        answer = await gateway.decide(first, key=KEYS["anna"], reason=reason)
        assert answer.status_code == 403 and "at least 3 words" in answer.json()["detail"], reason
    told = in_terminal(gateway, "approve", first, "--seen", seen_in_terminal(gateway, first))
    assert told.returncode == 1 and "at least 3 words" in told.stderr
    own = "The hospital has confirmed the stay"
    assert (await gateway.decide(first, key=KEYS["anna"], reason=own)).status_code == 200
    second = await asked(gateway, "request_payment_extension", reason="two")
    answer = await gateway.decide(second, key=KEYS["anna"], reason="the hospital has CONFIRMED the stay! 2")
    assert answer.status_code == 403 and "your last 10" in answer.json()["detail"]
    page = await page_of(running, gateway, second)
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("at least 3 words")
    await page.get_by_label("Reason", exact=True).fill("Her doctor wrote a letter")
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#done").wait_for()
    assert [one["rule"] for one in of_ledger(gateway, second, "decide.refused")] == ["reason_from"] * 2
    assert of_ledger(gateway, second, "decide.approved")[0]["reason"] == "Her doctor wrote a letter"


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("ok", 1), ("fine fine", 1), ("医院已经确认住院", 4), ("Das passt so", 3), ("1 2 3", 0)],
)
async def test_words_are_counted_in_writing_without_blanks_too(text: str, words: int) -> None:
    """About two letters are a word there."""
    assert words_in(text) == words
    assert bare(text + " 17!") == bare(text.upper())


async def test_an_approval_faster_than_the_rule_is_asked_for_once_more(
    running: Browser, gateway: GatewayProcess
) -> None:
    """At the desk; a second click does not count before the time has passed."""
    case_id = await asked(gateway, "modify_welfare_record", changes=NEW[1])
    page = await page_of(running, gateway, case_id)
    for _ in range(2):
        await page.get_by_role("button", name="Approve").click()
        alert = page.get_by_role("alert")
        await alert.wait_for()
        await expect(alert).to_contain_text("An approval counts when 600 seconds have passed")
        await page.reload()
    assert len(of_ledger(gateway, case_id, "decide.asked_again")) == 1
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    long_ago(gateway, case_id, "openings", "opened_at")
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#done").wait_for()


async def test_a_script_that_posts_twice_is_not_a_person_who_looked(gateway: GatewayProcess) -> None:
    """It has never opened the call; what was asked under one key stays asked, however late it comes again."""
    case_id = await asked(gateway, "modify_welfare_record", changes=NEW[2])
    for key in ("a", "a", "b"):
        answer = await gateway.decide(case_id, key=KEYS["anna"], idempotency_key=key)
        assert answer.json()["error"] == "AskedAgain" and "not opened" in answer.json()["detail"]
    long_ago(gateway, case_id, "second_looks", "at")
    again = await gateway.decide(case_id, key=KEYS["anna"], idempotency_key="a")
    assert again.json()["error"] == "AskedAgain"
    assert (await gateway.decide(case_id, key=KEYS["anna"], idempotency_key="c")).status_code == 200


async def test_in_the_terminal_a_look_is_an_opening(gateway: GatewayProcess) -> None:
    """`show` notes it, and `approve` is refused until the time has passed."""
    case_id = await asked(gateway, "modify_welfare_record", changes=NEW[3])
    seen = seen_in_terminal(gateway, case_id)
    early = in_terminal(gateway, "approve", case_id, "--seen", seen)
    assert early.returncode == 1 and "You opened this call" in early.stderr
    long_ago(gateway, case_id, "openings", "opened_at")
    assert in_terminal(gateway, "approve", case_id, "--seen", seen).returncode == 0
