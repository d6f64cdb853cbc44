"""What has ended is forgotten after the retention, a little at a time; what waits is not."""

import datetime
import sqlite3
import subprocess
import sys

import inngest
import pytest

from atlas.engine.history import History
from atlas.engine.schema import connect_store
from atlas.engine.times import DAY, now

AT_ONCE = datetime.timedelta(milliseconds=1)
MONTH = datetime.timedelta(days=30)
HOUR = datetime.timedelta(hours=1)


def add_ended(connection, count, *, ended_at, first=0):
    """Adds the rows that two-step runs leave behind when they have ended."""
    connection.execute("BEGIN")
    for number in range(first, first + count):
        run_id, event_id, body = f"R{number:025}", f"E{number:025}", '{"data":{"some":"thing"}}' * 10
        connection.execute("INSERT INTO events VALUES (?, 'go', ?, ?)", (event_id, body, ended_at))
        connection.execute(
            "INSERT INTO runs (run_id, function_id, event_id, status, lane, state_size, output, started_at,"
            " ended_at) VALUES (?, 'f', ?, 'COMPLETED', 'f', 0, 'null', ?, ?)",
            (run_id, event_id, ended_at, ended_at),
        )
        for position in range(2):
            memo = (run_id, position, f"step {position}", "step", '{"data":"result"}' * 10)
            connection.execute("INSERT INTO memos VALUES (?, ?, ?, ?, ?)", memo)
        connection.execute("INSERT INTO skips VALUES ('f', ?, ?)", (event_id, ended_at + DAY))
    connection.execute("COMMIT")


def forget_all(connection, retention):
    """Sweeps once, as the executor does; returns the number of steps."""
    history, steps, has_more = History(retention), 0, True
    while has_more:
        connection.execute("BEGIN")
        has_more = history.forget_some(connection)
        connection.execute("COMMIT")
        steps += 1
    return steps


def counts(connection):
    tables = ("runs", "events", "memos", "skips")
    return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]


@pytest.fixture
def connection(tmp_path):
    opened = connect_store(tmp_path / "engine.db")
    yield opened
    opened.close()


def test_only_what_ended_longer_ago_than_the_retention_is_forgotten(connection):
    """Of old runs nothing is left, of younger ones everything."""
    add_ended(connection, 250, ended_at=now() - 31 * DAY)
    add_ended(connection, 150, ended_at=now() - 29 * DAY, first=250)
    forget_all(connection, MONTH)
    assert counts(connection) == [150, 150, 300, 0]
    forget_all(connection, datetime.timedelta(days=28))
    assert counts(connection) == [0, 0, 0, 0]


def test_the_events_of_runs_that_wait_are_passed_over_once_in_a_sweep(connection):
    """However many old runs wait, a sweep is a bounded number of small steps, and what waits stays."""
    add_ended(connection, 1000, ended_at=now() - 90 * DAY)
    connection.execute("UPDATE runs SET ended_at = NULL, status = 'RUNNING'")
    add_ended(connection, 10, ended_at=now() - 90 * DAY, first=1000)
    assert forget_all(connection, MONTH) <= 1010 / 400 + 2
    assert counts(connection) == [1000, 1000, 2000, 0]


@pytest.mark.parametrize("large", ["memo_count = 1000", "state_size = 16000000"])
def test_of_large_runs_only_few_are_forgotten_in_one_step(connection, large):
    """The step holds the writer, and what a large run leaves behind takes as long as hundreds of others."""
    add_ended(connection, 20, ended_at=now() - 90 * DAY)
    connection.execute(f"UPDATE runs SET {large}")
    assert forget_all(connection, MONTH) >= 10
    assert counts(connection) == [0, 0, 0, 0]


def test_the_room_of_what_was_forgotten_is_used_again(connection):
    """Ten times as much history does not make the file larger."""

    def pages():
        return connection.execute("PRAGMA page_count").fetchone()[0]

    add_ended(connection, 500, ended_at=now() - 90 * DAY)
    once = pages()
    for times in range(1, 10):
        forget_all(connection, MONTH)
        add_ended(connection, 500, ended_at=now() - 90 * DAY, first=500 * times)
    assert pages() <= once * 1.3


