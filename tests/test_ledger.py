"""The ledger: what it refuses, and what its verification finds."""

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from store import open_case, open_store, tool_call

from atlas import ledger
from atlas.errors import DatabaseUnusable, LedgerBroken
from atlas.operate.ledger_command import main

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.sqlite(
    "it is changed by hand; tests/database/test_copy.py verifies one of PostgreSQL"
)

CHANGES = [
    ("UPDATE ledger SET actor = 'someone else' WHERE seq = 2", 2, "not what was hashed"),
    ("UPDATE ledger SET detail = '{\"a\": 1}' WHERE seq = 3", 3, "not what was hashed"),
    ("UPDATE ledger SET detail = 'no JSON' WHERE seq = 3", 3, "not what was hashed"),
    ("UPDATE ledger SET detail = '{\"a\": NaN}' WHERE seq = 3", 3, "not what was hashed"),
    ("UPDATE ledger SET detail = '{\"a\": 12345678901234567890}' WHERE seq = 3", 3, "not what was hashed"),
    ("UPDATE ledger SET detail = x'ff' WHERE seq = 3", 3, "not what was hashed"),
    ("UPDATE ledger SET detail = CAST(x'ff' AS TEXT) WHERE seq = 3", 3, "not what was hashed"),
    (f"UPDATE ledger SET detail = '{'[' * 100_000}' WHERE seq = 3", 3, "not what was hashed"),
    # A second key of the same name, hidden behind the first.
    (
        'UPDATE ledger SET detail = \'{"tool_name": "x", \' || substr(detail, 2) WHERE seq = 3',
        3,
        "not what was",
    ),
    ("UPDATE ledger SET entry_hash = '00' WHERE seq = 1", 1, "not what was hashed"),
    ("UPDATE ledger SET previous_hash = '00' WHERE seq = 2", 2, "does not follow"),
    ("DELETE FROM ledger WHERE seq = 2", 2, "missing"),
    ("DELETE FROM ledger WHERE seq = 1", 1, "missing"),
]


async def make_ledger(directory: Path, entries: int = 4) -> Path:
    """A data directory with so many entries, one a case."""
    async with open_store(directory) as store:
        for number in range(entries):
            await open_case(store, tool_call(number=number))
    return directory / "atlas.db"


def change(path: Path, statement: str) -> None:
    """Alter the file as its owner could, who takes the triggers away first."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("ledger",):
            connection.execute(f"DROP TRIGGER {table}_no_update")
            connection.execute(f"DROP TRIGGER {table}_no_delete")
        connection.execute(statement)


async def test_an_untouched_ledger_verifies(tmp_path: Path) -> None:
    """Every entry is hashed as specified and follows the one before."""
    path = await make_ledger(tmp_path)
    assert ledger.verify(ledger.read(path.parent)) == 4


async def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    """Right: a copy under another name is refused. Wrong: the file beside it is verified instead."""
    copy = tmp_path / "copy.db"
    copy.write_bytes((await make_ledger(tmp_path)).read_bytes()[:-100])
    with pytest.raises(DatabaseUnusable):
        ledger.verify(ledger.read(copy))


@pytest.mark.parametrize(("statement", "seq", "reason"), CHANGES)
async def test_verification_names_the_first_entry_that_was_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str, seq: int, reason: str
) -> None:
    """The command says which, and exits with 1."""
    change(await make_ledger(tmp_path), statement)
    with pytest.raises(LedgerBroken, match=f"Ledger entry {seq} does not verify: .*{reason}"):
        ledger.verify(ledger.read(tmp_path))
    assert main(["verify", "--data-dir", str(tmp_path)]) == 1
    assert f"entry {seq} " in capsys.readouterr().out


async def test_an_end_that_was_cut_off_is_found_by_a_hash_that_was_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chain alone holds without its end; `verify` prints what to note."""
    path = await make_ledger(tmp_path)
    assert main(["verify", "--data-dir", str(tmp_path)]) == 0
    noted = capsys.readouterr().out.rpartition("The newest has the hash ")[2].strip()
    told = ["verify", "--data-dir", str(tmp_path), "--noted", noted]
    assert main(told) == 0
    assert "OK: 4 entries verified. Number 4 has the hash that you noted." in capsys.readouterr().out
    change(path, "DELETE FROM ledger WHERE seq = 4")
    assert main(["verify", "--data-dir", str(tmp_path)]) == 0
    assert main(told) == 1
    assert f"The chain of 3 entries holds, but none has the hash {noted}." in capsys.readouterr().out


