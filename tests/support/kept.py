"""What a gateway or a test keeps in a data directory, on whichever store the tests run."""

import fcntl
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from atlas import ledger
from atlas.database.location import Location
from atlas.database.migrating import is_newest
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.migrating import migrate
from atlas.database.postgresql.store import PostgresDatabase
from atlas.database.postgresql.transactions import WRITE_LOCK
from atlas.database.sqlite.store import SqliteDatabase
from tests.support.postgres import RUN, SERVER, shared_server

STORE = "ATLAS_TEST_STORE"
SECONDS = 60.0  # for which a change by hand waits for those of a gateway


def is_postgresql() -> bool:
    """Whether the tests of this run keep everything in PostgreSQL."""
    return os.environ.get(STORE) == "postgresql"


def database_of(directory: Path) -> SqliteDatabase | PostgresDatabase:
    """The store of a data directory, closed."""
    url = database_url(directory)
    return SqliteDatabase(directory) if url is None else PostgresDatabase(Address(url), directory)


def database_url(directory: Path) -> str | None:
    """ATLAS_DATABASE_URL for a data directory, whose database is then there; None: it is a file in it."""
    if not is_postgresql():
        return None
    name = _name(directory)
    with _server() as server:
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            server.execute(f"CREATE DATABASE {name} TEMPLATE {_template()}")
    _places.add(directory.absolute())
    return _address(name)


def location_in(directory: Path) -> Location:
    """Where the store of a data directory is."""
    return Location(directory=directory, url=database_url(directory))


def store_settings(directory: Path) -> dict[str, str]:
    """The variable that a gateway or a command has to have for the store of a data directory."""
    url = database_url(directory)
    return {} if url is None else {"ATLAS_DATABASE_URL": url}


