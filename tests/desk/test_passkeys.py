"""Step-up: approving takes a passkey of this person over this very case, and nothing else passes for one."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from command_of_test import Ran, ran
from desk_browser import faults_of, person
from desk_office import KEYS, extension, office
from gateway_process import GatewayProcess, status_of
from kept import change_in, copy_store, store_by_hand, store_settings, without_trigger
from nursery import ROOT
from passkeys import (
    SoftKey,
    add_passkey,
    asked_for,
    desk_at,
    people_command,
    signature,
    signed_in,
    with_authenticator,
)
from playwright.async_api import Browser, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")
POLICY = """
[[rule]]
tool = "request_extension"
score = 75
classification = "high risk"
step_up = true
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose policy asks for a passkey."""
    process = office(tmp_path_factory.mktemp("passkeys"), rules=POLICY)
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(chromium: Browser, gateway: GatewayProcess) -> Page:
    """Anna's browser, with a passkey that an operator has confirmed."""
    return await with_passkey(chromium, gateway, "anna")


async def with_passkey(chromium: Browser, gateway: GatewayProcess, name: str) -> Page:
    page = await (await person(chromium)).new_page()
    await with_authenticator(page)
    await signed_in(page, gateway, name)
    mark = await add_passkey(page, gateway, f"Key of {name}")
    confirmed = people_command(gateway, "passkeys", "confirm", name, mark)
    assert confirmed.returncode == 0, confirmed.stderr
    return page


def query(gateway: GatewayProcess, text: str, *values: Any) -> list[Any]:
    with closing(store_by_hand(gateway.data)) as connection:
        cursor = connection.execute(text, values)
        found = cursor.fetchall() if cursor.description else []
        connection.commit()
    return found


def rules_refused(gateway: GatewayProcess, case_id: str) -> list[str]:
    rows = query(
        gateway, "SELECT detail FROM ledger WHERE case_id = ? AND action = 'decide.refused'", case_id
    )
    return [json.loads(detail)["rule"] for (detail,) in rows]


async def posted(gateway: GatewayProcess, case_id: str, assertion: Any, *, name: str = "anna") -> Any:
    """An approval through the webhook."""
    more = {} if assertion is None else {"assertion": assertion}
    return await gateway.decide(case_id, key=KEYS[name], **more)


def approve_in_terminal(gateway: GatewayProcess, case_id: str) -> Ran:
    """What `python -m atlas.cases approve` says to a person."""
    words = ("approve", case_id, "--url", gateway.url, "--as", "anna")
    return ran("atlas.cases", *words, environment=gateway.environment, directory=gateway.directory)


async def test_a_person_approves_at_the_desk_with_a_passkey_and_an_auditor_checks_it(
    chromium: Browser, gateway: GatewayProcess
) -> None:
    """A new passkey does not count before an operator has confirmed it by its mark."""
    case_id = await extension(gateway, 1)
    page = await (await person(chromium)).new_page()
    await with_authenticator(page)
    await signed_in(page, gateway, "ben")
    mark = await add_passkey(page, gateway, "Laptop")
    await expect(page.locator("tr", has_text="Laptop")).to_contain_text("does not count yet")
    assert await faults_of(page) == []
    await page.goto(f"{desk_at(gateway)}/desk/cases/{case_id}")
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("alert")).to_contain_text("You have no passkey that counts")
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    listed = people_command(gateway, "passkeys", "list", "ben")
    assert mark in listed.stdout and "does not count yet" in listed.stdout
    assert "counts from now on" in people_command(gateway, "passkeys", "confirm", "ben", mark).stdout
    await page.reload()
    await page.get_by_role("button", name="Approve").click()
    await page.locator("#done").wait_for()
    await expect(page.locator("#done")).to_contain_text("Your approval is recorded")
    [(kept, credential)] = query(
        gateway, "SELECT assertion_sha256, credential_id FROM assertions WHERE case_id = ?", case_id
    )
    [(detail,)] = query(
        gateway, "SELECT detail FROM ledger WHERE case_id = ? AND action = 'decide.approved'", case_id
    )
    assert json.loads(detail)["assertion_sha256"] == kept and credential
    checked = people_command(gateway, "passkeys", "check", case_id)
    assert checked.stdout == "OK: 1 approval with a passkey's signature checked.\n"


