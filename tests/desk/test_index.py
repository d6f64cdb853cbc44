"""Each gets at `/` what it can read: a browser the desk, a script JSON; and so with an unknown page."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from desk_browser import LOOKS, faults_of, person
from gateway_process import AGENT_KEY, REVIEWER_KEY, GatewayProcess
from playwright.async_api import Browser, expect

from atlas.operate.accept import wants_page

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module")
def expected() -> Iterator[dict[str, bool]]:
    """Accept headers of real clients, and whether each is a browser's."""
    yield {
        CHROMIUM: True,
        FIREFOX: True,
        "text/html": True,
        "TEXT/HTML, */*;q=0.1": True,
        "text/*, application/json;q=0.9": True,
        "": False,  # urllib, load balancers
        "*/*": False,  # curl, httpx, requests
        "application/json": False,
        "application/json, text/html;q=0.9": False,
        "application/json, text/event-stream": False,  # MCP clients
        "text/html;q=0, */*": False,
        "text/html;q=much": False,
        ";;q=,,": False,
    }


def test_a_page_is_for_those_who_put_it_before_json(expected: dict[str, bool]) -> None:
    """By weight, and by the most exact range."""
    assert {accept: wants_page(accept) for accept in expected} == expected


async def test_the_index_sends_browsers_to_the_desk_and_scripts_get_json(
    gateway: GatewayProcess, expected: dict[str, bool]
) -> None:
    """HEAD and OPTIONS, which load balancers ask with, are answered as before for every Accept header."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        for accept, is_browser in expected.items():
            answer = await client.get("/", headers={"Accept": accept})
            assert answer.headers["vary"] == "Accept"
            if is_browser:
                assert (answer.status_code, answer.headers["location"]) == (303, "/desk"), accept
            else:
                assert (answer.status_code, answer.json()["desk"]) == (200, "/desk"), accept
            for method in ("HEAD", "OPTIONS"):
                answer = await client.request(method, "/", headers={"Accept": accept})
                assert answer.status_code == 200, f"{method} {accept}"
        assert (await client.get("/healthz", headers={"Accept": CHROMIUM})).json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["/", "/atlas", "/atlas/"])
async def test_behind_the_path_of_a_proxy_a_browser_gets_to_the_desk_there(tmp_path: Path, path: str) -> None:
    """Whether or not the proxy takes the path away."""
    gateway = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="", ATLAS_ROOT_PATH="/atlas")
    await gateway.start()
    try:
        async with httpx.AsyncClient(
            base_url=gateway.url, headers={"Accept": CHROMIUM}, timeout=60
        ) as client:
            sent = await client.get(path)
            there = await client.get(sent.headers["location"])
            missing = await client.get("/atlas/desk/missing")
    finally:
        await gateway.kill()
    assert (sent.status_code, sent.headers["location"]) == (303, "/atlas/desk")
    assert there.status_code == 200 and 'href="/atlas/desk/history"' in there.text
    assert missing.status_code == 404 and 'href="/atlas/desk"' in missing.text


@pytest.mark.parametrize("path", ["/desk/missing", "/desk/cases", "/desk/history/x/y", "/desk/%3Cscript%3E"])
async def test_an_unknown_page_of_the_desk_is_a_page_for_browsers(gateway: GatewayProcess, path: str) -> None:
    """Scripts get the one shape of errors; so does a browser where there never was a page."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        page = await client.get(path, headers={"Accept": CHROMIUM})
        script = await client.get(path)
        asset = await client.get("/desk/assets/missing.css", headers={"Accept": "text/css,*/*;q=0.1"})
        elsewhere = await client.get("/missing", headers={"Accept": CHROMIUM})
    assert page.status_code == 404 and "There is no such page" in page.text and "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for answer in (script, asset, elsewhere):
        assert (answer.status_code, answer.json()["error"]) == (404, "HTTPError")


async def test_a_stranger_reads_only_that_there_is_no_such_page(tmp_path: Path) -> None:
    """Neither a name nor the menu, and the same with an agent's key; a reviewer sees both."""
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    try:
        async with httpx.AsyncClient(
            base_url=gateway.url, headers={"Accept": CHROMIUM}, timeout=60
        ) as client:
            answers = [
                await client.get("/desk/missing", headers=headers)
                for headers in ({}, bearer(AGENT_KEY), bearer(REVIEWER_KEY))
            ]
    finally:
        await gateway.kill()
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert ['aria-label="Main"' in answer.text for answer in answers] == [False, False, True]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.asyncio(loop_scope="session")
async def test_axe_finds_nothing_on_the_page_for_a_missing_one(
    gateway: GatewayProcess, running: Browser
) -> None:
    """Light and dark, on a desktop and on a phone; and / in a browser ends at the inbox."""
    for dark, size in LOOKS:
        page = await (await person(running, dark=dark, size=size)).new_page()
        await page.goto(f"{gateway.url}/desk/missing")
        assert await faults_of(page) == []
        await page.goto(gateway.url)
        await expect(page).to_have_url(f"{gateway.url}/desk")