def set_store(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Have commands in this process find a data directory and its store."""
    for name, value in ({"ATLAS_DATA_DIR": str(directory)} | store_settings(directory)).items():
        monkeypatch.setenv(name, value)


def forget_below(directory: Path) -> None:
    """Drop the databases of the data directories below a folder."""
    gone = {place for place in _places if place.is_relative_to(directory.absolute())}
    if gone:
        with _server() as server:
            for place in gone:
                server.execute(f"DROP DATABASE IF EXISTS {_name(place)} WITH (FORCE)")
    _places.difference_update(gone)


def forget_all() -> None:
    """Drop the databases of this run, where its server is not of this run."""
    if SERVER in os.environ and is_postgresql():
        with _server() as server:
            made = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
            for (name,) in server.execute(made, [_of_this_run()]).fetchall():
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Hand(psycopg.Connection[Any]):
    """A connection to PostgreSQL in the words of SQLite's: `?` for a value, a commit by `with`."""

    def execute(self, query: Any, params: Any = (), **options: Any) -> Any:
        """Run a statement in the transaction."""
        return super().execute(*_in_words_of_psycopg(query, params), **options)

    def executemany(self, query: str, many: Sequence[Any]) -> None:
        """Run a statement once with each of many values."""
        self.cursor().executemany(_in_words_of_psycopg(query, ((),))[0], many)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Commit, or undo what was not finished."""
        self.rollback() if kind else self.commit()


def store_by_hand(directory: Path) -> Any:
    """A connection to the store of a data directory, to look and to change by hand, in SQL that both know."""
    url = database_url(directory)
    if url is None:
        return sqlite3.connect(directory / "atlas.db", timeout=SECONDS)
    return Hand.connect(url)


def rows_in(directory: Path, query: str, values: Any = ()) -> list[tuple[Any, ...]]:
    """What a query finds in the store of a data directory."""
    connection = store_by_hand(directory)
    try:
        return list(map(tuple, connection.execute(query, values)))
    finally:
        connection.close()


def change_in(directory: Path, statement: str, values: Any = ()) -> int:
    """Change the store of a data directory, and return how many rows were changed."""
    connection = store_by_hand(directory)
    try:
        with connection:
            return int(connection.execute(statement, values).rowcount)
    finally:
        connection.close()


def entries_in(directory: Path) -> list[dict[str, Any]]:
    """The entries of the ledger in a data directory, in order, detail decoded."""
    if not is_postgresql():
        return list(ledger.read(directory))
    found = rows_in(directory, f"SELECT {', '.join(ledger.FIELDS)} FROM ledger ORDER BY seq")
    read = (dict(zip(ledger.FIELDS, row, strict=True)) for row in found)
    return [entry | {"detail": json.loads(entry["detail"])} for entry in read]


def acts(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """What entries of the ledger record, without the policy that the first gateway puts in PostgreSQL."""
    return [str(entry["action"]) for entry in entries if entry["action"] != "policy.put"]


def tables_in(directory: Path) -> list[str]:
    """The names of all tables in the store of a data directory."""
    if is_postgresql():
        found = rows_in(directory, "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    else:
        found = rows_in(directory, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return [name for (name,) in found]


def everything_in(directory: Path) -> bytes:
    """All that is kept in the store of a data directory: the bytes of its files, or every value."""
    if not is_postgresql():
        return b"".join(path.read_bytes() for path in directory.glob("atlas.db*"))
    return b"".join(
        repr(rows_in(directory, f"SELECT * FROM {name}")).encode() for name in tables_in(directory)
    )


def is_begun(directory: Path) -> bool:
    """Whether a gateway has made the tables in the store of a data directory."""
    return is_postgresql() or is_newest(directory / "atlas.db")


@contextmanager
def held_by_another(directory: Path) -> Iterator[None]:
    """Another process writes to the store of a data directory, and takes its time."""
    connection = store_by_hand(directory)
    begin = ("BEGIN EXCLUSIVE",)
    if is_postgresql():
        begin = ("SELECT pg_advisory_xact_lock(?)", (WRITE_LOCK,))
    try:
        connection.execute(*begin)
        yield
    finally:
        connection.close()


def refuse_inserts(table: str, said: str = "disk full", *, when: str = "true") -> list[str]:
    """The statements by which insertions into a table fail for which a condition holds, as on a full disk."""
    if not is_postgresql():
        fail = f"SELECT RAISE(ABORT, '{said}')"
        return [f"CREATE TRIGGER {table}_full BEFORE INSERT ON {table} WHEN {when} BEGIN {fail}; END"]
    fail = f"RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = '{said}'"
    body = f"BEGIN IF {when} THEN {fail}; END IF; RETURN NEW; END"
    return _trigger(f"{table}_full", f"BEFORE INSERT ON {table}", body)


def run_at_inserts(name: str, table: str, condition: str, statement: str) -> list[str]:
    """The statements by which one more runs after an insertion for which a condition holds."""
    if not is_postgresql():
        return [f"CREATE TRIGGER {name} AFTER INSERT ON {table} WHEN {condition} BEGIN {statement}; END"]
    body = f"BEGIN IF {condition} THEN {statement}; END IF; RETURN NEW; END"
    return _trigger(name, f"AFTER INSERT ON {table}", body)


def without_trigger(name: str, table: str) -> str:
    """The statement that takes a trigger away."""
    return f"DROP TRIGGER {name} ON {table}" if is_postgresql() else f"DROP TRIGGER {name}"


def _trigger(name: str, when: str, body: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def copy_store(source: Path, target: Path) -> None:
    """Copy all that is kept in a data directory, beside its gateway, to another one."""
    with closing(store_by_hand(source)) as read, closing(store_by_hand(target)) as written:
        if not is_postgresql():
            read.backup(written)
            return
        with written:
            written.execute("SET session_replication_role = replica")  # neither triggers nor references
            for table in tables_in(source):
                written.execute(f"DELETE FROM {table}")
                with (
                    read.cursor().copy(f"COPY {table} TO STDOUT") as rows,
                    written.cursor().copy(f"COPY {table} FROM STDIN") as copied,
                ):
                    for piece in rows:
                        copied.write(piece)


_places: set[Path] = set()  # whose databases this process has made


def _name(directory: Path) -> str:
    return f"{_of_this_run()}{hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:24]}"


def _of_this_run() -> str:
    return f"atlas_{hashlib.sha256(os.environ[RUN].encode()).hexdigest()[:12]}_"


def _address(name: str) -> str:
    return Address(shared_server()).url.set(drivername="postgresql", database=name).render_as_string(False)


@contextmanager
def _server() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_server(), autocommit=True) as connection:
        yield connection


@cache
def _template() -> str:
    """A database with the newest tables, of which the others are copies."""
    name = _name(Path("/template"))
    with Path(os.environ[RUN], "template").open("a+") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        made.seek(0)
        if not made.read():
            with _server() as server:
                server.execute(f"CREATE DATABASE {name}")
            engine = Address(_address(name)).engine()
            migrate(engine, name)
            engine.dispose()
            made.write("made")
    return name


def _in_words_of_psycopg(query: Any, params: Any) -> tuple[Any, Any]:
    if not params:
        return query, None
    text = query.replace("%", "%%")
    if isinstance(params, Mapping):
        return re.sub(r":(\w+)", r"%(\1)s", text), params
    return text.replace("?", "%s"), params