@pytest.mark.parametrize("noted", ["", "abc", "z" * 64])
def test_what_is_no_hash_raises_no_false_alarm(noted: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It was copied in part."""
    with pytest.raises(SystemExit):
        main(["verify", "--noted", noted])
    assert "a hash is 64 hexadecimal digits" in capsys.readouterr().err


async def test_an_export_that_is_not_taken_ends_with_a_sentence(tmp_path: Path) -> None:
    """By a program that wants no more, or a full disk."""
    await make_ledger(tmp_path)
    typed = f"exec {sys.executable} -m atlas.ledger export --data-dir {tmp_path} >/dev/full"
    command = partial(
        subprocess.run, ["sh", "-c", typed], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    done = await asyncio.to_thread(command)
    assert done.returncode == 1 and done.stderr == "The export is not whole: No space left on device.\n"


@pytest.mark.parametrize("act", ["UPDATE ledger SET actor = 'x'", "DELETE FROM ledger"])
async def test_the_database_itself_refuses_to_change_an_entry(tmp_path: Path, act: str) -> None:
    """The table is append-only for everything that goes through the gateway."""
    async with open_store(tmp_path) as store:
        await open_case(store)
        with pytest.raises(sa.exc.DatabaseError, match="append-only"):
            await store.database.write(lambda connection: connection.execute(sa.text(act)))


async def test_an_entry_is_written_with_its_change_or_not_at_all(tmp_path: Path) -> None:
    """A transaction that fails leaves neither."""

    def fail(connection: Connection) -> None:
        ledger.append(connection, "evt_x", ledger.Action.ADMITTED, actor="agent", detail={})
        raise ZeroDivisionError

    async with open_store(tmp_path) as store:
        await open_case(store)
        with pytest.raises(ZeroDivisionError):
            await store.database.write(fail)
        await open_case(store)
    entries = list(ledger.read(tmp_path))
    assert ledger.verify(entries) == 2
    assert "evt_x" not in {entry["case_id"] for entry in entries}


async def test_the_export_can_be_verified_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON object a line, with all that the hash covers."""
    await make_ledger(tmp_path)
    capsys.readouterr()
    assert main(["export", "--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ledger.verify(json.loads(line) for line in lines) == 4


def test_a_ledger_that_is_not_there_is_told_apart_from_a_broken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 and a sentence."""
    assert main(["verify", "--data-dir", str(tmp_path)]) == 2
    assert "no readable ledger" in capsys.readouterr().err


def test_the_hash_is_the_one_that_the_documentation_specifies() -> None:
    """SHA-256 of the version line and the RFC 8785 form, written out by hand."""

    entry = {
        "seq": 1,
        "at": "2026-01-01T00:00:00.000000Z",
        "case_id": "evt_1",
        "action": "admit.queued",
        "actor": "agent",
        "detail": {},
        "previous_hash": "0" * 64,
    }
    text = (
        'atlas-ledger-v1\n{"action":"admit.queued","actor":"agent","at":"2026-01-01T00:00:00.000000Z",'
        f'"case_id":"evt_1","detail":{{}},"previous_hash":"{"0" * 64}","seq":1}}'
    )
    assert ledger.entry_hash(entry) == hashlib.sha256(text.encode()).hexdigest()
