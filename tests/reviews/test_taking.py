"""A case is taken, given and put aside, and none of it keeps anyone from deciding."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from desk_browser import faults_of, person
from desk_office import AGENTS, KEYS, extension, office, sign_in
from gateway_process import GatewayProcess, status_of
from kept import store_by_hand
from playwright.async_api import Browser, expect
from store import assessment_of, open_case, open_store

from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_assessment, read_case
from atlas.errors import CaseFinished, ClaimedByAnother, NotNow
from atlas.instants import instant_text, now
from atlas.models import Case
from atlas.reviews.claims import aside_of, assign, claim, claim_of, latest_return, put_aside, release, renew
from atlas.reviews.tables import claims, snoozes

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for this module, whose supervisor is ben."""
    process = office(tmp_path_factory.mktemp("taking"), ATLAS_SUPERVISORS="ben")
    await process.start()
    yield process
    await process.kill()


def client(gateway: GatewayProcess, name: str = "anna") -> httpx.AsyncClient:
    """The program of a person."""
    headers = {"Authorization": f"Bearer {(KEYS | AGENTS)[name]}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60)


async def post(gateway: GatewayProcess, path: str, name: str = "anna", **said: Any) -> httpx.Response:
    """What a person posts about a case."""
    async with client(gateway, name) as program:
        return await program.post(f"/cases/{path}", json=said)


async def listed(gateway: GatewayProcess, name: str, **asked: Any) -> set[str]:
    """The references in a list of what waits."""
    async with client(gateway, name) as program:
        page = await program.get("/cases", params={"status": "PENDING_REVIEW", "limit": 200} | asked)
    return {line["case_id"] for line in page.json()["cases"]}


async def test_of_many_who_take_a_case_at_once_one_has_it_and_all_can_decide(gateway: GatewayProcess) -> None:
    """The other reads who was quicker, and decides all the same."""
    ref = await extension(gateway, 10)
    answers = await asyncio.gather(
        *(post(gateway, f"{ref}/claim", name) for name in ("anna", "ben") for _ in range(5))
    )
    holders = {one.json()["claim"]["person"] for one in answers if one.status_code == 200}
    assert len(holders) == 1 and sorted({one.status_code for one in answers}) == [200, 409]
    refused = next(one.json() for one in answers if one.status_code == 409)
    assert refused["error"] == "ClaimedByAnother" and "all the same" in refused["detail"]
    other = ({"anna", "ben"} - holders).pop()
    assert (await gateway.decide(ref, "REJECTED", key=KEYS[other])).status_code == 200
    assert (await post(gateway, f"{ref}/claim", other)).status_code == 409


async def test_a_supervisor_gives_a_case_to_a_person_who_finds_it_in_a_list(gateway: GatewayProcess) -> None:
    """It is in the ledger and a notice is written; no one else can, and no stranger gets one."""
    ref, other = await extension(gateway, 20), await extension(gateway, 21)
    assert (await post(gateway, f"{ref}/assign", "anna", person="anna")).status_code == 403
    assert (await post(gateway, f"{ref}/assign", "billing-bot", person="anna")).status_code == 403
    assert (await post(gateway, f"{ref}/assign", "ben", person="ann\u0430")).status_code == 422
    for _ in range(2):  # the same again is one
        given = await post(gateway, f"{ref}/assign", "ben", person="anna")
        assert (given.status_code, given.json()["assigned_by"]) == (200, "ben")
    mine = await listed(gateway, "anna", assigned=True)
    assert ref in mine and other not in mine and await listed(gateway, "ben", assigned=True) == set()
    with closing(store_by_hand(gateway.data)) as connection:
        entries = "SELECT actor FROM ledger WHERE case_id = ? AND action = 'decide.assigned'"
        assert connection.execute(entries, (ref,)).fetchall() == [("ben",)]
        told = "SELECT content FROM notices WHERE case_id = ? AND kind = 'assigned'"
        [(content,)] = connection.execute(told, (ref,))
        assert json.loads(content)["to"] == ["anna"]
    assert (await gateway.decide(ref, "REJECTED", key=KEYS["ben"])).status_code == 200


async def test_what_a_person_puts_aside_leaves_their_list_and_no_other(gateway: GatewayProcess) -> None:
    """Until it is brought back; never beyond nine tenths of its time."""
    ref = await extension(gateway, 30)
    late = instant_text(now() + timedelta(hours=23))
    assert (await post(gateway, f"{ref}/snooze", until=late)).status_code == 422
    assert (await post(gateway, f"{ref}/snooze", until=instant_text(now()))).status_code == 422
    until = instant_text(now() + timedelta(hours=2))
    assert (await post(gateway, f"{ref}/snooze", until=until)).status_code == 200
    assert ref not in await listed(gateway, "anna", mine=True)
    assert ref in await listed(gateway, "ben", mine=True) & await listed(gateway, "anna")
    assert (await post(gateway, f"{ref}/snooze", "billing-bot", until=until)).status_code == 403
    assert (await post(gateway, f"{ref}/snooze", until=None)).status_code == 200
    assert ref in await listed(gateway, "anna", mine=True)


async def terminal(gateway: GatewayProcess, name: str, *said: str) -> str:
    """What the command prints."""
    shell = gateway.environment | {"ATLAS_REVIEWER_KEY": f"{name}:{KEYS[name]}"}
    done = await ran_beside("atlas.cases", *said, "--url", gateway.url, environment=shell)
    return done.stdout + done.stderr


async def test_a_terminal_takes_gives_and_puts_aside(gateway: GatewayProcess) -> None:
    """The same claims that the other ways have."""
    ref = await extension(gateway, 40)
    assert f"{ref} is taken until" in await terminal(gateway, "anna", "claim", ref)
    assert "anna has taken case" in await terminal(gateway, "ben", "claim", ref)
    assert f"{ref} is given to anna." in await terminal(gateway, "ben", "assign", ref, "anna")
    assert ref in await terminal(gateway, "anna", "list", "--assigned")
    assert f"{ref} is put aside until" in await terminal(gateway, "anna", "not-now", ref, "--for", "1h")
    assert ref not in await terminal(gateway, "anna", "list", "--mine")


@pytest.mark.parametrize("scripts", [True, False])
async def test_at_the_desk_a_person_takes_a_case_is_given_one_and_puts_one_aside(
    gateway: GatewayProcess,
    running: Browser,
    *,
    scripts: bool,
) -> None:
    """With and without a script; the other sees it, and can decide."""
    ref = await extension(gateway, 50 if scripts else 51)
    anna = await (await person(running, scripts=scripts)).new_page()
    ben = await (await person(running, scripts=scripts)).new_page()
    await sign_in(anna, gateway, "anna", path=f"/desk/cases/{ref}")
    await sign_in(ben, gateway, "ben", path=f"/desk/cases/{ref}")
    await expect(anna.get_by_role("button", name="Assign")).to_have_count(0)
    await anna.get_by_role("button", name="Take it").click()
    await expect(anna.locator("#taken")).to_contain_text("You have taken it.")
    await ben.reload()
    await expect(ben.locator("#taken")).to_contain_text("anna has taken it until")
    await expect(ben.get_by_role("button", name="Reject")).to_have_count(1)
    await ben.get_by_label("Give it to").fill("anna")
    await ben.get_by_role("button", name="Assign").click()
    await expect(ben.locator("#given")).to_contain_text("Given to anna by ben.")
    await anna.goto(f"{gateway.url}/desk?whose=assigned")
    await expect(anna.locator(f"li#{ref}")).to_contain_text("Given to anna")
    await expect(anna.locator(f"li#{ref}")).to_contain_text("You have taken it")
    await anna.goto(f"{gateway.url}/desk/cases/{ref}")
    assert not scripts or await faults_of(anna) == []
    await anna.get_by_label("Not now, but in").select_option("1 hour")
    await anna.get_by_role("button", name="Put it aside").click()
    await anna.wait_for_url("**/desk")
    await expect(anna.locator("#aside")).to_contain_text(ref)
    await expect(anna.locator(f"li#{ref}")).to_have_count(0)
    if scripts:  # the open page gets it back when its time has come
        with closing(store_by_hand(gateway.data)) as connection, connection:
            soon = (instant_text(now() + timedelta(seconds=3)), ref)
            connection.execute("UPDATE snoozes SET until = ? WHERE case_id = ?", soon)
        await anna.reload()
        await anna.locator(f"li#{ref}").wait_for(state="attached")
        until = instant_text(now() + timedelta(hours=1))
        assert (await post(gateway, f"{ref}/snooze", until=until)).status_code == 200
    await anna.goto(f"{gateway.url}/desk/cases/{ref}")
    await anna.get_by_role("button", name="Bring it back").click()
    await anna.get_by_role("button", name="Give it back").click()
    await anna.get_by_role("button", name="Take it").wait_for()
    assert status_of(gateway, ref) == "PENDING_REVIEW"


# At the store


async def waiting(store: CaseStore) -> Case:
    """A case that waits for ten hours at most."""
    case = await open_case(store)

    def review(connection: Any) -> Case:
        judged = add_assessment(connection, case, assessment_of(case.call))
        return request_review(connection, judged, timedelta(hours=10), reason="A test.")

    return await store.change(case.case_id, review)


async def test_a_claim_ends_by_itself_after_five_minutes_unless_it_is_renewed(tmp_path: Path) -> None:
    """Then another person takes it; a release of one that is not one's own does nothing."""
    async with open_store(tmp_path) as store:
        case_id = (await waiting(store)).case_id
        write = store.database.write

        def steps(connection: Any) -> None:
            held = claim(connection, case_id, person="anna")
            assert timedelta(minutes=4) < held.ends_at - now() <= timedelta(minutes=5)
            release(connection, case_id, person="ben")
            with pytest.raises(ClaimedByAnother):
                claim(connection, case_id, person="ben")
            nearly = claims.update().values(ends_at=now() + timedelta(seconds=30))
            connection.execute(nearly)
            renew(connection, case_id, person="ben")
            renewed = claim_of(connection, case_id)
            assert renewed is not None and renewed.ends_at - now() < timedelta(minutes=1)
            renew(connection, case_id, person="anna")
            renewed = claim_of(connection, case_id)
            assert renewed is not None and renewed.ends_at - now() > timedelta(minutes=4)
            connection.execute(claims.update().values(ends_at=now()))
            renew(connection, case_id, person="anna")  # what is over is not renewed
            assert claim_of(connection, case_id) is None
            assert claim(connection, case_id, person="ben").person == "ben"

        await write(steps)


async def test_a_case_comes_back_by_itself_and_when_it_is_judged_again(tmp_path: Path) -> None:
    """Nine tenths of its time is the bound."""
    async with open_store(tmp_path) as store:
        case = await waiting(store)
        assert case.expires_at is not None and latest_return(case) < case.expires_at

        def steps(connection: Any) -> None:
            case_id = case.case_id
            for wrong in (case.expires_at, latest_return(case) + timedelta(seconds=1), now()):
                assert isinstance(wrong, datetime)
                with pytest.raises(NotNow):
                    put_aside(connection, case_id, person="anna", until=wrong)
            put_aside(connection, case_id, person="anna", until=latest_return(case))
            assert list(aside_of(connection, "anna")) == [case_id] and aside_of(connection, "ben") == {}
            connection.execute(snoozes.update().values(until=now()))
            assert aside_of(connection, "anna") == {}
            put_aside(connection, case_id, person="anna", until=now() + timedelta(hours=1))
            connection.exec_driver_sql("UPDATE cases SET round_number = 2")
            assert aside_of(connection, "anna") == {}

        await store.database.write(steps)


async def test_what_is_over_is_neither_taken_nor_given_nor_put_aside(tmp_path: Path) -> None:
    """There is nothing left to decide."""
    async with open_store(tmp_path) as store:
        case_id = (await waiting(store)).case_id

        def steps(connection: Any) -> None:
            connection.exec_driver_sql("UPDATE cases SET status = 'EXPIRED'")
            assert read_case(connection, case_id).status.is_final
            for act in (
                lambda: claim(connection, case_id, person="anna"),
                lambda: assign(connection, case_id, to="anna", by="ben"),
                lambda: put_aside(connection, case_id, person="anna", until=now() + timedelta(hours=1)),
            ):
                with pytest.raises(CaseFinished):
                    act()

        await store.database.write(steps)
