"""The benchmarks run: what they print is not compared with anything, because a test machine is busy."""

import asyncio
import re
import sys

import pytest
from gateway_process import WAIT_SECONDS, output_of
from nursery import ROOT

LINE = re.compile(r"^\| .+ \| .+ \| \d.* \| (?:reached|no) \|$")
LINES = 13


@pytest.mark.soak
async def test_every_line_of_the_table_is_measured() -> None:
    """With as few turns as there can be; the last lines are benchmarks/scale.py alone."""
    command = (sys.executable, str(ROOT / "benchmarks" / "all.py"), "--least", "--without-many")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    title, rule, *lines = (await output_of(process, seconds=4 * WAIT_SECONDS)).splitlines()
    assert title.count("|") == rule.count("|") == 5
    assert len(lines) == LINES and all(map(LINE.match, lines)), lines
