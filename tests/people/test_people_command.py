"""`python -m atlas.people` beside a gateway that writes, and where none runs."""

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway_process import AGENT_KEY
from kept import entries_in, is_postgresql, set_store, store_by_hand
from store import open_store

from atlas import ledger
from atlas.assessors.choose import build_judges
from atlas.database.migrating import migrate
from atlas.database.sqlite.data_directory import lock_directory
from atlas.errors import PolicyInvalid
from atlas.ledger import NO_CASE, Action, verify
from atlas.people.__main__ import main
from atlas.settings import Settings

REVIEWER = "reviewer-key-of-the-tests"
KEYS = "anna  -  has a key\nben  -  has a key\n"  # what the list says of the two who have one


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a .env, and settings with keys."""
    monkeypatch.chdir(tmp_path)
    set_store(monkeypatch, tmp_path / "data")
    monkeypatch.setenv("ATLAS_AGENT_KEY", AGENT_KEY)
    monkeypatch.setenv("ATLAS_REVIEWER_KEY", f"ben:another-key-of-the-tests,anna:{REVIEWER}")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit status of a command, and what it says."""
    status = main(list(words))
    said = capsys.readouterr()
    return status, said.out + said.err


def test_the_first_command_makes_the_data_directory(capsys: pytest.CaptureFixture[str]) -> None:
    """So people can be added before the first start; what comes later finds the same."""
    status, said = run(capsys, "list")
    assert status == 0 and said.startswith(KEYS)
    assert is_postgresql() or f"No gateway has kept anything in {Path.cwd() / 'data/atlas.db'}." in said


