"""The form of groups and hours, which two supervisors have open at the same time."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx
import pytest
from desk_visitor import Visitor
from gateway_process import GatewayProcess
from kept import entries_in

KEYS = {name: f"key-of-{name}-for-the-tests" for name in ("anna", "ben", "carol")}
FIELD = re.compile(r'name="([^"]+)" value="([^"]*)"')


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway at which anna and ben are supervisors."""
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    process = GatewayProcess(tmp_path, ATLAS_REVIEWER_KEY=keys, ATLAS_SUPERVISORS="anna, ben")
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
async def anna(gateway: GatewayProcess) -> AsyncIterator[Visitor]:
    """A supervisor in a browser."""
    async with Visitor(gateway) as visitor:
        assert (await visitor.sign_in(way="key", key=KEYS["anna"])).status_code == 303
        yield visitor


@pytest.fixture
async def ben(gateway: GatewayProcess) -> AsyncIterator[Visitor]:
    """Another one, who has put carol into the group seniors."""
    async with Visitor(gateway) as visitor:
        assert (await visitor.sign_in(way="key", key=KEYS["ben"])).status_code == 303
        answer = await keep(visitor, await form_of_carol(visitor), groups="seniors")
        assert answer.status_code == 303, answer.text
        yield visitor


def form_in(page: str) -> dict[str, str]:
    """What the form of groups and hours on a page sends."""
    _, _, rest = page.partition('/desk/people/profile">')
    return {name: unescape(value) for name, value in FIELD.findall(rest.partition("</form>")[0])}


async def form_of_carol(visitor: Visitor) -> dict[str, str]:
    """The same of a page that a supervisor opens now."""
    return form_in((await visitor.get("/desk/people?name=carol")).text)


async def keep(visitor: Visitor, form: dict[str, str], **written: str) -> httpx.Response:
    """Send the form of a page with what a person writes into it."""
    return await visitor.post("/desk/people/profile", data=form | written)


async def test_a_group_that_was_taken_away_does_not_come_back_with_an_older_form(
    gateway: GatewayProcess, anna: Visitor, ben: Visitor
) -> None:
    """Right: anna's form writes the zone, which she changed. Wrong: it puts carol into seniors, as anna."""
    older = await form_of_carol(anna)
    assert older["groups"] == "seniors"
    assert (await keep(ben, await form_of_carol(ben), groups="")).status_code == 303
    assert (await keep(anna, older, zone="Europe/Berlin")).status_code == 303
    now = await form_of_carol(anna)
    assert (now["groups"], now["zone"]) == ("", "Europe/Berlin")
    last = [one for one in entries_in(gateway.data) if one["action"] == "people.profile_changed"][-1]
    assert last["actor"] == "anna" and set(last["detail"]["changed"]) == {"zone"}


async def test_two_people_who_change_the_same_are_told_and_nothing_typed_is_lost(
    anna: Visitor, ben: Visitor
) -> None:
    """Right: the second one reads what is kept now beside what they wrote, and can send it again.

    Wrong: the second one replaces what they never saw, or has to write all of it once more.
    """
    older = await form_of_carol(anna)
    assert (await keep(ben, await form_of_carol(ben), groups="")).status_code == 303
    refused = await keep(anna, older, groups="seniors, desk", zone="Europe/Berlin")
    assert refused.status_code == 422
    assert "Another person changed the groups of carol while you had the page open." in refused.text
    assert refused.text.count("Kept now: nothing") == 2
    again = form_in(refused.text)
    assert (again["groups"], again["zone"]) == ("seniors, desk", "Europe/Berlin")
    assert (await form_of_carol(ben))["zone"] == ""
    assert (await keep(anna, again)).status_code == 303
    now = await form_of_carol(ben)
    assert (now["groups"], now["zone"]) == ("seniors, desk", "Europe/Berlin")


async def test_what_a_person_did_not_write_into_a_refused_form_is_as_it_is_kept_now(
    anna: Visitor, ben: Visitor
) -> None:
    """Right: after the refusal of hours that are none, the field of the groups is empty, as ben has it.

    Wrong: it still says seniors, which the next press of the button would keep.
    """
    older = await form_of_carol(anna)
    assert (await keep(ben, await form_of_carol(ben), groups="")).status_code == 303
    refused = await keep(anna, older, working_hours="at night")
    assert refused.status_code == 422 and "is not hours such as" in refused.text
    again = form_in(refused.text)
    assert (again["groups"], again["working_hours"]) == ("", "at night")


async def test_a_form_that_does_not_say_what_it_showed_is_refused(anna: Visitor, ben: Visitor) -> None:
    """Right: nothing is changed. Wrong: a page from before an upgrade writes all that it once showed."""
    form = {name: value for name, value in (await form_of_carol(anna)).items() if ":" not in name}
    refused = await keep(anna, form, groups="desk")
    assert refused.status_code == 422 and "does not say what it showed" in refused.text
    assert (await form_of_carol(ben))["groups"] == "seniors"
