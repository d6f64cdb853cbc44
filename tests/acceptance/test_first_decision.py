"""From nothing to a decision in a browser: one command, the link that it prints, one click."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from desk_browser import browser, person
from setup_terminal import bare_environment, run

PATIENCE_MS = 30_000


async def test_one_command_and_one_click_lead_to_a_decision_in_the_browser(
    checkout: Path, free_port: int, no_docker: Path
) -> None:
    """The handshake leaves its call to the person who opened the printed link, and tells what was done."""
    (checkout / ".env").write_text(f"ATLAS_PORT={free_port}\n")
    started = await asyncio.to_thread(run, checkout, first_on_path=no_docker)
    assert started.returncode == 0, started.stderr
    link = re.search(rf"http://127\.0\.0\.1:{free_port}/desk/enter#\S+", started.stdout)
    assert link is not None, started.stdout
    async with browser() as running:
        page = await (await person(running)).new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(link[0])
        await page.get_by_role("button", name="Open the desk").click()
        await page.get_by_role("heading", name="Inbox").wait_for()
        handshake = await asyncio.create_subprocess_exec(
            *(sys.executable, "test_handshake.py", "--desk"),
            cwd=checkout,
            env=bare_environment(no_docker),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            # The call arrives on the open page; it is not loaded again.
            await page.locator("#main [data-case] a[href*='/desk/cases/evt_']").first.click()
            await page.get_by_role("button", name="Approve").click()
            await page.get_by_text("Your approval is recorded.").wait_for()
            said, _ = await asyncio.wait_for(handshake.communicate(), 60)
        finally:
            if handshake.returncode is None:
                handshake.kill()
                await handshake.wait()
    assert handshake.returncode == 0, said.decode()
    assert "PASSED. What you decided was done." in said.decode()
