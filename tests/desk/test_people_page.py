"""Groups, trainings, delegations and separation: in a real browser, by the webhook and in a terminal."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_of_test import ran_beside
from desk_browser import faults_of, person, show_key
from desk_visitor import operator
from gateway_process import GatewayProcess, call, reference_in
from kept import entries_in, store_settings
from people import FREE_FIELDS
from playwright.async_api import Browser, Page, expect

KEYS = {name: f"key-of-{name}-for-the-tests" for name in ("anna", "ben", "carla", "dora")}
AGENT = "key-of-the-agent-of-the-tests"
BUTTON = "Let this person decide"
POLICY = """
[[rule]]
tool = "modify_welfare_record"
score = 95
reviewers = ["group:seniors"]
requires_training = "benefits"

[[rule]]
tool = "request_extension"
score = 80
approvals = 2
separate = true
reviewers = ["anna", "group:desk"]
"""


@dataclass
class Room:
    """A gateway, a browser, and the pages of those who have signed in."""

    gateway: GatewayProcess
    running: Browser
    pages: dict[str, Page]

    async def page(self, name: str) -> Page:
        """The page of a person, signed in."""
        if name not in self.pages:
            page = await (await person(self.running)).new_page()
            await show_key(page, self.gateway.url, KEYS[name])
            self.pages[name] = page
        return self.pages[name]

    async def case(self, tool: str = "modify_welfare_record", **arguments: Any) -> str:
        """The reference of a call that waits."""
        async with self.gateway.agent(AGENT) as agent:
            return reference_in(await call(agent, tool, beneficiary_id="BEN-123", **arguments))

    async def told(self, name: str, ref: str) -> dict[str, Any]:
        """What GET /cases/{ref} says a person can do."""
        async with self.program(name) as program:
            you: dict[str, Any] = (await program.get(f"/cases/{ref}")).json()["you"]
        return you

    def program(self, name: str) -> httpx.AsyncClient:
        """What a person's program asks with."""
        headers = {"Authorization": f"Bearer {KEYS[name]}"}
        return httpx.AsyncClient(base_url=self.gateway.url, headers=headers, timeout=60)

    async def mine(self, name: str) -> list[str]:
        """The cases that wait for a person, as the list says and as the inbox shows; both are the same."""
        async with self.program(name) as program:
            asked = {"mine": "1", "status": "PENDING_REVIEW", "order": "oldest"}
            listed = [line["case_id"] for line in (await program.get("/cases", params=asked)).json()["cases"]]
        page = await self.page(name)
        await page.goto(f"{self.gateway.url}/desk")
        shown = await page.locator("li.call").evaluate_all("all => all.map(one => one.dataset.case)")
        assert sorted(shown) == sorted(listed)
        return listed

    async def terminal(self, module: str, *words: str, name: str = "anna") -> tuple[int, str]:
        """A command on the machine of the gateway."""
        settings = {
            "ATLAS_DATA_DIR": str(self.gateway.data),
            "ATLAS_AGENT_KEY": AGENT,
            "ATLAS_REVIEWER_KEY": ",".join(f"{one}:{key}" for one, key in KEYS.items()),
        }
        settings |= store_settings(self.gateway.data)
        at = ("--url", self.gateway.url, "--as", name) if module == "atlas.cases" else ()
        done = await ran_beside(module, *words, *at, environment=os.environ | settings)
        return done.returncode, done.stdout + done.stderr

    async def approve_at_desk(self, name: str, ref: str) -> str:
        """Open a case and approve it, if the page offers that; what the page says."""
        page = await self.page(name)
        await page.goto(f"{self.gateway.url}/desk/cases/{ref}")
        button = page.get_by_role("button", name="Approve")
        if await button.count():
            await button.click()
            await page.locator("#done").wait_for()
        return await page.locator("aside.deciding").inner_text()

    def acts(self, action: str) -> list[dict[str, Any]]:
        """The entries of the ledger of one act."""
        return [one for one in entries_in(self.gateway.data) if one["action"] == action]


