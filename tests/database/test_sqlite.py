"""The database file: migrations, the lock on its directory, what its errors say, queries that stay quick."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from store import insert_case, open_case, open_store, tool_call

import atlas.cases.limits
import atlas.welfare  # noqa: F401  (as above)
from atlas.cases.opening import _NEWEST, _SAME
from atlas.cases.store import add_outcome, read_approvals, read_case
from atlas.cases.tables import cases
from atlas.database.migrating import (
    MIGRATIONS,
    NEWEST_TABLES,
    bring_up_to_date,
    migrate,
    newest_version,
    tables_of_migrations,
)
from atlas.database.sqlite.data_directory import make_directory, require_writable
from atlas.database.sqlite.store import SqliteDatabase as Database
from atlas.database.statements import Prepared, metadata
from atlas.errors import DatabaseUnusable, DataDirectoryInUse, DataDirectoryUnusable
from atlas.grounds.refused_before import _NEWEST_NO, _YES_AFTER
from atlas.instants import now
from atlas.models import Outcome

pytestmark = pytest.mark.sqlite("test_postgresql.py is about the other store")

ROOT = Path(__file__).parents[2]


def test_the_migrations_make_the_tables_that_the_code_describes(tmp_path: Path) -> None:
    """A changed table without a migration is found here."""
    path = tmp_path / "atlas.db"
    migrate(path)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    """A start that has nothing to do does nothing."""
    path = tmp_path / "atlas.db"
    migrate(path)
    before = dump(path)
    migrate(path)
    bring_up_to_date(path)
    assert dump(path) == before


def test_a_new_file_gets_the_tables_that_the_migrations_make(tmp_path: Path) -> None:
    """After a new migration `python -m atlas.database.migrating` writes newest_tables.sql again."""
    assert NEWEST_TABLES.read_text() == tables_of_migrations()
    migrate(tmp_path / "migrated.db")
    bring_up_to_date(tmp_path / "new.db")
    assert dump(tmp_path / "new.db") == dump(tmp_path / "migrated.db")


def test_the_newest_version_is_the_one_that_the_migrations_end_with() -> None:
    """It is read from the names of their files, so that a start need not ask Alembic."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert newest_version() == scripts.get_current_head()


LOADS_ALEMBIC = """
import sys
from pathlib import Path
from atlas.database.migrating import bring_up_to_date

bring_up_to_date(Path(sys.argv[1]))
print("alembic" in sys.modules)
"""


