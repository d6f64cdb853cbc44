"""An engine that is killed again and again under load loses no event and makes no memo twice."""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import inngest
import pytest
import uvicorn

from crash.engine_app import Journal, build_app
from crash.engine_kills import MortalEngine
from crash.engine_load import Load, until

DRAIN_SECONDS = 200.0


@contextlib.asynccontextmanager
async def served(web: Any) -> Any:
    """Serve the app on a free loopback port and yield its URL."""
    config = uvicorn.Config(web, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def crash(directory: Path, kills: int, *, load_at_once: int) -> None:
    """Kill an engine that often under load, and check everything that was acknowledged."""
    seed = int(os.environ.get("ATLAS_TEST_SEED", time.time_ns() % 10_000))
    chance, journal = random.Random(seed), Journal()  # noqa: S311 - to be repeated
    engine = MortalEngine(directory, chance)
    await engine.start()
    client = inngest.Inngest(
        app_id="crash",
        is_production=False,
        api_base_url=engine.url,
        event_api_base_url=engine.url,
    )
    load = Load(engine.url, journal, random.Random(seed + 1), load_at_once)  # noqa: S311 - to be repeated
    try:
        async with served(build_app(client, journal)) as url, httpx.AsyncClient(timeout=60) as http:
            assert (await http.put(f"{url}/api/inngest")).json()["ok"]
            sending = asyncio.create_task(load.run())
            await engine.kill()
            for _ in range(kills - 1):
                await engine.live_and_die()
            await engine.start()
            load.is_over = True
            await asyncio.wait_for(sending, DRAIN_SECONDS)
            await wait_on_holiday(directory, load)
            await load.decide_holidays()
            await until(lambda: "RUNNING" not in statuses(directory))
    finally:
        with contextlib.suppress(ProcessLookupError, AssertionError):
            await engine.kill()
    print(report(engine, load, directory, seed))
    check_events(directory, load)
    check_memos(directory, load)


async def wait_on_holiday(directory: Path, load: Load) -> None:
    """A run that was not decided on waits, and no other."""

    def waiting() -> list[str]:
        with contextlib.closing(sqlite3.connect(directory / "engine.db")) as connection:
            rows = connection.execute(
                "SELECT json_extract(body, '$.data.n') FROM pauses JOIN runs USING (run_id)"
                " JOIN events USING (event_id) WHERE kind = 'wait'"
            )
            return sorted(n for (n,) in rows)

    await until(lambda: waiting() == sorted(load.holidays))


def statuses(directory: Path) -> Counter[str]:
    """How many runs stand where."""
    with contextlib.closing(sqlite3.connect(directory / "engine.db")) as connection:
        return Counter(status for (status,) in connection.execute("SELECT status FROM runs"))


def report(engine: MortalEngine, load: Load, directory: Path, seed: int) -> str:
    """The figures of a crash run in one line."""
    executions = load.journal.executions.values()
    repeated = sum(len(values) - 1 for values in executions)
    return (
        f"seed {seed}: {sum(engine.deaths.values())} kills {engine.deaths}, {load.posts} posts of"
        f" {len(load.acknowledged)} events, runs {dict(statuses(directory))}, {len(executions)} steps,"
        f" {repeated} executions of a step whose answer was lost"
    )


def check_events(directory: Path, load: Load) -> None:
    """Every acknowledged event has run its function once, to the end."""
    with contextlib.closing(sqlite3.connect(directory / "engine.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT json_extract(body, '$.data.n'), status FROM runs JOIN events USING (event_id)"
        ).fetchall()
    ended = dict(rows)
    assert len(ended) == len(rows), "an event has started two runs"
    for n, (kind, _) in load.acknowledged.items():
        expected = "CANCELLED" if kind == "cancellable" else "COMPLETED"
        assert ended[n] == expected, (n, kind, ended[n])
        assert len(load.journal.run_ids[n]) == 1
    for n, sent in load.decisions_sent.items():
        (woken_by,) = load.journal.woken_by[n]
        assert woken_by in sent
        assert load.journal.ended[n]["n"] == n
    assert not any(load.journal.ended.get(n) for n in load.cancelled)


def check_memos(directory: Path, load: Load) -> None:
    """Every step has one memo: what one of its executions drew, and the same at every later call."""
    for step, memos in load.journal.memos.items():
        assert len(memos) == 1, (step, memos)
        if step[1] != "ask":
            assert memos <= set(load.journal.executions[step])
    with contextlib.closing(sqlite3.connect(directory / "engine.db")) as connection:
        kept = connection.execute(
            "SELECT run_id, name, json_extract(memo, '$.data') FROM memos WHERE memo LIKE '{\"data\":\"%'"
        ).fetchall()
    assert len(kept) >= len(load.journal.memos)
    for run_id, name, memo in kept:
        assert load.journal.memos.get((run_id, name), {memo}) == {memo}


async def test_an_engine_killed_a_few_times_under_load_loses_nothing(tmp_path: Path) -> None:
    """Every event runs its function once to the end, every memo is made once, every wait lasts."""
    await crash(tmp_path, kills=3, load_at_once=12)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_an_engine_killed_300_times_under_load_loses_nothing(tmp_path: Path) -> None:
    """The same, long enough to hit the rare moments."""
    await crash(tmp_path, kills=300, load_at_once=30)
