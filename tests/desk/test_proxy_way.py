"""A person whom a trusted proxy names works at the desk in a browser, without any sign-in of the gateway."""

from pathlib import Path

import pytest
from desk_browser import person
from gateway_process import GatewayProcess, eventually, reference_in, status_of
from playwright.async_api import Browser

pytestmark = pytest.mark.asyncio(loop_scope="session")

WAIT_MILLISECONDS = 30_000
SECRET = "a-long-random-text-of-your-own"
SETTINGS = {
    "ATLAS_TRUSTED_PROXIES": "127.0.0.1",
    "ATLAS_PROXY_SECRET": SECRET,
    "ATLAS_PROXY_GROUPS": "desk",
}
# What oauth2-proxy adds to each request of a browser.
ADDED = {"User": "anna", "Groups": "desk", "Secret": SECRET}


async def test_a_person_of_a_proxy_sees_a_call_arrive_and_approves_it_by_keyboard(
    tmp_path: Path, running: Browser
) -> None:
    """The page, its live stream and its form all come through the proxy."""
    gateway = GatewayProcess(tmp_path, **SETTINGS)
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            context = await person(running)
            await context.set_extra_http_headers({f"X-Auth-Request-{name}": ADDED[name] for name in ADDED})
            page = await context.new_page()
            page.set_default_timeout(WAIT_MILLISECONDS)
            await page.goto(f"{gateway.url}/desk")
            await page.get_by_role("heading", name="Inbox").wait_for()
            arguments = {"beneficiary_id": "BEN-123", "reason": "hospital stay"}
            held = await agent.call_tool("request_payment_extension", arguments, raise_on_error=False)
            reference = reference_in(held)
            await page.locator(f"a[href$='{reference}']").first.wait_for()  # without loading the page again
            await page.keyboard.press("j")
            await page.keyboard.press("Enter")
            shown = page.locator("html.has-script")  # a key that is pressed before the script runs is lost
            await shown.get_by_role("button", name="Approve").wait_for()
            await page.keyboard.press("a")
            await page.get_by_text("Your approval is recorded.").wait_for()

            async def has_run() -> bool:
                return status_of(gateway, reference) == "EXECUTED"

            await eventually(has_run)
    finally:
        await gateway.kill()
