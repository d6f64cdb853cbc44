"""What `python -m atlas.people` keeps of a person, for each way in."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_process import AGENT_KEY
from kept import entries_in, set_store
from store import open_store

from atlas.instants import now, read_instant
from atlas.ledger import verify
from atlas.people.__main__ import main
from atlas.people.identities import Identities
from atlas.people.person import Person, Way
from atlas.people.records.profiles import Profile, profile_of

ANNA = "reviewer-key-of-the-tests"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a .env, and one key that has a name."""
    monkeypatch.chdir(tmp_path)
    set_store(monkeypatch, tmp_path / "data")
    monkeypatch.setenv("ATLAS_AGENT_KEY", AGENT_KEY)
    monkeypatch.setenv("ATLAS_REVIEWER_KEY", f"anna:{ANNA}")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit status of a command, and what it says."""
    status = main(list(words))
    said = capsys.readouterr()
    return status, said.out + said.err


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """All people, by name."""
    _, said = run(capsys, "list", "--json")
    return {one["profile"]["name"]: one for one in json.loads(said)}


async def kept(name: str, tmp_path: Path) -> Profile:
    """The profile of a person in the store."""
    async with open_store(tmp_path / "data") as store:
        return await store.database.read(lambda connection: profile_of(connection, name))


HOURS = ("--zone", "Europe/Berlin", "--working-hours", "mon-fri 09:00-17:00", "--quiet-hours", "22:00-06:00")


async def test_what_is_set_is_kept_for_a_key_and_for_an_account(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each change is an entry of the ledger, and what is the same again is none."""
    run(capsys, "add", "sarah", "--groups", "desk")
    for name in ("anna", "sarah"):
        words = ("set", name, "--groups", "seniors, leads", "--languages", "de,en", *HOURS, "--digest", "1h")
        assert run(capsys, *words)[0] == 0
        assert run(capsys, *words)[0] == 0
        profile = await kept(name, tmp_path)
        assert profile.groups == ("seniors", "leads") and profile.languages == ("de", "en")
        assert (profile.zone, profile.working_hours) == ("Europe/Berlin", "mon-fri 09:00-17:00")
        assert (profile.quiet_hours, profile.digest) == ("22:00-06:00", "1h")
    assert run(capsys, "set", "anna", "--groups", "", "--zone", "")[0] == 0
    after = await kept("anna", tmp_path)
    assert after.groups == () and after.zone is None and after.languages == ("de", "en")
    entries = list(entries_in(tmp_path / "data"))
    changed = [one for one in entries if one["action"] == "people.profile_changed"]
    assert [one["detail"]["person"] for one in changed] == ["anna", "sarah", "anna"]
    assert changed[2]["detail"]["changed"]["groups"] == {"before": ["seniors", "leads"], "after": []}
    assert {one["actor"] for one in changed} == {"operator"} and verify(entries) == len(entries)


