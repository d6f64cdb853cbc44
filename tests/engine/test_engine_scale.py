"""Thousands of runs that wait: nothing looks at all of them, and no one waits for them."""

import contextlib
import datetime
import json
import sqlite3

import inngest
import pytest
from waiting_runs import FIRST, copy_waiting_run

from atlas.engine.expressions import parse_expression
from atlas.engine.schema import connect_store

HOUR = datetime.timedelta(hours=1)
TABLES = ("events", "runs", "memos", "queue", "pauses", "skips")
SAME_KEY = "async.data.key == event.data.key"


def add_waiting(lab, *, expression=SAME_KEY, timeout=HOUR, **options):
    """Adds a function that waits after a step, and logs the key that it was resumed with."""

    @lab.function("wait", trigger="wait", **options)
    async def wait(ctx):
        await ctx.step.run("before", lab.step("before"))
        found = await ctx.step.wait_for_event(
            "wait", event=lab.event("decided"), if_exp=expression, timeout=timeout
        )
        lab.log.append((ctx.event.data["key"], found is not None))

    @lab.function("other", trigger="other")
    async def other(ctx):
        await ctx.step.run("step", lab.step(ctx.event.data["n"]))
        return ctx.event.data["n"]


async def leave_waiting(lab, until, count, **data):
    """Brings one run to its wait through the engine and copies it."""
    async with lab.running():
        await lab.send("wait", {"key": 1, **data})
        await until(lambda: lab.rows("SELECT 1 FROM pauses WHERE kind = 'wait'"))
    with changing(lab) as connection:
        copy_waiting_run(connection, count)


@contextlib.contextmanager
def changing(lab):
    connection = connect_store(lab.path)
    try:
        yield connection
    finally:
        connection.close()


async def test_a_copied_run_has_the_rows_that_the_engine_writes(dev_lab, until):
    """A copy differs from a run that came in by the front door in its ids and moments only."""
    add_waiting(dev_lab)
    await leave_waiting(dev_lab, until, 1, key=2 * FIRST)  # as long as the keys of copies
    async with dev_lab.running():
        await dev_lab.send("wait", {"key": FIRST})
        await until(lambda: len(dev_lab.rows("SELECT 1 FROM pauses")) == 3)
    _, copied, written = [_rows_of(dev_lab, run_id) for run_id in _waiting(dev_lab)]
    assert copied == written
    assert {table: len(rows) for table, rows in copied.items()} == {
        "events": 1, "runs": 1, "memos": 1, "pauses": 1, "queue": 0,
    }  # fmt: skip


def _waiting(lab):
    with contextlib.closing(sqlite3.connect(lab.path)) as connection:
        return [row[0] for row in connection.execute("SELECT run_id FROM pauses ORDER BY pause_id")]


def _rows_of(lab, run_id):
    with contextlib.closing(sqlite3.connect(lab.path)) as connection:
        connection.row_factory = sqlite3.Row
        (event_id,) = connection.execute("SELECT event_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return {
            table: [
                _without_ids(dict(row), run_id, event_id)
                for row in connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (value,))
            ]
            for table, column, value in (
                ("events", "event_id", event_id),
                *((table, "run_id", run_id) for table in ("runs", "memos", "pauses", "queue")),
            )
        }


def _without_ids(row, run_id, event_id):
    moments = ("received_at", "started_at", "due_at", "pause_id")
    row = {name: value for name, value in row.items() if name not in moments}
    if "body" in row:
        row["body"] = json.loads(row["body"]) | {"ts": 0}
    text = json.dumps(row, sort_keys=True)
    return text.replace(run_id, "RUN").replace(event_id, "EVENT")


async def test_no_statement_looks_at_all_rows(signed_lab, until):
    """While thousands wait, runs are made, woken, timed out, cancelled and forgotten by way of indexes."""
    add_waiting(signed_lab, cancel=[inngest.Cancel(event=signed_lab.event("stop"), if_exp=SAME_KEY)])
    await leave_waiting(signed_lab, until, 2000)
    with changing(signed_lab) as connection:
        connection.execute("UPDATE pauses SET due_at = 1 WHERE kind = 'wait' AND pause_id % 100 = 7")
    statements = set()
    async with signed_lab.running():
        await signed_lab.engine.store.write(lambda c: c.set_trace_callback(statements.add))
        signed_lab.engine.store.reader.set_trace_callback(statements.add)
        await signed_lab.send("other", {"n": 1})
        await signed_lab.send("decided", {"key": FIRST + 1})
        await signed_lab.send("stop", {"key": FIRST + 2})
        await signed_lab.until_logged((FIRST + 1, True))
        await until(lambda: "CANCELLED" in signed_lab.statuses())
        await until(lambda: not signed_lab.rows("SELECT 1 FROM queue"))
        signed_lab.engine.store.reader.set_trace_callback(None)
        await signed_lab.engine.store.write(signed_lab.engine._history.forget_some)
        await signed_lab.engine.store.write(lambda c: c.set_trace_callback(None))
    scans = _scans(signed_lab, statements)
    assert len(statements) > 30
    assert scans == []


