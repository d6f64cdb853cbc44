"""Workers that compare calls: what they say is the same with any number of them, and none is left."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from gateway_process import ROOT, eventually
from kept import location_in, store_settings
from past_cases import write_past

from atlas.assessors.policy import Policy
from atlas.database.choose import beside
from atlas.replay.comparing import Compared, Task
from atlas.replay.past import windows_of
from atlas.replay.run import replay
from atlas.replay.span import Span
from atlas.replay.workers import WorkerEnded, compared

CALLS = 400
POLICY = """unknown_tools = "general"
[[rule]]
name = "often"
tool = "send_*"
when = 'session.calls("send_*") > 9'
floor = 80
[[rule]]
name = "much"
tool = "send_money"
when = 'session.sum("send_money", "amount") > 200.0 && args.recipient.endsWith("com")'
score = 60
approvals = 2
[[rule]]
name = "fails"
tool = "request_extension"
when = "args.amount > 5"
score = 10
"""
TEN = "[1,2,3,4,5,6,7,8,9,10]"
SLOW = f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, {TEN}.all(e, a + b > 0)))))"
SPAN = Span(
    since=datetime(2000, 1, 1, tzinfo=timezone.utc),
    until=datetime(2100, 1, 1, tzinfo=timezone.utc),
    budget=timedelta(hours=1),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with calls of the past, some in the sessions of others."""
    directory = tmp_path_factory.mktemp("workers")
    asyncio.run(write_past(directory, CALLS))
    return directory


def calls_by(directory: Path, workers: int, *, seconds: float = 3600) -> list[Compared | None]:
    """What so many workers say of all calls, in windows of 30."""
    task = Task(
        location=location_in(directory),
        policy=Path("tried.toml"),
        content=POLICY.encode(),
        threshold=70,
        span=SPAN,
    )
    windows = windows_of(beside(location_in(directory)), SPAN, 30)
    parts = compared(task, windows, monotonic() + seconds, workers=workers)
    return [call for part in parts for call in part.calls]


def test_one_worker_and_many_say_the_same_in_the_same_order(directory: Path) -> None:
    """Also where the calls before a window count, which another worker had."""
    alone = calls_by(directory, 1)
    assert len(alone) == CALLS and None not in alone
    assert calls_by(directory, 2) == alone
    rules = {rule for call in alone if call for rule in call.now.said.rules}
    assert rules == {"often", "much", "fails"}
    assert {call.now.said.failed_rule is None for call in alone if call} == {True, False}


def test_the_report_is_the_same(directory: Path) -> None:
    """Of one worker, and of as many as there are cores."""
    policy = Policy(Path("tried.toml"), threshold=70, content=POLICY.encode())
    alone, together = (replay(location_in(directory), policy, SPAN, workers=workers) for workers in (1, 2))
    assert together == alone
    assert alone.calls == CALLS and alone.changed > 0


def test_the_time_ends_the_work_of_all(directory: Path) -> None:
    """What is told begins with the oldest call, and has no gap."""
    assert calls_by(directory, 2, seconds=0) == []


def test_a_worker_that_ends_is_told(directory: Path) -> None:
    """No report is made of a part of the calls."""
    missing = Task(
        location=location_in(directory),
        policy=Path("tried.toml"),
        content=b"\xff",  # no worker can read it
        threshold=70,
        span=SPAN,
    )
    windows = windows_of(beside(location_in(directory)), SPAN, 30)
    with pytest.raises(WorkerEnded, match="--workers 1"):
        list(compared(missing, windows, monotonic() + 60, workers=2))


def _children(process: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="it looks into /proc")
@pytest.mark.parametrize("signal_number", [9, 2])
async def test_no_worker_outlives_the_command(directory: Path, tmp_path: Path, signal_number: int) -> None:
    """Nor where it is killed."""
    (tmp_path / "slow.toml").write_text(f"[[rule]]\ntool = \"*\"\nscore = 5\nwhen = '{SLOW}'\n")
    command = ("-m", "atlas.assessors.policy", "replay", str(tmp_path / "slow.toml"), "--workers", "2")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        cwd=ROOT,
        env=os.environ | {"ATLAS_PORT": "0", "ATLAS_DATA_DIR": str(directory)} | store_settings(directory),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        # A shell that runs the tests in the background has what they begin ignore an interruption.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )

    async def has_begun() -> list[int]:
        children = _children(process.pid)
        return children if len(children) >= min(2, len(os.sched_getaffinity(0))) else []

    try:
        children = await eventually(has_begun, seconds=120)
        process.send_signal(signal_number)
        await asyncio.wait_for(process.wait(), 120)
    finally:
        if process.returncode is None:
            process.kill()

    async def have_ended() -> bool:
        return not any(_is_alive(one) for one in children)

    await eventually(have_ended, seconds=120)


def _is_alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
