"""What a sign-in takes, what it refuses, and how often one may fail."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters
from kept import database_of, entries_in, everything_in

from atlas.agents.digests import digest_of_key
from atlas.agents.keys import AgentKeys
from atlas.database.database import Database
from atlas.errors import LinkVoid, NotPermitted, PersonRefused, SignInRefused, TooManyAttempts
from atlas.instants import now
from atlas.people.accounts import accounts, attempts, links
from atlas.people.accounts.passwords import Passwords
from atlas.people.accounts.signing_in import SARAH, SigningIn
from atlas.people.person import Way
from atlas.people.visitors import Visitors
from atlas.settings import Settings

PASSWORD = "a long word and another"
KEYS = {"atlas_agent_key": "agent-key-of-the-tests", "atlas_reviewer_key": "anna:reviewer-key-of-the-tests"}
HERE = "192.0.2.1"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A real file with the account eve, who has a password."""
    opened = database_of(tmp_path)
    await opened.open()
    made = await Passwords().hash(PASSWORD)

    def add(connection: Any) -> None:
        code = accounts.add(connection, "eve", ["desk"], keys=())
        accounts.set_password(connection, code, made)

    await opened.write(add)
    yield opened
    await opened.close()


def signing_in(database: Database, **settings: Any) -> SigningIn:
    """The ways in of these settings."""
    chosen = Settings(_env_file=None, **(KEYS | settings))
    return Visitors(chosen, AgentKeys(chosen), database).signing_in


async def test_a_password_opens_its_own_account_as_a_checked_name(database: Database) -> None:
    """So a policy may name the person."""
    person = await signing_in(database).by_password("eve", PASSWORD, address=HERE)
    assert (person.name, person.groups, person.way, person.is_signed) == ("eve", ("desk",), Way.ACCOUNT, True)


WRONG = [
    ("eve", "another long word here"),
    ("eve", ""),
    ("Eve", PASSWORD),  # a name is what was added
    ("no such person", PASSWORD),
    ("", ""),
    ("eve", PASSWORD + " "),
]


@pytest.mark.parametrize(("name", "password"), WRONG)
async def test_every_wrong_pair_gets_the_same_answer(database: Database, name: str, password: str) -> None:
    """It does not say which of the two was wrong."""
    with pytest.raises(SignInRefused, match="The name and the password do not belong together"):
        await signing_in(database).by_password(name, password, address=HERE)


async def test_an_unknown_name_costs_one_hash_like_a_known_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of an account without a password, and of one that has ended."""
    await database.write(lambda connection: accounts.add(connection, "new", [], keys=()))
    await database.write(lambda connection: accounts.add(connection, "gone", [], keys=()))
    await database.write(lambda connection: accounts.end(connection, "gone"))
    checked: list[str] = []
    usual = PasswordHasher.verify

    def counting(self: PasswordHasher, kept: str, password: str) -> bool:
        checked.append(str(extract_parameters(kept)))
        return usual(self, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    ways = signing_in(database)
    for name in ("eve", "no such person", "new", "gone"):
        with pytest.raises(SignInRefused):
            await ways.by_password(name, "a wrong password", address=HERE)
    assert len(checked) == 4 and len(set(checked)) == 1
    assert "memory_cost=47104" in checked[0]


async def test_hashes_are_made_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else twenty sign-ins at once would take twenty times the memory."""
    running, most = 0, 0
    usual = PasswordHasher.hash

    def counting(self: PasswordHasher, password: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        made = usual(self, password)
        running -= 1
        return made

    monkeypatch.setattr(PasswordHasher, "hash", counting)
    passwords = Passwords()
    made = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(6)))
    assert most == 1 and len(set(made)) == 6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_the_memory_of_a_hash_is_given_back(database: Database) -> None:
    """A hash takes 46 MiB for a moment; what stays is little."""

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    passwords = Passwords()
    kept = await passwords.hash(PASSWORD)
    before = resident()
    for _ in range(8):
        assert await passwords.is_right(kept, PASSWORD)
    assert resident() - before < 10


async def test_guessing_a_password_is_stopped_and_says_how_long(database: Database) -> None:
    """Ten at once count as ten; the right password has to wait too, from this address alone."""
    ways = signing_in(database)

    async def guess(number: int) -> str:
        with pytest.raises((SignInRefused, TooManyAttempts)) as caught:
            await ways.by_password("eve", f"guess number {number}", address=HERE)
        return type(caught.value).__name__

    told = await asyncio.gather(*(guess(number) for number in range(15)))
    assert sorted(told) == ["SignInRefused"] * 10 + ["TooManyAttempts"] * 5
    with pytest.raises(TooManyAttempts, match=r"wait 15 min, then sign in again"):
        await ways.by_password("eve", PASSWORD, address=HERE)
    assert (await ways.by_password("eve", PASSWORD, address="198.51.100.7")).name == "eve"
    noted = [entry for entry in entries_in(database.directory) if entry["action"] == "people.sign_in_refused"]
    assert sorted((entry["detail"] for entry in noted), key=len) == [
        {"way": "account", "address": HERE},
        {"way": "account", "address": HERE, "limit": 10},
    ]


