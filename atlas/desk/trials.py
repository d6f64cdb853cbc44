"""A policy that a person tries on the past from the desk: one at a time, in a process that slows no call.

It goes on while a page asks how far it has come, and ends when none does any more.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import anyio

from atlas.database.location import Location
from atlas.instants import now
from atlas.origins.recollection import USUAL_IDLE
from atlas.replay.child import Task, Told
from atlas.replay.report import Report

ROOT = Path(__file__).parents[2]
PASSED_ON = ("PATH", "PYTHONPATH", "HOME", "LD_LIBRARY_PATH")  # no key, and no other setting
BUDGET = timedelta(minutes=2)
MORE = timedelta(seconds=60)  # for the start of the process, and to compile what was pasted
UNSEEN = timedelta(seconds=30)  # after which a trial that no page asks about has been left
LONGEST_LINE = 16 * 2**20  # bytes of a report
LEFT = "It was ended, because its page was left. Start it again, and leave the page open."
CANCELLED = "It was cancelled."
TOO_LONG = "The policy could not be tried in time. Try simpler conditions, or fewer days."
BROKEN = "The policy could not be tried: its process ended. The log of the gateway has more."

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Trial:
    """One policy that is tried, or was."""

    text: str
    days: int
    person_name: str
    began_at: datetime
    done: int = 0
    of: int = 0
    report: Report | None = None
    problem: str | None = None  # why there is no report

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.report is None and self.problem is None

    def end(self, problem: str) -> None:
        """Say why there is no report, unless it has ended before."""
        if self.is_running:
            self.problem = problem


class Trials:
    """Runs trials, one after the other; the newest one is kept in memory, and nowhere else."""

    def __init__(
        self,
        location: Location,
        *,
        threshold: int,
        idle: timedelta = USUAL_IDLE,
        unseen: timedelta = UNSEEN,
    ) -> None:
        # The process that tries is in another directory.
        self._location = location.model_copy(update={"directory": location.directory.absolute()})
        self._threshold = threshold
        self._idle = idle
        self._unseen = unseen
        self.newest: Trial | None = None
        self._scope: anyio.CancelScope | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None

    def begin(
        self, text: str, *, days: int, person_name: str, reviewers: tuple[str, ...] | None
    ) -> Trial | None:
        """Try a policy on the last days; None while another one is tried."""
        if self.newest is not None and self.newest.is_running:
            return None
        trial = Trial(text, days, person_name, began_at=now())
        task = Task(
            location=self._location,
            policy=text,
            threshold=self._threshold,
            reviewers=reviewers,
            since=trial.began_at - timedelta(days=days),
            until=trial.began_at,
            budget=BUDGET,
            idle=self._idle,
        )
        self.newest = trial
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._run(trial, task, self._scope))
        return trial

    def look(self) -> Trial | None:
        """The newest trial, which a page shows: it goes on for a while."""
        if self._scope is not None and self.newest is not None and self.newest.is_running:
            self._scope.deadline = anyio.current_time() + self._unseen.total_seconds()
        return self.newest

    def cancel(self) -> None:
        """End the trial that runs."""
        if self.newest is not None:
            self.newest.end(CANCELLED)
        self.close()

    def close(self) -> None:
        """Leave no process behind; it can be called at any time."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
        if self._task is not None:
            self._task.cancel()

    async def _run(self, trial: Trial, task: Task, scope: anyio.CancelScope) -> None:
        """Have the trial end in one of its ways, also where its process fails."""
        try:
            with scope:
                scope.deadline = anyio.current_time() + self._unseen.total_seconds()
                with anyio.fail_after((BUDGET + MORE).total_seconds()):
                    await self._ask(trial, task)
        except TimeoutError:
            trial.end(TOO_LONG)
        except Exception as error:  # the person is told, and the gateway goes on
            logger.warning("A policy could not be tried: %s", type(error).__name__)
        finally:
            trial.end(LEFT if scope.cancelled_caught else BROKEN)

    async def _ask(self, trial: Trial, task: Task) -> None:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "atlas.replay.child"),
            cwd=ROOT,
            env=environment,
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_LINE,
        )
        try:
            await self._hear(trial, task, process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
            self._process = None

    async def _hear(self, trial: Trial, task: Task, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  (both are pipes)
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(f"{task.model_dump_json()}\n".encode("utf-8", "surrogatepass"))
        await process.stdin.drain()
        async for line in process.stdout:
            told = Told.model_validate_json(line)
            trial.done, trial.of = max(trial.done, told.done), max(trial.of, told.of)
            if told.report is not None or told.problem is not None:
                trial.report, trial.problem = told.report, told.problem
                return