async def test_a_short_retention_breaks_neither_runs_in_flight_nor_those_that_follow_from_them(
    dev_lab, until
):
    """With a retention of a millisecond children, failures and their handlers still end as they should."""

    async def on_failure(ctx):
        dev_lab.log.append("handled")

    @dev_lab.function("child", trigger="child")
    async def child(ctx):
        return "grown"

    ended = inngest.TriggerEvent(
        event="inngest/function.finished", expression=f"event.data.function_id == '{dev_lab.app.name}-child'"
    )

    @dev_lab.function("watcher", trigger=ended)
    async def watcher(ctx):
        await ctx.step.run("look", dev_lab.step("seen"))
        dev_lab.log.append("watched")

    @dev_lab.function("failing", trigger="go", retries=0, on_failure=on_failure)
    async def failing(ctx):
        dev_lab.log.append(await ctx.step.invoke("child", function=child))
        await ctx.step.sleep("nap", 300)
        raise RuntimeError("as it must")

    dev_lab.retention = AT_ONCE
    async with dev_lab.running():
        await dev_lab.send("go")
        await dev_lab.until_logged("handled")
        await dev_lab.until_logged("watched")
        await until(lambda: not dev_lab.rows("SELECT 1 FROM runs"))
    assert dev_lab.log.count("grown") == 2  # before and after the nap
    assert [dev_lab.log.count(note) for note in ("seen", "watched", "handled")] == [1, 1, 1]


async def test_a_short_retention_does_not_let_an_event_in_twice(dev_lab, until):
    """An event with an id of its own, or of the same seed, is known after its run is forgotten."""

    @dev_lab.function()
    async def run(ctx):
        dev_lab.log.append(ctx.event.data["n"])

    dev_lab.retention = AT_ONCE
    seed = {"x-inngest-event-id-seed": f"{now()},AAAAAAAAAAAAAA=="}
    async with dev_lab.running(), dev_lab.http() as http:
        for _ in range(3):
            await dev_lab.send(data={"n": 1}, id="of the sender")
            body = {"name": dev_lab.event("go"), "data": {"n": 2}}
            assert (await http.post("/e/any", json=body, headers=seed)).status_code == 200
            await until(lambda: len(dev_lab.log) >= 2 and not dev_lab.rows("SELECT 1 FROM runs"))
    assert sorted(dev_lab.log) == [1, 2]


async def test_a_call_does_not_wait_while_history_is_forgotten(signed_lab, until):
    """Runs go on among the steps in which thousands of old ones are deleted."""

    @signed_lab.function()
    async def run(ctx):
        await ctx.step.run("step", signed_lab.step(ctx.event.data["n"]))

    connect_store(signed_lab.path).close()
    with sqlite3.connect(signed_lab.path, isolation_level=None) as connection:
        add_ended(connection, 4_000, ended_at=now() - 90 * DAY)
    connection.close()
    left = []
    async with signed_lab.running():
        for n in range(5):
            await signed_lab.send(data={"n": n})
            await signed_lab.until_logged(n)
            left.append(signed_lab.rows("SELECT count(*) FROM runs WHERE ended_at < ?", now() - DAY)[0][0])
        assert left[0] > 0
        await until(lambda: not signed_lab.rows("SELECT 1 FROM runs WHERE ended_at < ?", now() - DAY))
        await signed_lab.until_ended(5)


@pytest.mark.parametrize("retention", ["never", "0s", "-1d", "30", "1h 30m", ""])
def test_a_retention_that_is_no_duration_is_refused_at_start(retention):
    """The engine does not start with a retention that it would have to guess."""
    command = [sys.executable, "-m", "atlas.engine", f"--retention={retention}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("atlas.engine: --retention")