@asynccontextmanager
async def opened(directory: Path, chromium: Browser) -> AsyncIterator[Room]:
    """The room, with a policy about groups, and anna as a supervisor."""
    policy = directory / "policy.toml"
    policy.write_text(POLICY)
    gateway = GatewayProcess(
        directory,
        FREE_FIELDS,
        ATLAS_AGENT_KEY=AGENT,
        ATLAS_REVIEWER_KEY=",".join(f"{name}:{key}" for name, key in KEYS.items()),
        ATLAS_POLICY=str(policy),
        ATLAS_SUPERVISORS="anna, group:leads",
    )
    await gateway.start()
    try:
        yield Room(gateway, chromium, {})
    finally:
        await gateway.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def room(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> AsyncIterator[Room]:
    """One gateway and one browser for all tests here, which go on from each other."""
    async with opened(tmp_path_factory.mktemp("people"), chromium) as made:
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="session")


async def fill(page: Page, heading: str, button: str, **fields: str) -> None:
    """Fill in the form under a heading, and send it."""
    section = page.locator("section", has=page.get_by_role("heading", name=heading, exact=True))
    for label, text in fields.items():
        await section.get_by_label(label.replace("_", " "), exact=True).fill(text)
    await section.get_by_role("button", name=button).click()


async def delegate(page: Page, whose: str, to: str) -> None:
    """Fill in the form of a delegation for eight hours."""
    await fill(page, f"Let another person decide for {whose}", BUTTON, Who_decides=to, Until="8h")


async def seen(room: Room, ref: str) -> str:
    """The digest of what an approval in a terminal is for."""
    async with room.program("anna") as program:
        shown: str = (await program.get(f"/cases/{ref}")).json()["seen_sha256"]
    return shown


async def open_record(room: Room, name: str, *, of: str) -> Page:
    """The record of a person, on the page of a supervisor."""
    page = await room.page(name)
    await page.goto(f"{room.gateway.url}/desk/people?name={of}")
    return page


async def test_a_supervisor_gives_a_group_and_a_training_and_the_person_may_approve(room: Room) -> None:
    """Step by step the case page, GET /cases/{ref}, the inbox and the terminal say the same."""
    ref = await room.case(changes={"n": 1})
    told = await room.told("ben", ref)
    assert not told["may_approve"] and "the group seniors" in told["why_not"]
    assert ref not in await room.mine("ben")
    assert "The policy lets the group seniors approve" in await room.approve_at_desk("ben", ref)
    code, said = await room.terminal(
        "atlas.cases", "approve", ref, "--seen", await seen(room, ref), name="ben"
    )
    assert code == 1 and "the group seniors" in said

    page = await open_record(room, "anna", of="ben")
    await fill(page, "Groups and hours", "Keep", Groups="seniors", Zone="Europe/Berlin", Working_hours="x")
    await expect(page.get_by_role("alert")).to_contain_text("is not hours such as")
    await fill(page, "Groups and hours", "Keep", Groups="seniors", Working_hours="mon-fri 09:00-17:00")
    await page.get_by_text("mon-fri 09:00-17:00, Europe/Berlin").wait_for()
    assert ref in await room.mine("ben")
    assert "a training for benefits, and that of ben is not on record" in await room.approve_at_desk(
        "ben", ref
    )
    async with room.program("ben") as program:
        decision = {"event_id": ref, "decision": "APPROVED"}
        answer = await program.post("/webhook/approval", json=decision)
    assert answer.status_code == 403 and answer.json()["error"] == "RuleRefuses"

    page = await open_record(room, "anna", of="ben")
    await fill(
        page, "Note a training", "Note it", Scope="benefits", What_the_person_learnt="Course 12", Until="30d"
    )
    await page.get_by_text("benefits: Course 12, until").wait_for()
    assert await faults_of(page) == []
    assert (await room.told("ben", ref))["may_approve"]
    assert "Your approval is recorded." in await room.approve_at_desk("ben", ref)
    assert {one["actor"] for one in room.acts("people.trained")} == {"anna"}
    refused = [one["detail"]["rule"] for one in room.acts("decide.refused")]
    assert refused.count("training") == 1


