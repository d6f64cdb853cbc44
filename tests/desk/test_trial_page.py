"""The page on which a policy is tried: the report of the command, one at a time, and no text does harm."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from desk_browser import LOOKS, faults_of, person
from gateway_process import GatewayProcess, call, eventually
from kept import location_in, store_by_hand
from playwright.async_api import Browser

from atlas.desk.trials import LEFT, Trial, Trials

ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "atlas" / "policy.toml").read_text()
LOOSE = '[[rule]]\nname = "all <b>"\ntool = "*"\nscore = 5\n'
TEN = "[1,2,3,4,5,6,7,8,9,10]"
SLOW = f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, {TEN}.all(e, a + b > 0)))))"
READ = {"beneficiary_id": "BEN-123"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode that has judged some calls by the shipped policy."""
    process = GatewayProcess(tmp_path_factory.mktemp("trial"), ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    async with process.agent(None) as agent:
        for number in range(5):
            await call(agent, "check_status", beneficiary_id=f"BEN-{number}")
        for number in range(3):
            await call(agent, "modify_welfare_record", **READ, changes={"monthly_amount_eur": number + 1})
    yield process
    await process.kill()


class Visitor:
    """A person who sends the form and reads the page, without JavaScript."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def page(self) -> str:
        """The page of the form."""
        return (await self.client.get("/desk/policy")).text

    async def send(self, path: str = "/desk/policy", *, file: bytes | None = None, **fields: str) -> Any:
        """Send a form of this session."""
        token = (await self.page()).partition('name="form_token" value="')[2].partition('"')[0]
        parts: dict[str, Any] = {
            name: (None, text) for name, text in ({"form_token": token} | fields).items()
        }
        if file is not None:
            parts["file"] = ("policy.toml", file, "text/plain")
        return await self.client.post(path, files=parts)

    async def ended(self) -> str:
        """The page, once nothing is tried any more."""

        async def is_over() -> str:
            page = await self.page()
            return "" if "is being tried" in page else page

        return str(await eventually(is_over, seconds=240))


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(desk: GatewayProcess) -> AsyncIterator[Visitor]:
    """A person at the page; what they have tried has ended."""
    async with httpx.AsyncClient(base_url=desk.url, timeout=60) as client:
        visitor = Visitor(client)
        yield visitor
        await visitor.send("/desk/policy/cancel")


pytestmark = pytest.mark.asyncio(loop_scope="session")


def statuses(gateway: GatewayProcess) -> list[tuple[Any, ...]]:
    """Where each case stands, and how many entries the ledger has."""
    with closing(store_by_hand(gateway.data)) as connection:
        cases = connection.execute(
            "SELECT case_id, status, round_number FROM cases ORDER BY case_id"
        ).fetchall()
        return [*cases, connection.execute("SELECT count(*) FROM ledger").fetchone()]


async def test_the_page_shows_what_the_command_prints_and_nothing_is_put_in_force(
    desk: GatewayProcess, visitor: Visitor
) -> None:
    """The policy in force changes nothing; another one changes what it should, with references."""
    before = statuses(desk)
    in_force = (await visitor.client.get("/readyz")).json()["policy"]["sha256"]
    pasted = SHIPPED.replace("\n", "\r\n")  # as a browser sends it
    assert (await visitor.send(text=pasted, days="7")).status_code == 303
    assert "8 calls compared" in (page := await visitor.ended()) and "It changes none of them." in page
    assert in_force in page  # the very same file
    assert (await visitor.send(file=LOOSE.encode(), text="not this", days="1")).status_code == 303
    page = await visitor.ended()
    assert "3 calls put before a person then, and approved without a person by this policy" in page
    assert "all &lt;b&gt;" in page and "<b>" not in page
    assert len(re.findall(r'href="/desk/cases/evt_[0-9a-f]{16}"', page)) == 9
    assert '1" checked' in page
    assert (await visitor.client.get("/readyz")).json()["policy"]["sha256"] == in_force
    assert statuses(desk) == before


async def test_mistakes_are_named_with_their_lines(visitor: Visitor) -> None:
    """All of them, as `policy check` does, and what was written is still there."""
    text = '[[rule]]\ntool = 5\nscore = 5\n[[rule]]\ntool = "a"\nscore = 101\n'
    await visitor.send(text=text, days="30")
    page = await visitor.ended()
    assert "There is no report." in page
    assert "line 2: tool must be" in page and "line 6: score must be" in page
    assert "score = 101" in page
    await visitor.send(text='[[rule]]\ntool = "a"\nscore = 75\nreviewers = ["no one"]\n')
    assert "and there is no such reviewer" in await visitor.ended()


HOSTILE = {
    "nothing": ("", 422, "Paste a policy"),
    "a megabyte": ("# " + "x" * 1_000_001, 422, "at most 1 MB"),
    "markup": ("<script>alert(1)</script>\u202e", 303, "it is not TOML"),
    "nested": (f"a = {'[' * 50_000}", 303, "it is not TOML"),
    "a nested condition": (
        f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{'(' * 20_000}true{')' * 20_000}'\n",
        303,
        "There is no report",
    ),
    "a control character": ('a = "\x00"', 303, "There is no report"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_text_is_a_sentence(visitor: Visitor, name: str) -> None:
    """And the gateway goes on."""
    text, status, said = HOSTILE[name]
    answer = await visitor.send(text=text)
    assert answer.status_code == status
    page = answer.text if status == 422 else await visitor.ended()
    assert said in page
    assert "<script>alert" not in page
    assert (await visitor.client.get("/healthz")).is_success


async def test_one_is_tried_at_a_time_and_can_be_cancelled(desk: GatewayProcess, visitor: Visitor) -> None:
    """The page works without JavaScript: it says that it loads itself again. Calls go on meanwhile."""
    slow = f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n"
    assert (await visitor.send(text=slow)).status_code == 303
    page = await visitor.page()
    assert "A policy is being tried" in page and '<noscript><meta http-equiv="refresh"' in page
    busy = await visitor.send(text=LOOSE)
    assert busy.status_code == 409 and "Another policy is being tried." in busy.text
    async with desk.agent(None) as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
    assert (await visitor.client.get("/desk/policy/progress")).status_code == 200
    await visitor.send("/desk/policy/cancel")
    assert "It was cancelled." in await visitor.page()


async def test_only_a_form_of_this_session_is_taken(visitor: Visitor) -> None:
    """Another page cannot have a policy tried, nor end a trial."""
    for path in ("/desk/policy", "/desk/policy/cancel"):
        assert (await visitor.client.post(path, data={"text": LOOSE})).status_code == 403
        forged = {"text": (None, LOOSE), "form_token": (None, "forged")}
        assert (await visitor.client.post(path, files=forged)).status_code == 403
    large = await visitor.client.post("/desk/policy", content=b"x" * (2**21 + 2**17))
    assert large.status_code == 413


async def test_a_trial_whose_page_was_left_ends(desk: GatewayProcess) -> None:
    """No page asks about it, so its process is ended; one that is looked at goes on."""
    trials = Trials(location_in(desk.data), threshold=70, unseen=timedelta(seconds=1))
    slow = f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n"
    trial = trials.begin(slow, days=30, person_name="anna", reviewers=None)
    assert isinstance(trial, Trial)

    async def has_ended() -> bool:
        return not trial.is_running

    await eventually(has_ended)
    assert trial.problem == LEFT
    assert trials._process is None


async def test_no_process_is_left_at_the_end(desk: GatewayProcess) -> None:
    """A stop of the gateway ends what is tried."""
    trials = Trials(location_in(desk.data), threshold=70)
    trial = trials.begin(
        f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n", days=30, person_name="a", reviewers=None
    )
    assert trial is not None

    async def has_begun() -> bool:
        return trials._process is not None

    await eventually(has_begun)
    process = trials._process
    trials.close()
    assert process is not None
    assert await asyncio.wait_for(process.wait(), 60) == -9


async def test_a_page_that_watches_a_trial_keeps_no_session_alive(
    desk: GatewayProcess, running: Browser
) -> None:
    """What it asks for by itself says so; what a person asks for does not."""
    page = await (await person(running)).new_page()
    await page.goto(f"{desk.url}/desk/policy")
    await page.get_by_label("Text of the policy file").fill(
        f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n"
    )
    async with page.expect_request("**/desk/policy/progress") as asked:
        await page.get_by_role("button", name="Try it").click()
    assert (await (await asked.value).all_headers())["desk-automatic"] == "true"
    async with page.expect_request("**/desk/policy/cancel") as sent:
        await page.get_by_role("button", name="Cancel").click()
    assert "desk-automatic" not in await (await sent.value).all_headers()


@pytest.mark.parametrize(("dark", "size"), LOOKS)
async def test_the_page_has_no_faults_and_fits(
    desk: GatewayProcess, running: Browser, *, dark: bool, size: Any
) -> None:
    """The form, what is tried, and the report; also on a narrow screen."""
    page = await (await person(running, dark=dark, size=size)).new_page()
    await page.goto(f"{desk.url}/desk/overview")
    await page.get_by_role("link", name="Try another policy").click()
    await page.wait_for_url("**/desk/policy")
    for text, end in ((f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n", None), (LOOSE, "Report")):
        assert await faults_of(page) == []
        await page.get_by_label("Text of the policy file").fill(text)
        await page.get_by_label("the last day", exact=True).check()
        await page.get_by_role("button", name="Try it").click()
        if end is None:
            await page.get_by_role("heading", name="A policy is being tried").wait_for()
            assert await faults_of(page) == []
            await page.get_by_role("button", name="Cancel").click()
            await page.get_by_text("It was cancelled.").wait_for()
        else:
            await page.get_by_role("heading", name=end, exact=True).wait_for(timeout=240_000)
    assert await faults_of(page) == []
    width = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
