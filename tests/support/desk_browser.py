"""Debian's Chromium, headless, as a person at the desk uses it; and what axe-core finds on a page."""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from gateway_process import WAIT_SECONDS
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 800}
# Dark or not, and the size. Half of them in every run, all of them with ATLAS_TEST_ALL_LOOKS=1.
ALL_LOOKS = ((False, DESKTOP), (True, PHONE), (True, DESKTOP), (False, PHONE))
LOOKS = ALL_LOOKS if os.environ.get("ATLAS_TEST_ALL_LOOKS") else ALL_LOOKS[:2]
# The shell is Chromium without what draws windows: the same pages take less than half of the CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

WAIT_MILLISECONDS = WAIT_SECONDS * 1000

# What a page shows comes a moment after what a person does: a test waits for it, on any machine.
expect.set_options(timeout=WAIT_MILLISECONDS)


def chromium() -> str:
    """The path of the browser; without one the test is skipped with a sentence, and in CI it fails."""
    found = os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end("The tests of the desk need Chromium. On Debian: apt-get install chromium-headless-shell")
    return found


@asynccontextmanager
async def browser(*arguments: str) -> AsyncIterator[Browser]:
    """A running browser, which asks no other host for anything."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--disable-background-networking", *arguments],
        )
        try:
            yield running
        finally:
            await running.close()


async def person(
    running: Browser, *, dark: bool = False, size: Any = None, scripts: bool = True
) -> BrowserContext:
    """A browser of one person: its own cookies, light or dark, with or without JavaScript."""
    context = await running.new_context(
        viewport=size or DESKTOP,
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    return context


async def close_all(running: Browser) -> None:
    """Close what is open in a browser, with its cookies."""
    for context in running.contexts:
        await context.close()


async def show_key(page: Page, url: str, key: str) -> None:
    """Sign a browser in as the form does that tests/desk/test_sign_in.py fills in; no page is drawn."""
    form = {"way": "key", "key": key}
    answer = await page.request.post(f"{url}/desk/sign-in", form=form, max_redirects=0)
    assert answer.status == 303, await answer.text()


async def faults_of(page: Page, *, rules_left_out: Sequence[str] = ()) -> list[str]:
    """What axe-core finds on a page: a line for each fault, with the elements.

    All is looked at; what has no fault is not described, which takes longer than to look.
    """
    rules = {rule: {"enabled": False} for rule in rules_left_out}
    results = await Axe().run(page, options={"resultTypes": ["violations"], "rules": rules})
    return [
        f"{violation['id']}: {', '.join(str(node['target']) for node in violation['nodes'])}"
        for violation in results.response["violations"]
    ]