async def test_a_second_passkey_counts_when_the_first_has_signed_for_it(
    chromium: Browser, gateway: GatewayProcess
) -> None:
    """So an agent in the browser can add one, and cannot use it."""
    page = await (await person(chromium)).new_page()
    session, first = await with_authenticator(page)
    await signed_in(page, gateway, "anna")
    mark = await add_passkey(page, gateway, "First")
    assert people_command(gateway, "passkeys", "confirm", "anna", mark).returncode == 0
    is_there = {"authenticatorId": first, "enabled": False}
    await session.send("WebAuthn.setAutomaticPresenceSimulation", is_there)
    second_session, second = await with_authenticator(page, transport="usb")
    mark = await add_passkey(page, gateway, "Blue key")
    row = page.locator("tr", has_text="Blue key")
    await expect(row).to_contain_text("does not count yet")
    await second_session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": second})
    await session.send("WebAuthn.setAutomaticPresenceSimulation", is_there | {"enabled": True})
    await row.get_by_role("button", name=f"Confirm {mark}").click()
    await row.filter(has_not_text="does not count").wait_for()
    [(by,)] = query(gateway, "SELECT confirmed_by FROM passkeys WHERE name = 'Blue key'")
    [(of_first,)] = query(gateway, "SELECT credential_id FROM passkeys WHERE name = 'First'")
    assert by == of_first
    await page.get_by_role("button", name=f"End {mark}").click()
    await row.wait_for(state="detached")
    again = people_command(gateway, "passkeys", "confirm", "anna", mark)
    assert again.returncode == 1 and "There is no passkey" in again.stderr


async def test_a_program_approves_with_what_a_passkey_signed_and_says_so_twice(
    anna: Page, gateway: GatewayProcess
) -> None:
    """The same request again is the same approval; without a signature it takes the desk."""
    case_id = await extension(gateway, 2)
    refused = await posted(gateway, case_id, None)
    assert refused.status_code == 403 and "decide it at the desk" in refused.json()["detail"]
    made = await signature(anna, await asked_for(anna, gateway, case_id))
    assert (await posted(gateway, case_id, made)).status_code == 200
    assert (await posted(gateway, case_id, made)).status_code == 200
    assert len(query(gateway, "SELECT 1 FROM assertions WHERE case_id = ?", case_id)) == 1


async def test_a_signature_is_good_for_one_case_one_person_and_once(
    anna: Page, chromium: Browser, gateway: GatewayProcess
) -> None:
    """Replayed, for another case, by another person, or changed, it approves nothing."""
    first, second = await extension(gateway, 3), await extension(gateway, 4)
    made = await signature(anna, await asked_for(anna, gateway, first))
    ben = await with_passkey(chromium, gateway, "ben")
    of_ben = await signature(ben, await asked_for(ben, gateway, second))
    forged = made | {"response": made["response"] | {"signature": of_ben["response"]["signature"]}}
    for case_id, assertion, name in (
        (second, made, "anna"),  # another case
        (first, made, "ben"),  # another person with her signature
        (second, of_ben, "anna"),  # another person's passkey
        (first, forged, "anna"),
        (first, {"id": "x"}, "anna"),
        (first, {"id": made["id"], "response": {"clientDataJSON": "bm8"}}, "anna"),
    ):
        answer = await posted(gateway, case_id, assertion, name=name)
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"] == "RuleRefuses"
    assert {status_of(gateway, first), status_of(gateway, second)} == {"PENDING_REVIEW"}
    # The same refusal of the same person is one entry.
    assert rules_refused(gateway, first) == ["step_up"] * 3
    assert (await posted(gateway, first, made)).status_code == 200
    replay = await posted(gateway, second, made)
    assert (
        replay.status_code == 403
        and query(gateway, "SELECT 1 FROM assertions WHERE case_id = ?", second) == []
    )


async def test_what_a_program_signs_counts_only_where_all_of_it_holds(
    anna: Page, gateway: GatewayProcess
) -> None:
    """A device that asked no one, another origin, a copy that counts from less, a page in a page."""
    case_id = await extension(gateway, 5)
    options = await asked_for(anna, gateway, case_id)
    own, unconfirmed = SoftKey(gateway, "anna", counts=True), SoftKey(gateway, "anna", counts=False)
    for assertion, said in (
        (own.sign(options, flags=0x01), "not verified"),
        (own.sign(options, flags=0x04), "not present"),
        (own.sign(options, origin="http://localhost:1"), "origin"),
        (own.sign(options, crossOrigin=True), "inside a page"),
        (own.sign(options, type="webauthn.create"), "type"),
        (own.sign(options | {"challenge": "e30"}), "did not ask you for"),
        (unconfirmed.sign(options), "passkey of yours that counts"),
    ):
        answer = await posted(gateway, case_id, assertion)
        assert answer.status_code == 403 and said in answer.json()["detail"], (said, answer.text)
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    assert (await posted(gateway, case_id, own.sign(options, count=7))).status_code == 200
    another = await extension(gateway, 15)
    copied = own.sign(await asked_for(anna, gateway, another), count=7)
    answer = await posted(gateway, another, copied)
    assert answer.status_code == 403 and "sign count" in answer.json()["detail"]
    # A passkey that no entry of the ledger knows is found by the auditor, also where its signature holds.
    told = people_command(gateway, "passkeys", "check", case_id)
    assert told.returncode == 1 and "the ledger knows no such passkey" in told.stderr


