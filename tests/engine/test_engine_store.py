"""The store belongs to one engine, is of one version, and never acknowledges what it could not write."""

import asyncio
import contextlib
import os
import shutil
import sqlite3

import pytest

from atlas.engine import Engine, EngineError
from atlas.engine.schema import connect_store


def note(lab):
    @lab.function()
    async def run(ctx):
        lab.log.append(ctx.event.data["n"])


async def test_two_engines_never_share_a_store(dev_lab):
    note(dev_lab)
    async with dev_lab.running():
        with pytest.raises(EngineError, match=r"Another engine has .* open"):
            async with Engine(dev_lab.path, keys=None):
                pass
    async with Engine(dev_lab.path, keys=None) as engine:
        assert engine.is_running


async def test_a_start_after_one_that_was_killed_while_it_made_the_file_begins(tmp_path):
    """A kill between making the file and the first change that it keeps in a -wal file leaves a journal."""
    made, path = tmp_path / "made.db", tmp_path / "engine.db"
    connect_store(made).close()
    with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as killed:
        killed.execute("PRAGMA journal_mode = DELETE")
        killed.execute("PRAGMA cache_size = 1")  # so that it writes before the end
        killed.execute("BEGIN IMMEDIATE")
        for number in range(20):
            killed.execute(f"CREATE TABLE half_{number} (number INTEGER)")
        for end in ("", "-journal"):
            shutil.copy(f"{made}{end}", f"{path}{end}")
    async with Engine(path, keys=None) as engine:
        assert engine.is_running
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half_0'").fetchone()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE theirs (x)", "another program"),
        ("PRAGMA application_id = 1096043589; PRAGMA user_version = 99", "newer version"),
    ],
)
async def test_a_file_that_is_not_ours_is_refused_unchanged(tmp_path, statement, reason):
    path = tmp_path / "engine.db"
    connection = sqlite3.connect(path)
    connection.executescript(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(EngineError, match=reason):
        async with Engine(path, keys=None):
            pass
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "engine.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(EngineError, match="can't be used"):
        async with Engine(path, keys=None):
            pass


async def test_a_store_that_has_no_place_is_refused_in_a_sentence(tmp_path):
    """A directory that is missing or read-only is no traceback."""
    with pytest.raises(EngineError, match="can't be used"):
        async with Engine(tmp_path / "missing" / "engine.db", keys=None):
            pass


async def test_a_copy_from_before_commits_were_counted_is_refused_for_what_it_lacks(dev_lab):
    """Put over a newer store, it lacks what was acknowledged since; in a directory of its own it is fine."""
    note(dev_lab)
    async with dev_lab.running():
        await dev_lab.send(data={"n": 1})
    with contextlib.closing(sqlite3.connect(dev_lab.path)) as connection:
        connection.execute("DROP TABLE commits")
    with pytest.raises(EngineError, match="lacks changes that were acknowledged"):
        async with Engine(dev_lab.path, keys=None):
            pass
    dev_lab.path.with_name("engine.db.lock").unlink()
    async with dev_lab.running():
        await dev_lab.until_logged(1)


async def test_a_full_disk_acknowledges_nothing_and_loses_nothing(dev_lab):
    note(dev_lab)
    async with dev_lab.running(), dev_lab.http() as http:
        await dev_lab.send(data={"n": 1})
        await dev_lab.until_ended()
        pages = dev_lab.rows("PRAGMA page_count")[0][0]
        await dev_lab.engine.store.write(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchall())
        event = {"name": dev_lab.event("go"), "data": {"n": 2, "filler": "x" * 400_000}}
        answer = await http.post("/e/any", json=event)
        assert answer.status_code == 500
        assert "can't be written" in answer.json()["error"]
        await dev_lab.engine.store.write(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
        assert (await http.post("/e/any", json=event)).status_code == 200
        await dev_lab.until_logged(2)
    assert dev_lab.log == [1, 2]


async def test_a_stopped_engine_refuses_events(dev_lab):
    note(dev_lab)
    async with dev_lab.running():
        pass
    async with dev_lab.http() as http:
        answer = await http.post("/e/any", json={"name": dev_lab.event("go")})
        assert answer.status_code == 500
        assert (await http.get("/health")).status_code == 503


async def test_one_refused_change_does_not_undo_the_others_of_its_commit(dev_lab):
    note(dev_lab)
    async with dev_lab.running(), dev_lab.http() as http:
        good = [http.post("/e/any", json={"name": dev_lab.event("go"), "data": {"n": n}}) for n in range(20)]
        bad = [http.post("/fn/register", json={"appname": "x", "functions": [{"id": "x"}]}) for _ in range(5)]
        answers = await asyncio.gather(*good, *bad)
        assert [answer.status_code for answer in answers] == [200] * 20 + [400] * 5
        await dev_lab.until_ended(20)
    assert sorted(dev_lab.log) == list(range(20))


async def test_what_ended_long_ago_is_forgotten_and_what_waits_is_kept(dev_lab, until):
    @dev_lab.function()
    async def run(ctx):
        await ctx.step.run("step", dev_lab.step(ctx.event.data["n"]))
        if ctx.event.data["n"] == 2:
            await ctx.step.wait_for_event("wait", event=dev_lab.event("never"), timeout=10_000_000)

    async with dev_lab.running():
        await dev_lab.send(data={"n": 1})
        await dev_lab.send(data={"n": 2})
        await until(lambda: dev_lab.rows("SELECT 1 FROM pauses") and "COMPLETED" in dev_lab.statuses())
        await dev_lab.engine.store.write(_age)
    async with dev_lab.running():
        await until(lambda: dev_lab.statuses() == ["RUNNING"])
        assert len(dev_lab.rows("SELECT 1 FROM events")) == 1
        assert len(dev_lab.rows("SELECT 1 FROM memos")) == 1


def _age(connection):
    connection.execute("UPDATE runs SET ended_at = 1 WHERE ended_at IS NOT NULL")
    connection.execute("UPDATE events SET received_at = 1")


async def test_what_is_committed_is_on_disk_and_so_are_the_names_of_new_files(tmp_path, monkeypatch):
    """WAL with synchronous FULL keeps commits over a power failure, if the directory knows the file."""
    synced, fsync = [], os.fsync

    def note_and_sync(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    async with Engine(tmp_path / "engine.db", keys=None) as engine:
        pragmas = [
            await engine.store.write(lambda connection, name=name: connection.execute(name).fetchone()[0])
            for name in ("PRAGMA journal_mode", "PRAGMA synchronous")
        ]
    assert pragmas == ["wal", 2]
    assert tmp_path.stat().st_ino in synced
