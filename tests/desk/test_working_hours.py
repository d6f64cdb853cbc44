"""Where a rule counts working hours, the end of the time that each way shows is one of working time."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
from desk_browser import person
from desk_office import KEYS, extension, modification, office, sign_in, terminal
from gateway_process import ROOT, WAIT_SECONDS, GatewayProcess, output_of
from playwright.async_api import Browser

from atlas.instants import now, read_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")
RULES = """
unknown_tools = "person"

[[rule]]
tool = "request_extension"
score = 75
reviewers = ["anna"]
review_timeout = "1h"
working_hours = true

[[rule]]
tool = "modify_welfare_record"
score = 95
reviewers = ["anna"]
review_timeout = "1h"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose anna works for one minute a day, so that an hour of hers takes two months."""
    directory = tmp_path_factory.mktemp("hours")
    gateway = office(directory, rules=RULES)
    await gateway.start()
    words = ("set", "anna", "--working-hours", "mon-sun 12:00-12:01", "--zone", "Europe/Berlin")
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.people", *words),
        cwd=ROOT,
        env=gateway.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    await output_of(command, seconds=WAIT_SECONDS)
    yield gateway
    await gateway.kill()


async def days_left(gateway: GatewayProcess, case_id: str) -> timedelta:
    """How long a program that decides by the webhook reads that there is."""
    headers = {"Authorization": f"Bearer {KEYS['anna']}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=WAIT_SECONDS) as client:
        case = (await client.get(f"/cases/{case_id}")).json()
    return read_instant(case["expires_at"]) - now()


async def test_a_program_reads_an_end_of_working_time_where_the_rule_counts_it(
    at: GatewayProcess,
) -> None:
    """Sixty minutes, one a day; beside it an hour by the clock."""
    counted = await days_left(at, await extension(at, 10))
    assert timedelta(days=58) < counted < timedelta(days=61)
    assert await days_left(at, await modification(at, monthly_amount_eur=700)) <= timedelta(hours=1)


async def test_the_desk_shows_the_same_end(at: GatewayProcess, chromium: Browser) -> None:
    """In days, and it still takes an approval."""
    case_id = await extension(at, 20)
    context = await person(chromium)
    page = await context.new_page()
    await sign_in(page, at, path=f"/desk/cases/{case_id}")
    left = await page.locator(".time-left time[data-left]").inner_text()
    assert left.split()[0] in ("58", "59", "60")
    assert left.split()[1] == "d"
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_text("Your approval is recorded.").wait_for()
    await context.close()


async def test_the_terminal_shows_the_same_end(at: GatewayProcess) -> None:
    """In the list of what waits."""
    case_id = await extension(at, 30)
    status, listed = await terminal(at, "list")
    assert status == 0
    lines = listed.splitlines()
    [line] = [line for line in lines if line.startswith(case_id)]
    assert any(f"{days} d" in line for days in (58, 59, 60))