@pytest.mark.parametrize(
    ("version", "is_due"),
    [
        (None, False),  # a new file
        ("0002", True),
        ("0004", True),
        ("head", False),
    ],
)
def test_alembic_is_loaded_only_when_a_migration_is_due(
    tmp_path: Path, version: str | None, is_due: bool
) -> None:
    """It costs a tenth of a start. The version is the newest one then, old file or new."""
    path = tmp_path / "atlas.db"
    if version is not None:
        migrate(path, version)
    command = [sys.executable, "-c", LOADS_ALEMBIC, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.strip() == str(is_due)
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert version == newest_version()


def dump(path: Path) -> list[str]:
    """All that a database holds, as statements in the order of their text."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def test_what_was_judged_and_decided_before_an_upgrade_is_there_afterwards(tmp_path: Path) -> None:
    """Rows keep their content, and still no one can change them."""
    path = tmp_path / "atlas.db"
    migrate(path, "0002")
    with sqlite3.connect(path) as old:
        old.execute(
            "INSERT INTO cases (case_id, principal, tool_name, arguments, arguments_sha256, status,"
            " opened_at) VALUES ('evt_1', 'a', 't', '{}', 'd', 'PENDING_REVIEW', '2026-11-23T00:00:00Z')"
        )
        old.execute(
            "INSERT INTO assessments VALUES ('evt_1', 80, 'c', 'a', 'r', 'p', 70, 'd',"
            " '2026-11-23T00:00:00.000000Z', NULL, 75, 'm', 'v')"
        )
        old.execute("INSERT INTO approvals VALUES ('evt_1', 'sarah', 'ok', 'd', '2026-11-23T00:00:00Z')")
    old.close()
    migrate(path)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        case = read_case(connection, "evt_1")
        assert case.assessment is not None and case.round_number == 1 and case.definition_sha256 is None
        assert (case.assessment.risk_score, case.assessment.model_score) == (80, 75)
        assert case.assessment.prompt_version == "v" and case.assessment.definition_sha256 is None
        assert [each.reviewer for each in read_approvals(connection, case)] == ["sarah"]
        for table in ("assessments", "approvals"):
            with pytest.raises(SQLAlchemyError, match="append-only"):
                connection.execute(sa.text(f"DELETE FROM {table}"))
    engine.dispose()


def test_an_upgrade_that_fails_half_way_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """A gateway that is killed while it upgrades can be started again, by the old version too."""
    path = tmp_path / "atlas.db"
    migrate(path, "0002")
    with sqlite3.connect(path) as old:
        before = old.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        old.execute("CREATE TABLE tool_definitions (in_the_way TEXT)")
    with pytest.raises(SQLAlchemyError):
        migrate(path)
    with sqlite3.connect(path) as old:
        old.execute("DROP TABLE tool_definitions")
        assert old.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
    old.close()
    migrate(path)


def test_what_ended_before_endings_were_noted_as_collected_is_not_handed_out_later(tmp_path: Path) -> None:
    """Only what is not finished yet can still be handed over."""
    path = tmp_path / "atlas.db"
    migrate(path, "0002")
    with sqlite3.connect(path) as old:
        for status in ("EXECUTED", "PENDING_REVIEW"):
            row = (status, "agent", "tool", "{}", status, status, "2026-11-01T00:00:00.000000Z")
            columns = "case_id, principal, tool_name, arguments, arguments_sha256, status, opened_at"
            old.execute(f"INSERT INTO cases ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    old.close()
    migrate(path)
    with sqlite3.connect(path) as new:
        found = new.execute("SELECT status FROM cases WHERE collected_at IS NOT NULL")
        assert found.fetchall() == [("EXECUTED",)]
    new.close()


async def test_one_directory_serves_one_gateway(tmp_path: Path) -> None:
    """The second is told, and the first goes on."""
    async with open_store(tmp_path) as store:
        with pytest.raises(DataDirectoryInUse):
            await Database(tmp_path).open()
        await open_case(store)
    async with open_store(tmp_path):
        pass


async def test_only_its_owner_can_read_the_data(tmp_path: Path) -> None:
    """Arguments and results are in there."""
    async with open_store(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "atlas.db").stat().st_mode & 0o077 == 0


DAMAGES: dict[str, Callable[[Path], object]] = {
    "scribbled over": lambda path: path.write_bytes(path.read_bytes()[:8192] + os.urandom(65536)),
    "without its header": lambda path: path.write_bytes(os.urandom(100) + path.read_bytes()[100:]),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a text": lambda path: path.write_text("not a database\n" * 1000),
    "empty": lambda path: os.truncate(path, 0),
    "missing": lambda path: path.unlink(),
}


def contents(directory: Path) -> dict[str, bytes]:
    """What is in the files of the database, but for the one that is made from the others."""
    files = {path.name: path.read_bytes() for path in directory.glob("atlas.db*")}
    return {name: content for name, content in files.items() if content and not name.endswith("-shm")}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_refused_in_a_sentence_and_left_as_it_is(
    tmp_path: Path, damage: str
) -> None:
    """A backup can be put in its place; an empty or missing one is only right at the very first start."""
    async with open_store(tmp_path) as store:
        await open_case(store)
    (tmp_path / "engine.db").touch()  # the engine's, which is made after the first atlas.db
    whole = (tmp_path / "atlas.db").read_bytes()
    DAMAGES[damage](tmp_path / "atlas.db")
    before = contents(tmp_path)
    with pytest.raises(
        DatabaseUnusable, match=r"atlas\.db cannot be used: .* put a backup of it in its place"
    ):
        async with open_store(tmp_path):
            pass
    assert contents(tmp_path) == before
    (tmp_path / "atlas.db").write_bytes(whole)
    async with open_store(tmp_path) as store:
        assert len(await store.select()) == 1


@pytest.mark.parametrize("size", [None, 0, 20_000])
async def test_a_database_that_lost_what_was_acknowledged_is_refused(
    tmp_path: Path, size: int | None
) -> None:
    """Without its -wal file a call that was executed could wait again, and be executed twice."""
    killed = tmp_path / "killed"
    async with open_store(tmp_path / "data") as store:
        for number in range(5):
            await open_case(store, tool_call(beneficiary_id=str(number)))
        shutil.copytree(tmp_path / "data", killed)  # as a killed process would leave it
    log = killed / "atlas.db-wal"
    whole = log.read_bytes()
    log.unlink() if size is None else os.truncate(log, size)
    with pytest.raises(DatabaseUnusable, match="lacks entries of the ledger that were acknowledged"):
        async with open_store(killed):
            pass
    log.write_bytes(whole)
    async with open_store(killed) as store:
        assert len(await store.select()) == 5


async def test_a_database_of_a_newer_gateway_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A person who goes back to an older version is told so."""
    migrate(tmp_path / "atlas.db")
    with closing(sqlite3.connect(tmp_path / "atlas.db")) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match="not of this version of the gateway, but of a newer one"):
        await Database(tmp_path).open()