async def test_a_person_delegates_at_their_account_and_both_names_are_shown(room: Room) -> None:
    """At the desk, in the terminal, in GET /cases/{ref} and in the ledger; and it is not passed on."""
    await room.terminal("atlas.people", "set", "ben", "--groups", "seniors")
    await room.terminal("atlas.people", "train", "dora", "benefits", "--what", "Course 12")
    await room.terminal("atlas.people", "train", "carla", "benefits", "--what", "Course 12")
    page = await room.page("ben")
    await page.goto(f"{room.gateway.url}/desk/account")
    await fill(
        page, "Let another person decide for you", "Let this person decide", Who_decides="ben", Until="8h"
    )
    await expect(page.get_by_role("alert")).to_contain_text("as a delegate")
    await fill(
        page, "Let another person decide for you", "Let this person decide", Who_decides="dora", Until="8h"
    )
    await page.get_by_text("dora decides for ben").wait_for()
    assert await faults_of(page) == []
    await room.terminal("atlas.people", "delegate", "dora", "carla", "--until", "8h")
    ref = await room.case(changes={"n": 2})
    assert await room.told("dora", ref) == {"may_approve": True, "on_behalf_of": "ben", "why_not": None}
    assert not (await room.told("carla", ref))["may_approve"]
    assert ref in await room.mine("dora") and ref not in await room.mine("carla")
    _, said = await room.terminal("atlas.cases", "show", ref, name="dora")
    assert "may approve it, for ben" in said
    page = await room.page("dora")
    await page.goto(f"{room.gateway.url}/desk/cases/{ref}")
    await expect(page.locator("#for-whom")).to_contain_text("You decide for ben.")
    assert "Approved by dora for ben" in await room.approve_at_desk("dora", ref)
    [entry] = [one for one in room.acts("decide.approved") if one["case_id"] == ref]
    assert (entry["actor"], entry["detail"]["on_behalf_of"]) == ("dora", "ben")

    page = await room.page("ben")
    await page.goto(f"{room.gateway.url}/desk/account")
    await page.get_by_role("button", name="End the delegation").click()
    await page.get_by_text("Delegations").wait_for()
    later = await room.case(changes={"n": 3})
    assert not (await room.told("dora", later))["may_approve"]
    async with room.program("dora") as program:
        decision = {"event_id": later, "decision": "APPROVED", "on_behalf_of": "ben"}
        answer = await program.post("/webhook/approval", json=decision)
    assert answer.status_code == 403 and "dora does not decide for ben" in answer.json()["detail"]


async def test_a_delegate_and_the_giver_are_one_of_two_approvals(room: Room) -> None:
    """By the webhook, the desk and the terminal; a third person completes it."""
    await room.terminal("atlas.people", "set", "carla", "--groups", "desk")
    await room.terminal("atlas.people", "set", "ben", "--groups", "seniors,desk")
    await room.terminal("atlas.people", "delegate", "anna", "ben", "--until", "8h")
    ref = await room.case("request_extension", days=9, reason="illness")
    async with room.program("ben") as program:
        decision = {"event_id": ref, "decision": "APPROVED", "on_behalf_of": "anna"}
        answer = await program.post("/webhook/approval", json=decision)
    assert answer.json()["approvals"] == {"given": 1, "needed": 2}
    said = await room.approve_at_desk("anna", ref)
    assert "ben has approved it for anna, and anna counts as the same person" in said
    assert "ben for anna" in said
    shown = await seen(room, ref)
    code, said = await room.terminal("atlas.cases", "approve", ref, "--seen", shown)
    assert code == 1 and "counts as the same person" in said
    code, said = await room.terminal("atlas.cases", "approve", ref, "--seen", shown, name="carla")
    assert code == 0 and "approved" in said


