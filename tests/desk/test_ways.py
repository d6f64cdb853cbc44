"""People sign in at a real OpenID provider, in a real browser."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from desk_browser import faults_of, person
from gateway_process import GatewayProcess
from openid_provider import PUBLIC, OpenIdProvider, openid_provider
from openid_provider import person as known
from playwright.async_api import Browser, BrowserContext, Page, expect

pytestmark = pytest.mark.npm
PEOPLE = {
    "anna": known("anna", "clerks", "desk"),
    "eve": known("eve", "guests"),
    "mallory": known("Anna", "desk"),
}


pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def around(
    directory: Path, *, says: str = "in the token", **settings: str
) -> AsyncIterator[tuple[OpenIdProvider, GatewayProcess]]:
    """A provider, and a gateway that it knows."""
    async with openid_provider(says=says, **PEOPLE) as provider:
        gateway = GatewayProcess(directory, **provider.settings | settings)
        await gateway.start()
        try:
            await provider.know(gateway.url)
            yield provider, gateway
        finally:
            await gateway.kill()


async def sign_in(
    context: BrowserContext, gateway: GatewayProcess, name: str, *, path: str = "/desk"
) -> Page:
    """Go to a page of the desk, press the button, sign in at the provider and consent: by keyboard alone."""
    await context.route("https://**", lambda route: route.abort())  # the provider's pages ask for a font
    page = await context.new_page()
    await page.goto(gateway.url + path)
    await page.get_by_role("link", name="Sign in at 127.0.0.1").press("Enter")
    await page.locator("[name=login]").fill(name)
    await page.locator("[name=password]").fill("any")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Continue").press("Enter")
    await page.wait_for_url(f"{gateway.url}/**")
    return page


async def test_a_person_signs_in_at_the_provider_and_out_again(tmp_path: Path, running: Browser) -> None:
    """Groups by a path of claims; who is in no group reads why, and so does a look-alike; keys change."""
    async with around(tmp_path) as (provider, gateway):
        mine = await person(running)
        page = await sign_in(mine, gateway, "anna", path="/desk/account")
        await expect(page).to_have_url(f"{gateway.url}/desk/account")  # where the person wanted to go
        await expect(page.locator("main")).to_contain_text("clerks, desk")
        assert {cookie["name"].partition("-openid-")[1] for cookie in await mine.cookies(gateway.url)} == {""}
        await page.get_by_role("button", name="Sign out").press("Enter")
        await page.get_by_text("You are signed out.").wait_for()
        await page.goto(f"{gateway.url}/desk")
        await expect(page).to_have_url(f"{gateway.url}/desk/sign-in?then=/desk")

        for name, reason in (("eve", "is in none of the groups"), ("mallory", "another person here")):
            page = await sign_in(await person(running), gateway, name)
            said = await page.get_by_role("alert").inner_text()
            assert reason in said, said
            assert await faults_of(page) == []
            await page.get_by_role("link", name="Sign in another way").press("Enter")
            await page.wait_for_url("**/desk/sign-in")
            assert await faults_of(page) == []

        await provider.rotate()
        page = await sign_in(await person(running), gateway, "anna")
        await expect(page).to_have_url(f"{gateway.url}/desk")


async def test_a_code_works_once_and_in_the_browser_that_asked_for_it(
    tmp_path: Path, running: Browser
) -> None:
    """The address of the way back, taken by a person who sees the network, opens nothing."""
    async with around(tmp_path) as (_, gateway):
        mine, other = await person(running), await person(running)
        back: list[str] = []
        mine.on("request", lambda request: back.append(request.url))
        page = await sign_in(mine, gateway, "anna")
        [address] = [url for url in back if "/desk/oidc/callback" in url]
        for context in (mine, other):
            page = await context.new_page()
            await page.goto(address)
            await expect(page.get_by_role("alert")).to_contain_text("not begun in this browser")
        await page.goto(f"{gateway.url}/desk")
        await expect(page).to_have_url(re.compile("/desk/sign-in"))


@pytest.mark.parametrize("client", [{}, {"ATLAS_OIDC_CLIENT_ID": PUBLIC, "ATLAS_OIDC_CLIENT_SECRET": ""}])
async def test_names_and_groups_may_stand_outside_the_token(
    tmp_path: Path, running: Browser, client: dict[str, Any]
) -> None:
    """A provider that follows the specification to the letter says them at its other endpoint."""
    async with around(tmp_path, says="elsewhere", **client) as (_, gateway):
        page = await sign_in(await person(running), gateway, "anna", path="/desk/account")
        await expect(page.locator("main")).to_contain_text("anna")