def _scans(lab, statements):
    """The steps of plans that go through a whole table or index, but for those of this test itself."""
    found = []
    with contextlib.closing(sqlite3.connect(lab.path)) as connection:
        for statement in statements:
            if not statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                continue
            if statement in ("SELECT status FROM runs ORDER BY run_id", "SELECT 1 FROM queue"):
                continue
            for *_, step in connection.execute("EXPLAIN QUERY PLAN " + statement):
                is_whole = step.startswith("SCAN") or (step.startswith("SEARCH") and "USING" not in step)
                if is_whole and any(table in step.split() for table in TABLES):
                    found.append((step, statement))
    return found


async def test_a_decision_evaluates_the_expression_of_one_run(dev_lab, until):
    """Of thousands of waits the index finds the one; the rest of its expression is asked for it alone."""
    expression = "async.data.go == 'yes' && async.data.amount > event.data.least && " + SAME_KEY
    add_waiting(dev_lab, expression=expression)
    await leave_waiting(dev_lab, until, 2000, least=5)
    with changing(dev_lab) as connection:
        # What evaluates the expression of another run meets this.
        connection.execute(
            "UPDATE events SET body = 'unreadable' WHERE event_id IN"
            " (SELECT event_id FROM runs JOIN pauses USING (run_id) WHERE match_value != '1')"
        )
    async with dev_lab.running(), dev_lab.http() as http:
        for amount in (4, 6):
            data = {"key": 1, "go": "yes", "amount": amount}
            answer = await http.post("/e/any", json={"name": dev_lab.event("decided"), "data": data})
            assert answer.status_code == 200
        await dev_lab.until_logged((1, True))
        assert len(dev_lab.rows("SELECT 1 FROM pauses")) == 2000
        data = {"key": FIRST, "go": "yes", "amount": 6}
        with pytest.raises(ValueError, match="Expecting value"):  # so it would have been noticed
            await http.post("/e/any", json={"name": dev_lab.event("decided"), "data": data})


@pytest.mark.parametrize(
    ("expression", "index"),
    [
        (SAME_KEY, ("data.key", "event.data.key")),
        ("event.data.key == async.data.key", ("data.key", "event.data.key")),
        ("async.data.go == 'yes'", ("data.go", "'yes'")),
        ("async.data.go == 'yes' && event.data.key == async.data.key", ("data.key", "event.data.key")),
        ("async.data.a == 1 && async.data.n > 2 && " + SAME_KEY, ("data.key", "event.data.key")),
        ("event.data.a == 1 && async.data.n > 2", ("", "")),
        (SAME_KEY + " || async.data.all == true", ("", "")),
    ],
)
def test_the_equality_that_tells_runs_apart_is_the_one_that_is_indexed(expression, index):
    """An equality with the run's own event comes before one with a literal, wherever it stands."""
    assert parse_expression(expression).split_index()[:2] == index


async def test_waits_without_an_equality_are_not_asked_about_other_events(dev_lab, until):
    """Thousands of expressions that need evaluating are evaluated for events of their name only."""
    add_waiting(dev_lab, expression="async.data.amount > event.data.key")
    await leave_waiting(dev_lab, until, 2000)
    with changing(dev_lab) as connection:
        connection.execute("UPDATE events SET body = 'unreadable'")
    async with dev_lab.running():
        await dev_lab.send("other", {"n": 7})
        await dev_lab.until_logged(7)


async def test_a_new_run_does_not_wait_for_thousands_that_time_out(dev_lab, until):
    """All that fell due while the engine was stopped goes on, and what is new goes first."""
    add_waiting(dev_lab)
    await leave_waiting(dev_lab, until, 600)
    with changing(dev_lab) as connection:
        connection.execute("UPDATE pauses SET due_at = 1")
    async with dev_lab.running():
        await until(lambda: sum(isinstance(entry, tuple) for entry in dev_lab.log) > 20)
        await dev_lab.send("other", {"n": 7})
        await until(lambda: dev_lab.rows("SELECT 1 FROM runs WHERE output = '7'"))
        timed_out = [entry for entry in dev_lab.log if isinstance(entry, tuple)]
        assert len(timed_out) < 400
        await until(lambda: len([e for e in dev_lab.log if isinstance(e, tuple)]) == 601, seconds=60)
        await until(lambda: not dev_lab.rows("SELECT 1 FROM runs WHERE status = 'RUNNING'"))