@pytest.mark.sqlite("a database of the tests has its tables already")
def test_an_auditor_in_the_wrong_folder_does_not_read_that_all_is_right(
    capsys: pytest.CaptureFixture[str], settings: Path
) -> None:
    """And no database is made there."""
    status, said = run(capsys, "passkeys", "check")
    assert status == 1 and said.startswith("No gateway has kept anything in ")
    assert list(settings.iterdir()) == []
    status, said = run(capsys, "add", "sarah", "--groups", " desk, team ,")
    assert status == 0 and "http://127.0.0.1:8000/desk/password#" in said
    assert run(capsys, "list") == (0, f"{KEYS}sarah  desk,team  has no password yet\n")
    assert verify(entries_in(Path("data"))) == 1
    assert is_postgresql() or oct(Path("data/atlas.db").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("words", [("list",), ("show", "sarah")])
def test_what_a_proxy_said_of_groups_obeys_nothing_in_a_terminal(
    capsys: pytest.CaptureFixture[str], settings: Path, words: tuple[str, ...]
) -> None:
    """Control characters, and those that turn the text round, are left out."""
    run(capsys, "add", "sarah")
    with closing(store_by_hand(settings / "data")) as connection:
        connection.execute("UPDATE people SET groups = ?", (json.dumps(["a\u202eb\u009bc"]),))
        connection.commit()
    status, said = run(capsys, *words)
    assert status == 0 and "sarah  abc" in said


def test_links_lead_to_where_browsers_reach_the_gateway(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address, the path of a proxy, and another address by --at; a port of 0 is not known here."""
    monkeypatch.setenv("ATLAS_HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("ATLAS_ROOT_PATH", "/atlas")
    _, said = run(capsys, "enter")
    assert "signs in ben, once and within ten minutes:\n  http://127.0.0.1:8000/atlas/desk/enter#" in said
    _, said = run(capsys, "--at", "https://gateway.example.com/", "add", "a b")
    assert "https://gateway.example.com/atlas/desk/password#" in said and said.endswith(".a%20b\n")
    monkeypatch.setenv("ATLAS_PORT", "0")
    status, said = run(capsys, "enter")
    assert status == 1 and "--at http://HOST:PORT" in said


def test_links_lead_to_the_public_url_where_the_settings_name_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its path, whichever port is listened on; `--at` goes before it."""
    monkeypatch.setenv("ATLAS_PUBLIC_URL", "https://gateway.example.com/atlas/")
    monkeypatch.setenv("ATLAS_ROOT_PATH", "/atlas")
    monkeypatch.setenv("ATLAS_PORT", "0")
    for words, place in (
        (("enter",), "enter"),
        (("add", "sarah"), "password"),
        (("link", "sarah"), "password"),
    ):
        status, said = run(capsys, *words)
        assert status == 0 and f"\n  https://gateway.example.com/atlas/desk/{place}#" in said
    _, said = run(capsys, "--at", "http://127.0.0.1:9000", "enter")
    assert "\n  http://127.0.0.1:9000/atlas/desk/enter#" in said


REFUSED = [
    (("add", "Anna"), "looks like the name of a key in ATLAS_REVIEWER_KEY"),
    (("add", "x\u202ey"), "none of them invisible"),
    (("end", "eve"), "The person eve is not known here"),
    (("add", "anna"), "anna has a key in ATLAS_REVIEWER_KEY, and can come in with it"),
    (("add", "group:desk"), "reads as a group in a policy"),
    (("link", "eve"), "There is no account of the name eve"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_a_command_that_does_nothing_says_why(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """With the exit status 1, and no entry of the ledger."""
    status, told = run(capsys, *words)
    assert status == 1 and said in told
    assert list(entries_in(Path("data"))) == []


def test_the_end_of_an_account_says_where_the_policy_names_it_still(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The gateway would not start again with that policy."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[[rule]]\ntool = 'pay'\nscore = 90\nreviewers = ['sarah']\n")
    monkeypatch.setenv("ATLAS_POLICY", str(policy))
    run(capsys, "add", "sarah")
    status, said = run(capsys, "end", "sarah")
    assert status == 0 and f"The policy {policy} names sarah as a reviewer" in said


def test_a_policy_may_name_a_person_with_an_account(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At a start and at each reading of the file: the accounts of that moment count."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[[rule]]\ntool = 'pay'\nscore = 90\nreviewers = ['sarah', 'anna']\napprovals = 2\n")
    monkeypatch.setenv("ATLAS_POLICY", str(policy))
    with pytest.raises(PolicyInvalid, match="asks for sarah, and there is no such reviewer"):
        build_judges(Settings.read())
    run(capsys, "add", "sarah")
    in_force, _ = build_judges(Settings.read())
    run(capsys, "end", "sarah")
    in_force.reload()
    assert "there is no such reviewer" in str(in_force.problem)
    run(capsys, "add", "sarah")
    in_force.reload()
    assert in_force.problem is None


@pytest.mark.sqlite("the tables of PostgreSQL are brought up to date beside gateways that run")
def test_tables_of_before_are_brought_up_to_date_unless_a_gateway_holds_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A gateway of another version runs: it is left alone, with a sentence."""
    (tmp_path / "data").mkdir()
    migrate(tmp_path / "data" / "atlas.db", "0007")
    lock = lock_directory(tmp_path / "data")
    with closing(open(lock, "rb", closefd=True)):
        status, said = run(capsys, "list")
        assert status == 1 and "of another version than this command. Restart it." in said
    assert run(capsys, "list") == (0, KEYS)


async def test_two_processes_write_one_chain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Forty entries of a gateway that is busy, and twenty of commands, in turn and all there."""
    async with open_store(tmp_path / "data") as store:

        def note(connection: Any) -> None:
            ledger.append(connection, NO_CASE, Action.LIMITED, actor="agent", detail={})

        async def gateway() -> None:
            for _ in range(40):
                await store.database.write(note)

        async def commands() -> None:
            for number in range(10):
                assert await asyncio.to_thread(main, ["add", f"person {number}"]) == 0
                assert await asyncio.to_thread(main, ["end", f"person {number}"]) == 0

        await asyncio.gather(gateway(), commands())
    entries = list(entries_in(tmp_path / "data"))
    assert verify(entries) == 60
    kinds = [entry["action"] for entry in entries]
    assert kinds.count("admit.limited") == 40 and kinds.count("people.ended") == 10
    async with open_store(tmp_path / "data"):  # which looks for what was acknowledged
        pass
