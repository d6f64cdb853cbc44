"""Makes the screenshots of the documentation with its own gateway: `python tests/support/pictures.py`."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from desk_browser import browser, person
from gateway_process import REVIEWER_KEY, GatewayProcess, reference_in
from nursery import ROOT

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 860}
EXTENSION = {
    "beneficiary_id": "BEN-123",
    "reason": "Hospital stay until the 14th, the certificate is in the file",
}
CHANGE = {"beneficiary_id": "BEN-123", "changes": {"monthly_amount_eur": 640}}


async def main() -> None:
    """Start a gateway with the example office, make calls, and take the pictures."""
    with TemporaryDirectory() as directory:
        gateway = GatewayProcess(Path(directory), ATLAS_REVIEWER_KEY=f"anna:{REVIEWER_KEY}")
        await gateway.start()
        try:
            await take(gateway)
        finally:
            await gateway.kill()


async def take(gateway: GatewayProcess) -> None:
    """The inbox and the page of a case, light and dark."""
    reference = await fill(gateway)
    for dark in (False, True):
        async with browser() as running:
            desk = await person(running, size=SIZE, dark=dark)
            page = await desk.new_page()
            await page.goto(f"{gateway.url}/desk/sign-in")
            await page.get_by_label("Key", exact=True).fill(REVIEWER_KEY)
            await page.keyboard.press("Enter")
            await page.get_by_role("heading", name="Inbox").wait_for()
            shade = "-dark" if dark else ""
            await page.screenshot(path=IMAGES / f"inbox{shade}.png")
            await page.goto(f"{gateway.url}/desk/cases/{reference}")
            await page.screenshot(path=IMAGES / f"case{shade}.png")


async def fill(gateway: GatewayProcess) -> str:
    """Make some calls that wait, of two agents; returns the reference of the one to show."""
    meta = {
        "io.atlas/intent": "Move the repayment date until the beneficiary is back at home.",
        "io.atlas/user_request": "Please give BEN-123 until March, she is in hospital.",
    }
    async with gateway.agent() as agent:
        await agent.call_tool("check_status", {"beneficiary_id": "BEN-123"})
        for number in (7, 30, 211):
            arguments = EXTENSION | {"beneficiary_id": f"BEN-{number:03}"}
            await agent.call_tool("request_payment_extension", arguments, raise_on_error=False)
        shown = await agent.call_tool("modify_welfare_record", CHANGE, raise_on_error=False, meta=meta)
    return reference_in(shown)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    IMAGES.mkdir(exist_ok=True)
    asyncio.run(main())