async def test_an_auditor_finds_a_signature_that_was_changed_afterwards(
    anna: Page, gateway: GatewayProcess
) -> None:
    """The table is append-only; in a copy whose triggers are gone, the check names the entry."""
    case_id = await extension(gateway, 16)
    made = await signature(anna, await asked_for(anna, gateway, case_id))
    assert (await posted(gateway, case_id, made)).status_code == 200
    with pytest.raises((sqlite3.IntegrityError, psycopg.Error), match="append-only"):
        query(gateway, "UPDATE assertions SET assertion = '{}' WHERE case_id = ?", case_id)
    copy = gateway.directory / "copy"
    copy.mkdir()
    copy_store(gateway.data, copy)
    change_in(copy, without_trigger("assertions_no_update", "assertions"))
    change_in(copy, "UPDATE assertions SET assertion = replace(assertion, 'public-key', 'x')")
    environment = gateway.environment | {"ATLAS_DATA_DIR": str(copy)} | store_settings(copy)
    told = people_command(gateway, "passkeys", "check", case_id, environment=environment)
    assert told.returncode == 1 and "is not kept as the ledger names it" in told.stderr


async def test_a_challenge_is_good_for_five_minutes_and_for_what_was_shown(
    anna: Page, gateway: GatewayProcess
) -> None:
    """After that, or where something else was seen, it is signed again."""
    case_id = await extension(gateway, 6)
    made = await signature(anna, await asked_for(anna, gateway, case_id))
    query(
        gateway, "UPDATE challenges SET expires_at = '2026-01-01T00:00:00.000000Z' WHERE case_id = ?", case_id
    )
    answer = await posted(gateway, case_id, made)
    assert answer.status_code == 403 and "five minutes" in answer.json()["detail"]
    made = await signature(anna, await asked_for(anna, gateway, case_id))
    query(
        gateway,
        "UPDATE challenges SET seen_sha256 = ? WHERE case_id = ? AND used_at IS NULL",
        "0" * 64,
        case_id,
    )
    answer = await posted(gateway, case_id, made)
    assert answer.status_code == 403 and "as it was before" in answer.json()["detail"]
    there = f"{desk_at(gateway)}/cases/{case_id}/challenge"
    other = await anna.request.post(there, data={"round": 2, "seen_sha256": "0" * 64})
    assert other.status == 409 and (await other.json())["error"] == "CallChanged"


async def test_an_agent_in_the_same_browser_cannot_approve(anna: Page, gateway: GatewayProcess) -> None:
    """It can send the form of the page, and it can add a passkey: neither approves anything."""
    case_id = await extension(gateway, 7)
    await anna.goto(f"{desk_at(gateway)}/desk/cases/{case_id}")
    await anna.evaluate(
        """async () => {
          const form = document.querySelector("form.decision");
          const said = new FormData(form);
          said.set("verdict", "APPROVED");
          await fetch(form.action, { method: "POST", body: said });
          said.set("assertion", "{}");
          await fetch(form.action, { method: "POST", body: said });
        }"""
    )
    assert status_of(gateway, case_id) == "PENDING_REVIEW"
    assert rules_refused(gateway, case_id) == ["step_up", "step_up"]


async def test_a_rejection_takes_no_passkey(anna: Page, gateway: GatewayProcess) -> None:
    """Any reviewer can stop a call."""
    case_id = await extension(gateway, 8)
    await anna.goto(f"{desk_at(gateway)}/desk/cases/{case_id}")
    await anna.get_by_label("Reason").fill("The wrong person")
    await anna.get_by_role("button", name="Reject").click()
    await anna.locator("#done").wait_for()
    assert status_of(gateway, case_id) == "REJECTED"


async def test_the_terminal_says_that_it_takes_the_desk(gateway: GatewayProcess) -> None:
    """Before it asks anything."""
    case_id = await extension(gateway, 9)
    told = approve_in_terminal(gateway, case_id)
    assert told.returncode == 1
    assert f"To approve case {case_id} takes your passkey" in told.stderr and str(ROOT) not in told.stderr


async def test_an_address_is_no_place_for_a_passkey(chromium: Browser, gateway: GatewayProcess) -> None:
    """Browsers make none for 127.0.0.1, and the page says under which name to open the desk."""
    page = await (await person(chromium)).new_page()
    await with_authenticator(page)
    await page.goto(f"{gateway.url}/desk/sign-in")
    await page.get_by_label("Key", exact=True).fill(KEYS["anna"])
    await page.get_by_role("button", name="Sign in with the key").click()
    await page.wait_for_url("**/desk")
    await page.goto(f"{gateway.url}/desk/account")
    await page.get_by_label("Name of a new passkey").fill("Nowhere")
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_role("alert")).to_contain_text(desk_at(gateway))