async def test_a_supervisor_raises_no_one_but_others_and_others_no_one_at_all(room: Room) -> None:
    """Neither by a group, nor by a training, nor by a delegation to themselves."""
    page = await open_record(room, "anna", of="anna")
    await fill(page, "Groups and hours", "Keep", Groups="seniors")
    await expect(page.get_by_role("alert")).to_contain_text("You would add yourself to a group.")
    await expect(page.get_by_role("heading", name="Note a training")).to_have_count(0)
    page = await open_record(room, "anna", of="ben")
    await fill(
        page, "Let another person decide for ben", "Let this person decide", Who_decides="Anna", Until="8h"
    )
    await expect(page.get_by_role("alert")).to_contain_text("You would decide for another person.")
    async with room.program("anna") as program:
        form = {"name": "anna", "scope": "benefits", "what": "x"}
        answer = await program.post("/desk/people/train", data=form)
    assert answer.status_code == 422 and "a training of your own" in answer.text
    for name in ("ben", "carla"):
        page = await room.page(name)
        for path in ("/desk/people", f"/desk/people?name={name}"):
            shown = await page.goto(room.gateway.url + path)
            assert shown and shown.status == 403 and "for supervisors" in await page.content()
        async with room.program(name) as program:
            form = {"name": name, "groups": "leads"}
            answer = await program.post("/desk/people/profile", data=form)
        assert answer.status_code == 403


async def test_a_group_makes_supervisors_and_what_was_done_is_shown_to_all_of_them(room: Room) -> None:
    """So that no one raises another unnoticed."""
    page = await open_record(room, "anna", of="carla")
    await fill(page, "Groups and hours", "Keep", Groups="desk, leads")
    await page.get_by_text("desk, leads").first.wait_for()
    page = await room.page("carla")
    await page.goto(f"{room.gateway.url}/desk/account")
    await page.get_by_role("link", name="People").click()
    acts = page.locator("section", has=page.get_by_role("heading", name="What was done last"))
    await expect(acts).to_contain_text("carla changed (groups), by anna")
    await expect(page.get_by_role("row")).to_have_count(1 + len(KEYS))
    assert await faults_of(page) == []


async def test_the_end_of_a_person_at_the_desk_ends_what_they_can_do(room: Room) -> None:
    """Session, key and delegations; the name has to be written once more."""
    for giver, taker in (("ben", "carla"), ("anna", "ben")):
        await operator(room.gateway, "delegate", giver, taker, "--until", "1h")
    ended = {one["detail"]["delegation"] for one in room.acts("people.delegation_ended")}
    made = [one["detail"] for one in room.acts("people.delegated")]
    of_ben = {one["delegation"] for one in made if "ben" in (one["from"], one["to"])} - ended
    ben = await room.page("ben")
    page = await open_record(room, "anna", of="ben")
    await fill(page, "End", "End this person", The_name_once_more="bn")
    await expect(page.get_by_role("alert")).to_contain_text("write the name once more")
    await fill(page, "End", "End this person", The_name_once_more="ben")
    await page.get_by_role("link", name="All people").wait_for()
    await ben.goto(f"{room.gateway.url}/desk")
    assert "/desk/sign-in" in ben.url
    await ben.get_by_label("Key", exact=True).fill(KEYS["ben"])
    await ben.get_by_role("button", name="Sign in with the key").click()
    await expect(ben.get_by_role("alert")).to_contain_text("The access of ben was ended.")
    ref = await room.case(changes={"n": 9})
    async with room.program("ben") as program:
        assert (await program.get("/cases")).status_code == 403
        decision = {"event_id": ref, "decision": "APPROVED"}
        assert (await program.post("/webhook/approval", json=decision)).status_code == 403
    assert {one["actor"] for one in room.acts("people.ended")} == {"anna"}
    now_ended = {one["detail"]["delegation"] for one in room.acts("people.delegation_ended")} - ended
    assert now_ended == of_ben and len(of_ben) >= 2  # ben's own, and that of anna to him
