"""A gateway with two reviewers and two agents, and their browsers and calls, for tests of the inbox."""

import asyncio
import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from desk_browser import show_key
from gateway_process import GatewayProcess, call, reference_in
from playwright.async_api import BrowserContext, Page

from atlas.cases.__main__ import main

KEYS = {"anna": "key-of-anna-for-the-tests", "ben": "key-of-ben-for-the-tests"}
AGENTS = {"billing-bot": "key-of-billing-bot-tests", "letter-bot": "key-of-letter-bot-tests"}
POLICY = """
unknown_tools = "person"

[[rule]]
tool = "check_status"
score = 5
classification = "minimal risk"

[[rule]]
tool = "request_extension"
score = 75
classification = "high risk"

[[rule]]
tool = "modify_welfare_record"
score = 95
classification = "very high risk"
reviewers = ["ben"]
"""


def office(directory: Path, *, rules: str = POLICY, **environment: str) -> GatewayProcess:
    """The gateway, which is not started yet."""
    policy = directory / "policy.toml"
    policy.write_text(rules)
    return GatewayProcess(
        directory,
        ATLAS_AGENT_KEY=",".join(f"{name}:{key}" for name, key in AGENTS.items()),
        ATLAS_REVIEWER_KEY=",".join(f"{name}:{key}" for name, key in KEYS.items()),
        ATLAS_POLICY=str(policy),
        **environment,
    )


async def extension(gateway: GatewayProcess, days: int, *, agent: str = "billing-bot") -> str:
    """The reference of a call that waits for a person, made by a real client."""
    async with gateway.agent(AGENTS[agent]) as client:
        answer = await call(
            client, "request_extension", beneficiary_id="BEN-123", days=days, reason="illness"
        )
    return reference_in(answer)


async def modification(gateway: GatewayProcess, **changes: Any) -> str:
    """The same for a call that the policy leaves to ben."""
    async with gateway.agent(AGENTS["letter-bot"]) as client:
        answer = await call(client, "modify_welfare_record", beneficiary_id="BEN-123", changes=changes)
    return reference_in(answer)


async def sign_in(page: Page, gateway: GatewayProcess, name: str = "anna", *, path: str = "/desk") -> None:
    """Sign a browser in with the key of a reviewer, and open a page."""
    await show_key(page, gateway.url, KEYS[name])
    await page.goto(gateway.url + path)


async def terminal(gateway: GatewayProcess, *words: str, keys: str | None = None) -> tuple[int, str]:
    """Run `python -m atlas.cases` in this process, in the shell of anna; its status, and what it printed."""

    def run() -> tuple[int, str]:
        printed = io.StringIO()
        shell = {"PATH": os.environ["PATH"], "HOME": str(gateway.directory)}
        shell["ATLAS_REVIEWER_KEY"] = keys or f"anna:{KEYS['anna']}"
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            patch.chdir(gateway.directory)
            patch.setattr(os, "environ", shell)
            status = main([*words, "--url", gateway.url])
        return status, printed.getvalue()

    return await asyncio.to_thread(run)


async def desk_of(
    context: BrowserContext, gateway: GatewayProcess, name: str = "anna", *, path: str = "/desk"
) -> Page:
    """A page of a person's browser, signed in, at the inbox or elsewhere."""
    page = await context.new_page()
    await sign_in(page, gateway, name, path=path)
    return page
