"""`python -m atlas.database copy`: an installation moves to PostgreSQL and back, and nothing is lost."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from kept import is_postgresql
from store import open_case, open_store, tool_call

from atlas import ledger
from atlas.database.__main__ import main
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.database.sqlite.store import SqliteDatabase
from atlas.operate.ledger_command import main as ledger_main
from atlas.people.__main__ import main as people
from atlas.welfare import WelfareOffice

CASES = 60
pytestmark = pytest.mark.skipif(is_postgresql(), reason="it begins with a SQLite file, on both stores")


@pytest.fixture
async def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with cases, people and their ledger, to which the settings lead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLAS_DATA_DIR", "data")
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)
    directory = tmp_path / "data"
    async with open_store(directory) as store:
        await WelfareOffice(store.database).seed()
        text = "ä\x00🦉 \\n\t\\."  # what a COPY could read wrongly
        for number in range(CASES):
            await open_case(store, tool_call(beneficiary_id=f"BEN-{number}", text=text))
    assert people(["add", "anna", "--groups", "seniors"]) == 0
    assert people(["train", "anna", "payments", "--what", "a course"]) == 0
    return directory


def contents(location: Location) -> dict[str, list[str]]:
    """All rows of all tables, as they are kept."""
    store = beside(location)
    return {
        table: sorted(json.dumps(row, default=int) for row in store.rows(f"SELECT * FROM {table}"))
        for table in store.tables()
        if table != "alembic_version"
    }


def as_numbers(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same with `true` as 1, as SQLite keeps it."""
    return {
        table: [row.replace("true", "1").replace("false", "0") for row in rows]
        for table, rows in found.items()
    }


def test_an_installation_moves_to_postgresql_and_back_and_every_row_is_the_same(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger goes on as the same chain, and new rows are numbered behind the old ones."""
    before = contents(Location(directory=data))
    assert main(["copy", "--to", url]) == 0
    said = capsys.readouterr().out
    assert f"cases: {CASES} rows" in said and "the ledger verifies there, with " in said
    assert "To go back, rename it." in said and not (data / "atlas.db").exists()
    there = Location(directory=data, url=url)
    assert as_numbers(contents(there)) == as_numbers(before)
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    assert people(["train", "anna", "appeals", "--what", "another course"]) == 0
    assert ledger_main(["verify"]) == 0
    assert main(["copy", "--to", str(data / "back")]) == 0
    monkeypatch.delenv("ATLAS_DATABASE_URL")
    assert as_numbers(contents(Location(directory=data / "back"))) == as_numbers(contents(there))
    assert ledger_main(["verify", "--data-dir", str(data / "back")]) == 0


def test_a_target_that_is_not_empty_is_refused_and_stays_as_it_is(
    data: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be another office's."""
    with psycopg.connect(url, autocommit=True):
        beside(Location(directory=data, url=url)).make_ready()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO beneficiaries VALUES ('BEN-9', '{}')")
    assert main(["copy", "--to", url]) == 1
    assert "The target is not empty: beneficiaries has rows." in capsys.readouterr().err
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM beneficiaries").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM cases").fetchone() == (0,)
    assert (data / "atlas.db").exists()


def test_where_there_is_no_file_none_is_made_to_be_copied(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the wrong folder, or a copy that was made before."""
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv("ATLAS_DATA_DIR", str(nowhere))
    assert main(["copy", "--to", url]) == 1
    assert f"No gateway has kept anything in {nowhere / 'atlas.db'}" in capsys.readouterr().err
    assert not nowhere.exists()


async def test_nothing_is_copied_while_a_gateway_runs_on_the_source(
    data: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it changes meanwhile would be missing."""
    database = SqliteDatabase(data)
    await database.open()
    try:
        assert main(["copy", "--to", url]) == 1
    finally:
        await database.close()
    assert "Another gateway works on the data directory" in capsys.readouterr().err


def test_nothing_is_copied_while_a_gateway_is_connected_to_the_target_or_the_source(
    data: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is known by the name of its connections."""
    with psycopg.connect(url, application_name="atlas-gateway"):
        assert main(["copy", "--to", url]) == 1
        assert "1 connections of gateways work on" in capsys.readouterr().err
        monkeypatch.setenv("ATLAS_DATABASE_URL", url)
        assert main(["copy", "--to", str(data / "back")]) == 1
    assert "Stop the gateways first." in capsys.readouterr().err
    assert not (data / "back" / "atlas.db").exists()


def test_a_ledger_that_was_changed_is_not_copied(
    data: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would look like a sound one of the new place; the target stays empty."""
    with closing(sqlite3.connect(data / "atlas.db")) as connection, connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger SET actor = 'mallory' WHERE seq = 7")
    assert main(["copy", "--to", url]) == 1
    assert "Ledger entry 7 does not verify" in capsys.readouterr().err
    assert not list(beside(Location(directory=data, url=url)).rows("SELECT 1 FROM ledger"))
    assert (data / "atlas.db").exists()


def test_a_character_that_postgresql_cannot_hold_is_replaced_and_told(
    data: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a gateway on PostgreSQL replaces it: SQLite keeps the character NUL."""
    with closing(sqlite3.connect(data / "atlas.db")) as connection, connection:
        connection.execute("UPDATE cases SET intent = 'a' || char(0) || 'b' WHERE rowid = 5")
    assert main(["copy", "--to", url]) == 0
    assert f"cases: {CASES} rows, in 1 of them U+FFFD stands for" in capsys.readouterr().out
    store = beside(Location(directory=data, url=url))
    assert list(store.rows("SELECT intent FROM cases WHERE intent IS NOT NULL")) == [
        ("a\N{REPLACEMENT CHARACTER}b",)
    ]


def test_an_entry_of_the_ledger_that_postgresql_cannot_hold_is_not_changed(
    data: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would not verify any more: nothing is copied."""
    with closing(sqlite3.connect(data / "atlas.db")) as connection, connection:
        connection.execute("DROP TRIGGER ledger_no_update")
        connection.execute("UPDATE ledger SET actor = 'a' || char(0) WHERE seq = 5")
    assert main(["copy", "--to", url]) == 1
    assert "An entry of the ledger has the character NUL" in capsys.readouterr().err
    assert not list(beside(Location(directory=data, url=url)).rows("SELECT 1 FROM cases"))
    assert (data / "atlas.db").exists()


def test_an_empty_ledger_is_copied_too(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An installation that was never used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)
    assert main(["migrate"]) == 0
    assert main(["copy", "--to", url]) == 0
    assert "with 0 entries" in capsys.readouterr().out
    assert ledger.verify(ledger.read_store(beside(Location(directory=tmp_path, url=url)))) == 0