async def test_the_ledger_says_that_channels_changed_and_not_what_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The address of a channel can hold a secret."""
    assert run(capsys, "set", "anna", "--channels", "mailto://anna:secret@mail.example.com")[0] == 0
    assert (await kept("anna", tmp_path)).channels == ("mailto://anna:secret@mail.example.com",)
    assert "secret" not in json.dumps(list(entries_in(tmp_path / "data")))


REFUSED = [
    (("set", "eve", "--groups", "desk"), "The person eve is not known here"),
    (("set", "anna"), "Say what to set"),
    (("set", "anna", "--zone", "Mars/Olympus"), "is not a zone such as Europe/Berlin"),
    (("set", "anna", "--working-hours", "nine to five"), "is not hours such as"),
    (("set", "anna", "--channels", "mail:anna@example.com"), "leads nowhere. Names of channels here: none."),
    (("set", "anna", "--digest", "often"), "is not a duration such as 1h"),
    (("set", "anna", "--groups", "a\u200bb"), "none of them invisible"),
    (("set", "anna", "--groups", "group:desk"), "reads as a group in a policy"),
    (("train", "eve", "benefits", "--what", "x"), "The person eve is not known here"),
    (("train", "anna", "benefits", "--what", "x", "--until", "2020-01-01"), "is over already"),
    (("train", "anna", "benefits", "--what", "x", "--until", "3650d"), "is longer than a year"),
    (("train", "anna", "benefits", "--what", "x", "--until", "20370131"), "is no time"),
    (("train", "anna", "benefits", "--what", "x", "--until", "14"), "is no time"),
    (("train", "anna", "benefits", "--what", "x", "--until", "soon"), "soon is no time"),
    (("untrain", "anna", "benefits"), "has no training for benefits that counts"),
    (("delegate", "anna", "anna", "--until", "8h"), "as a delegate"),
    (("delegate", "anna", "eve", "--until", "8h"), "eve is no person"),
    (("undelegate", "dlg_1"), "There is no delegation dlg_1"),
    (("show", "eve"), "There is no person eve"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_a_command_that_does_nothing_says_why(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """With the exit status 1, and no entry of the ledger."""
    status, told = run(capsys, *words)
    assert status == 1 and said in told
    assert list(entries_in(Path("data"))) == []


def test_a_training_and_a_delegation_are_shown_until_they_are_taken_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With scope and time; a day that is an end counts as a whole."""
    run(capsys, "add", "ben")
    run(capsys, "set", "anna", "--zone", "Europe/Berlin", "--groups", "desk")
    assert run(capsys, "train", "anna", "benefits", "--what", "Course 12", "--until", "2099-01-31")[0] == 0
    status, said = run(capsys, "delegate", "anna", "ben", "--until", "14d", "--group", "desk")
    assert status == 0 and "ben decides for anna for the group desk" in said
    shown = run(capsys, "show", "anna")[1]
    assert "training for benefits until 2099-01-31 23:00 UTC: Course 12" in shown and said.strip() in shown
    [made] = listed(capsys)["anna"]["delegations"]
    assert read_instant(made["ends_at"].replace("Z", "+00:00")) > now() + timedelta(days=13)
    assert run(capsys, "undelegate", made["delegation_id"])[0] == 0
    assert run(capsys, "untrain", "anna", "benefits")[0] == 0
    assert listed(capsys)["anna"]["delegations"] == []
    assert "Course 12 (does not count)" in run(capsys, "show", "anna")[1]
    kinds = [one["action"] for one in entries_in(Path("data")) if one["action"] != "people.added"]
    assert kinds[1:] == [
        *("people.trained", "people.delegated", "people.delegation_ended", "people.training_ended")
    ]


async def test_the_end_of_a_person_ends_the_delegations_and_the_holder_of_a_key_can_be_added_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without the groups of before."""
    run(capsys, "add", "ben", "--groups", "desk")
    run(capsys, "set", "anna", "--groups", "desk")
    run(capsys, "delegate", "anna", "ben", "--until", "8h")
    status, said = run(capsys, "end", "anna")
    assert status == 0 and "Take the key out of ATLAS_REVIEWER_KEY too." in said
    people = listed(capsys)
    assert people["ben"]["delegations"] == [] and people["anna"]["profile"]["ended_at"]
    assert run(capsys, "end", "anna")[1].startswith("The person anna has ended.")
    assert run(capsys, "add", "anna") == (0, "anna can come in again with the key, and is in no group.\n")
    back = await kept("anna", tmp_path)
    assert back.ended_at is None and back.groups == ()


async def test_the_groups_of_the_last_sign_in_are_kept_beside_those_of_an_operator(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What the provider takes away is gone; what an operator gave stays until an operator takes it."""
    async with open_store(tmp_path / "data") as store:
        known = Identities(store.database, ())

        async def signs_in(*groups: str) -> None:
            await known.admitted(Person(name="olga", groups=groups, way=Way.OIDC), ("issuer", "olga"))

        await signs_in("clerks", "desk", "desk")
        assert run(capsys, "set", "olga", "--groups", "seniors")[0] == 0
        before = await store.database.read(lambda connection: profile_of(connection, "olga"))
        await signs_in("desk")
        after = await store.database.read(lambda connection: profile_of(connection, "olga"))
    assert set(before.groups) == {"seniors", "clerks", "desk"} and before.own_groups == ("seniors",)
    assert set(after.groups) == {"seniors", "desk"}
