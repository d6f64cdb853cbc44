"""What holds for every page of the desk: its headers, its assets, and that nothing comes from elsewhere."""

from hashlib import sha256

import httpx
import pytest
from desk_browser import faults_of, person
from gateway_process import GatewayProcess
from nursery import ROOT
from playwright.async_api import Browser

ASSETS = ROOT / "atlas" / "desk" / "assets"


async def test_a_page_may_load_nothing_from_elsewhere_and_is_kept_nowhere(gateway: GatewayProcess) -> None:
    """The page, an asset and an answer for a missing page carry the same policy."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        answers = [await client.get(path) for path in ("/desk", "/desk/assets/desk.css", "/desk/missing")]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store", "no-cache", "no-store"]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_browser_obeys_the_policy_and_axe_finds_nothing(
    gateway: GatewayProcess, running: Browser
) -> None:
    """A fault of the policy shows in the console: a script or a style that was not let in."""
    page = await (await person(running)).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(f"{gateway.url}/desk")
    assert await page.evaluate("typeof htmx") == "object"
    assert await faults_of(page) == []
    assert said == []


def test_each_vendored_file_is_the_one_that_its_licence_names() -> None:
    """A changed file is found here."""
    notes = list(ASSETS.glob("*.LICENSE.txt"))
    assert notes
    for note in notes:
        file = note.with_name(note.name.replace(".LICENSE.txt", ".min.js"))
        assert f"SHA-256: {sha256(file.read_bytes()).hexdigest()}" in note.read_text()