def leave_half_made(directory: Path) -> None:
    """Put a database into a directory as a kill leaves it that comes while the tables are made."""
    path = directory.parent / "atlas.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as killed:
        killed.execute("PRAGMA cache_size = 1")  # so that it writes before the end
        killed.execute("BEGIN IMMEDIATE")
        for number in range(20):
            killed.execute(f"CREATE TABLE half_{number} (number INTEGER)")
        directory.mkdir()
        for file in (path, path.with_name("atlas.db-journal")):
            assert file.stat().st_size
            shutil.copy(file, directory)


async def test_a_start_after_one_that_was_killed_while_it_made_the_tables_makes_them(tmp_path: Path) -> None:
    """What a kill left of them is undone, by the journal that it left too."""
    leave_half_made(tmp_path / "data")
    database = Database(tmp_path / "data")
    await database.open()
    assert await database.read(lambda connection: not sa.inspect(connection).has_table("half_0"))
    await database.close()


async def test_finding_the_cases_of_a_call_uses_an_index(tmp_path: Path) -> None:
    """A hundred thousand waiting cases must not slow down a new call, nor as many finished ones."""
    async with open_store(tmp_path) as store:

        def plan(connection: sa.Connection, query: Prepared) -> str:
            text, values, _ = query.of(connection)
            values = {**values, "principal": "a", "tool_name": "b", "arguments_sha256": "c", "since": now()}
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
            return " ".join(str(row[-1]) for row in rows)

        unfinished = await store.database.read(partial(plan, query=_SAME))
        newest = await store.database.read(partial(plan, query=_NEWEST))
        no = await store.database.read(partial(plan, query=_NEWEST_NO))
        yes = await store.database.read(partial(plan, query=_YES_AFTER))
        assert "ix_cases_without_yes" in no and "TEMP B-TREE" not in no
        assert "ix_cases_same_call" in yes and "opened_at>" in yes
        assert "uq_cases_unfinished" in unfinished and "ix_cases_same_call" in newest
        assert "TEMP B-TREE" not in newest, "the newest is the first that is found"


async def test_a_write_is_on_disk_before_it_counts(tmp_path: Path) -> None:
    """WAL with synchronous FULL: a power failure does not take the last commits away."""
    async with open_store(tmp_path) as store:

        def pragmas(connection: sa.Connection) -> list[object]:
            names = ("journal_mode", "synchronous")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

        assert await store.database.write(pragmas) == ["wal", 2]


async def test_what_fails_in_the_middle_of_a_read_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """A thread keeps its connection: neither a moment nor a failure stays on it."""

    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.select(cases.c.case_id)).all()
        connection.exec_driver_sql("SELECT * FROM missing")

    async with open_store(tmp_path) as store:
        for number in range(3):
            with pytest.raises(SQLAlchemyError):
                await store.database.read(fail)
            case = await open_case(store, tool_call(days=number + 1))
            assert await store.database.read(lambda one, case=case: read_case(one, case.case_id)) == case