async def test_the_wait_ends_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """And trying again meanwhile does not make it longer."""
    ways = signing_in(database)
    for _ in range(14):
        with pytest.raises((SignInRefused, TooManyAttempts)):
            await ways.by_password("eve", "a guess", address=HERE)
    later = now() + timedelta(minutes=15, seconds=1)

    def shifted() -> datetime:
        return later

    monkeypatch.setattr(attempts, "now", shifted)
    assert (await ways.by_password("eve", PASSWORD, address=HERE)).name == "eve"


async def test_guessing_keys_is_stopped_by_address(database: Database) -> None:
    """A stranger can try fifty, and names of their making do not help."""
    ways = signing_in(database)
    for number in range(25):
        with pytest.raises(SignInRefused, match="This is no key of ATLAS_REVIEWER_KEY"):
            await ways.by_key(f"guessed-key-number-{number}", "", address="2001:db8::1")
        with pytest.raises(SignInRefused):
            await ways.by_password(f"name {number}", "a guess", address=f"2001:db8::{number}")
    with pytest.raises(TooManyAttempts):
        await ways.by_key(KEYS["atlas_reviewer_key"].partition(":")[2], "", address="2001:db8::2")


async def test_sign_ins_that_succeed_do_not_count(database: Database) -> None:
    """A whole office signs in from one address each morning."""
    ways = signing_in(database)
    for _ in range(55):
        await ways.by_key("reviewer-key-of-the-tests", "", address=HERE)


async def test_what_was_typed_as_a_name_is_kept_nowhere(database: Database) -> None:
    """People type their password there."""
    with pytest.raises(SignInRefused):
        await signing_in(database).by_password("my secret by mistake", "x", address=HERE)
    kept = everything_in(database.directory)
    assert b"secret by mistake" not in kept and b"192.0.2.1" in kept


async def test_a_key_signs_in_with_its_name_and_is_what_the_session_is_bound_to(database: Database) -> None:
    """A key that has no name asks for one, which stays a claim."""
    person, bound_to = await signing_in(database).by_key("reviewer-key-of-the-tests", "ben", address=HERE)
    assert (person.name, person.is_signed) == ("anna", True)
    assert bound_to == digest_of_key("reviewer-key-of-the-tests")
    ways = signing_in(database, atlas_reviewer_key="a-key-without-a-name")
    person, _ = await ways.by_key(" a-key-without-a-name ", "ben", address=HERE)
    assert (person.name, person.is_signed) == ("ben", False)


@pytest.mark.parametrize("claimed", ["", "eve", "EVE", "\u202eeve", "\uff45ve", "e\u200bve", "x" * 201])
async def test_a_claimed_name_is_visible_and_is_no_account(database: Database, claimed: str) -> None:
    """The record would show the person of the account."""
    ways = signing_in(database, atlas_reviewer_key="a-key-without-a-name")
    with pytest.raises(SignInRefused, match=r"has no name|invisible|An account has this name"):
        await ways.by_key("a-key-without-a-name", claimed, address=HERE)


async def test_an_agents_key_opens_nothing_and_is_told_that_it_is_one(database: Database) -> None:
    """In every field in which it could be typed."""
    ways, key = signing_in(database), KEYS["atlas_agent_key"]
    code = await database.write(lambda connection: accounts.link(connection, "eve"))
    tries = (
        ways.by_key(key, "", address=HERE),
        ways.by_key(f" {key} ", "anna", address=HERE),
        ways.by_password("eve", key, address=HERE),
        ways.by_password(key, "x", address=HERE),
        ways.by_first_password(code, key),
    )
    for one in tries:
        with pytest.raises(NotPermitted, match="This is the key of an agent"):
            await one


async def test_a_link_works_once_also_when_two_click_at_once(database: Database) -> None:
    """And a newer link takes the place of an older one."""
    ways = signing_in(database)
    old = await database.write(lambda connection: links.make(connection, links.Kind.ENTER, "anna"))
    code = await database.write(lambda connection: links.make(connection, links.Kind.ENTER, "anna"))
    with pytest.raises(LinkVoid, match="not known"):
        await ways.by_link(old)
    results = await asyncio.gather(*(ways.by_link(code) for _ in range(5)), return_exceptions=True)
    entered = [result for result in results if not isinstance(result, BaseException)]
    refused = [str(result) for result in results if isinstance(result, LinkVoid)]
    assert [person.way for person, _ in entered] == [Way.LINK]
    assert refused == ["This link was used already. Each link works once."] * 4


