"""Sessions in the store: how long they last, what ends them, and to what they are bound."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from kept import database_of, entries_in, everything_in, rows_in

from atlas.database.database import Database
from atlas.instants import now
from atlas.ledger import verify
from atlas.people import sessions
from atlas.people.accounts import accounts
from atlas.people.person import Person, Way
from atlas.people.sessions import Sessions

ANNA = Person(name="anna", way=Way.KEY)
KEY = b"the digest of a key"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.wrong_by = timedelta(0)

    def __call__(self) -> datetime:
        """The moment that it shows."""
        return now() + self.wrong_by


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of sessions."""
    made = Clock()
    monkeypatch.setattr(sessions, "now", made)
    return made


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A real file."""
    opened = database_of(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def test_the_store_keeps_the_digest_of_an_id_and_no_id(database: Database) -> None:
    """A copy of the file opens no session."""
    session_id = await Sessions(database).begin(ANNA)
    kept = everything_in(database.directory)
    assert session_id.encode() not in kept
    assert sessions.digest_of(session_id).encode() in kept


async def test_a_session_ends_when_it_was_idle_for_30_minutes(database: Database, clock: Clock) -> None:
    """Each request puts the end off, until 12 hours are over."""
    kept = Sessions(database)
    idle, used = await kept.begin(ANNA), await kept.begin(ANNA)
    for _ in range(24):
        clock.wrong_by += timedelta(minutes=29)
        assert await kept.find(used) is not None
        clock.wrong_by += timedelta(minutes=0.9)
    assert await kept.find(idle) is None
    assert clock.wrong_by < timedelta(hours=12) < clock.wrong_by + timedelta(minutes=30)
    clock.wrong_by = timedelta(hours=12, seconds=1)
    assert await kept.find(used) is None


async def test_that_a_session_was_seen_is_written_once_a_minute(database: Database, clock: Clock) -> None:
    """Between, a request only reads; and what a page asks by itself is no sign of a person."""
    kept = Sessions(database)
    session_id = await kept.begin(ANNA)

    async def written_after(seconds: int, *, counts: bool = True) -> bool:
        before = await kept.find(session_id, counts=False)
        clock.wrong_by += timedelta(seconds=seconds)
        await kept.find(session_id, counts=counts)
        after = await kept.find(session_id, counts=False)
        assert before is not None and after is not None
        return after.last_seen_at > before.last_seen_at

    assert not await written_after(59)
    assert not await written_after(60, counts=False)
    assert await written_after(1)
    assert not await written_after(59)


async def test_a_session_that_is_bound_to_a_key_goes_with_the_key(database: Database) -> None:
    """Its id alone is not enough, and another key does not take its place."""
    kept = Sessions(database)
    session_id = await kept.begin(ANNA, bound_to=KEY)
    found = await kept.find(session_id, bindings=(b"", b"another", KEY))
    assert found is not None and found.bound_to == KEY
    assert await kept.find(session_id) is None
    assert await kept.find(session_id, bindings=(b"", b"another")) is None


async def test_each_way_to_end_a_session_ends_it(database: Database) -> None:
    """Sign-out ends one, the person ends all, and an operator ends those of a name."""
    kept = Sessions(database)
    first, second, third, other = [
        await kept.begin(person) for person in (ANNA, ANNA, ANNA, Person(name="ben", way=Way.KEY))
    ]
    await kept.end(first)
    assert [await kept.find(one) is not None for one in (first, second, other)] == [False, True, True]
    assert await kept.end_all("anna") == 2
    assert [await kept.find(one) is not None for one in (second, third, other)] == [False, False, True]
    assert await kept.end_all("anna") == 0


async def test_a_name_that_is_a_claim_ends_no_session_of_the_person_with_that_name(
    database: Database,
) -> None:
    """The holder of a key without a name may call themselves anna."""
    kept = Sessions(database)
    real = await kept.begin(ANNA)
    claimed = Person(name="anna", way=Way.KEY, is_signed=False)
    mine = await kept.begin(claimed)
    assert len(await kept.of(claimed)) == 1
    assert await kept.end_all_of(claimed) == 1
    assert await kept.find(mine) is None and await kept.find(real) is not None


async def test_sessions_of_an_account_end_with_it_and_have_its_groups_of_today(database: Database) -> None:
    """Both are read at each request."""
    kept = Sessions(database)
    await database.write(lambda connection: accounts.add(connection, "eve", ["desk"], keys=()))
    session_id = await kept.begin(Person(name="eve", groups=("before",), way=Way.ACCOUNT))
    found = await kept.find(session_id)
    assert found is not None and found.person.groups == ("desk",)
    assert await database.write(lambda connection: accounts.end(connection, "eve")) == 1
    assert await kept.find(session_id) is None
    later = await kept.begin(Person(name="eve", way=Way.ACCOUNT))  # as one that begins at that moment
    assert await kept.find(later) is None


async def test_what_is_over_is_deleted_at_the_next_sign_in(database: Database, clock: Clock) -> None:
    """The table does not grow for ever."""
    kept = Sessions(database)
    ended = await kept.begin(ANNA)
    await kept.begin(ANNA)
    await kept.end(ended)
    clock.wrong_by = timedelta(minutes=31)
    await kept.begin(ANNA)
    assert rows_in(database.directory, "SELECT count(*) FROM desk_sessions") == [(1,)]


async def test_each_act_is_in_the_ledger_and_no_secret_is(database: Database) -> None:
    """The chain verifies."""
    kept = Sessions(database)
    ids = [await kept.begin(ANNA) for _ in range(2)]
    await kept.begin(Person(name="Sarah", way=Way.OPEN, is_signed=False))
    await kept.end(ids[0])
    await kept.end(ids[0])
    await kept.end_all("anna")
    entries = list(entries_in(database.directory))
    assert verify(entries) == 4
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("people.signed_in", "anna"),
        ("people.signed_in", "anna"),
        ("people.signed_out", "anna"),
        ("people.sessions_ended", "anna"),
    ]
    assert not [one for one in ids if one in str(entries)]