async def test_the_names_of_new_files_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite sees to what is in a file; that the directory has it is seen to at start."""
    synced, fsync = [], os.fsync

    def note_and_sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    async with open_store(tmp_path / "data"):
        assert {os.stat(path).st_ino for path in (tmp_path, tmp_path / "data")} <= set(synced)


@pytest.mark.parametrize("act", ["write", "read"])
async def test_an_error_does_not_repeat_the_values_of_a_statement(tmp_path: Path, act: str) -> None:
    """Errors are logged, and those of a step go to Inngest: arguments of a call must not be in them."""
    database = Database(tmp_path)
    await database.open()

    def fail(connection: Connection) -> None:
        connection.execute(
            sa.select(cases).where(sa.text("no_such_column = :value")), {"value": "a diagnosis"}
        )

    try:
        with pytest.raises(SQLAlchemyError) as caught:
            await getattr(database, act)(fail)
    finally:
        await database.close()
    assert "no_such_column" in str(caught.value) and "a diagnosis" not in str(caught.value)


def insert_and_fail_at_commit(connection: Connection) -> None:
    """A foreign key that is only checked at the end does not hold."""
    connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
    stranger = insert_case(connection, tool_call())[0].model_copy(update={"case_id": "evt_of_no_case"})
    add_outcome(connection, stranger, Outcome(result=None, detail=None, finished_at=now()))


def insert_and_fail_at_once(connection: Connection) -> None:
    """A second outcome of one case is refused."""
    case, _ = insert_case(connection, tool_call())
    for _ in range(2):
        add_outcome(connection, case, Outcome(result=None, detail="a diagnosis", finished_at=now()))


@pytest.mark.parametrize("work", [insert_and_fail_at_commit, insert_and_fail_at_once])
async def test_after_a_transaction_that_failed_nothing_is_left_and_the_next_one_is_kept(
    tmp_path: Path, work: Callable[[Connection], None]
) -> None:
    """There is one writer, and a failure does not stand in its way; nor are the values in the error."""
    async with open_store(tmp_path) as store:
        with pytest.raises(SQLAlchemyError) as caught:
            await store.database.write(work)
        assert "a diagnosis" not in str(caught.value)
        assert await store.select() == []
        case = await open_case(store)
        assert await store.read(case.case_id) == case


async def test_a_case_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """By reference, by a query, and within a transaction."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        outcome = Outcome(result={"content": []}, detail=None, finished_at=now())
        written = await store.database.write(lambda connection: add_outcome(connection, case, outcome))
        assert await store.read(case.case_id) == written
        assert await store.select() == [written]
        assert await store.database.read(lambda connection: read_case(connection, case.case_id)) == written


def test_a_data_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """It names the directory and what the system says."""
    (tmp_path / "file").touch()
    with pytest.raises(
        DataDirectoryUnusable, match=r"file/data cannot be used: Not a directory when it was made"
    ):
        make_directory(tmp_path / "file" / "data")


@pytest.mark.parametrize("of_another", ["it", "engine.keys"])
def test_a_data_directory_that_cannot_be_written_is_not_taken_for_a_damaged_one(
    tmp_path: Path, of_another: str
) -> None:
    """The sentence names what cannot be written and the user who tried."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "engine.keys").touch(mode=0o600)
    if of_another == "it":
        data.chmod(0o500)
    else:
        (data / "engine.keys").chmod(0o400)
    said = said_to_another_user(data)
    assert said.startswith(
        f"The data directory {data} cannot be used: {of_another} cannot be read and written by user"
    )
    data.chmod(0o700)


def test_a_file_that_is_taken_away_while_the_directory_is_looked_at_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that read the database of a dead gateway takes its -wal away when it ends."""
    (tmp_path / "atlas.db").touch()
    (tmp_path / "atlas.db-wal").touch()
    usual = os.access

    def access(path: Path, mode: int) -> bool:
        if path.name == "atlas.db-wal":
            path.unlink()
        return usual(path, mode)

    monkeypatch.setattr(os, "access", access)
    require_writable(tmp_path)
    assert not (tmp_path / "atlas.db-wal").exists()


def said_to_another_user(data: Path) -> str:
    """What a process is told that has no rights of root, even if this one has."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.chown(data, 65534, 65534)
                os.chown(data / "engine.keys", 65534, 65534)
                os.chdir(data)
                os.setgid(65534)
                os.setuid(65534)
            require_writable(data if os.geteuid() != 65534 else Path())
        except DataDirectoryUnusable as error:
            said = str(DataDirectoryUnusable(**error.fields | {"path": data}))
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        return told.read()