async def test_a_link_is_for_one_thing_and_for_ten_minutes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link of a password signs no owner in."""
    ways = signing_in(database)
    password = await database.write(lambda connection: accounts.link(connection, "eve"))
    with pytest.raises(LinkVoid):
        await ways.by_link(password)
    code = await database.write(lambda connection: links.make(connection, links.Kind.ENTER, "anna"))
    with pytest.raises(LinkVoid):
        await ways.by_first_password(code, PASSWORD)
    later = now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr(links, "now", lambda: later)
    with pytest.raises(LinkVoid, match="too old"):
        await ways.by_link(code)


async def test_the_link_of_an_owner_goes_with_the_key_of_the_owner(database: Database) -> None:
    """Without the key there is no owner of that name."""
    code = await database.write(lambda connection: links.make(connection, links.Kind.ENTER, "anna"))
    with pytest.raises(LinkVoid, match="no key of anna any more"):
        await signing_in(database, atlas_reviewer_key="ben:another-key-of-tests").by_link(code)
    person, bound_to = await signing_in(database).by_link(code)  # which was not spent
    assert (person.name, person.is_signed) == ("anna", True)
    assert bound_to == digest_of_key("reviewer-key-of-the-tests")
    code = await database.write(lambda connection: links.make(connection, links.Kind.ENTER, SARAH))
    ways = signing_in(database, atlas_reviewer_key="a-key-without-a-name")
    assert (await ways.by_link(code))[0].is_signed is False


async def test_a_first_password_spends_its_link_and_ends_the_sessions_before(database: Database) -> None:
    """A password that is too short spends nothing."""
    ways = signing_in(database)
    code = await database.write(lambda connection: accounts.link(connection, "eve"))
    with pytest.raises(SignInRefused, match="at least 12 characters"):
        await ways.by_first_password(code, "elevenchars")
    with pytest.raises(SignInRefused, match="reviewer's key"):
        await ways.by_first_password(code, "reviewer-key-of-the-tests")
    person = await ways.by_first_password(code, "pasted: \u00e4 \U0001f511 words")
    assert person.way is Way.ACCOUNT
    with pytest.raises(LinkVoid, match="used already"):
        await ways.by_first_password(code, PASSWORD)
    # The same characters, as another keyboard composes them.
    assert await ways.by_password("eve", "pasted: a\u0308 \U0001f511 words", address=HERE)
    with pytest.raises(SignInRefused):
        await ways.by_password("eve", PASSWORD, address=HERE)


async def test_an_account_whose_name_a_key_gets_later_opens_nothing(database: Database) -> None:
    """The record could not show which of the two decided."""
    ways = signing_in(database, atlas_reviewer_key="Eve:reviewer-key-of-the-tests")
    with pytest.raises(SignInRefused, match="of an account and of a key"):
        await ways.by_password("eve", PASSWORD, address=HERE)
    code = await database.write(lambda connection: accounts.link(connection, "eve"))
    with pytest.raises(SignInRefused, match="of an account and of a key"):
        await ways.by_first_password(code, PASSWORD)


REFUSED_NAMES = ["", " eve", "eve", "EVE", "\uff25ve", "anna", "Anna", "a\u200bnna", "x\ny", "x" * 201]


@pytest.mark.parametrize("name", REFUSED_NAMES)
async def test_no_two_people_look_alike(database: Database, name: str) -> None:
    """Neither two accounts, nor an account and a key."""
    with pytest.raises(PersonRefused):
        await database.write(lambda connection: accounts.add(connection, name, [], keys=["anna"]))


async def test_a_person_who_comes_back_has_no_password_of_before(database: Database) -> None:
    """It is the same person, and the ledger says so."""
    await database.write(lambda connection: accounts.end(connection, "eve"))
    with pytest.raises(PersonRefused):
        await database.write(lambda connection: accounts.add(connection, "Eve", [], keys=()))
    await database.write(lambda connection: accounts.add(connection, "eve", ["new"], keys=()))
    with pytest.raises(SignInRefused):
        await signing_in(database).by_password("eve", PASSWORD, address=HERE)
    added = [entry for entry in entries_in(database.directory) if entry["action"] == "people.added"]
    assert [entry["detail"]["again"] for entry in added] == [False, True]
