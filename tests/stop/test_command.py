"""`python -m atlas.stop`: what it prints, whom it names, and on which data it works."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kept import database_of, entries_in, location_in, set_store, store_by_hand
from outbox_of_test import outbox
from receivers import receiver
from store import open_store

from atlas import ledger
from atlas.database.migrating import migrate
from atlas.database.sharing import shared
from atlas.database.sqlite.data_directory import make_directory
from atlas.errors import DatabaseUnusable
from atlas.models import Scope
from atlas.stop.command import main
from atlas.stop.stops import Stops

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The directory of a gateway that was never started."""
    return tmp_path / "data"


@pytest.fixture
def command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command as its operator runs it: exit status and output. (Outside tests run it as a process.)"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "olga")
    set_store(monkeypatch, data)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_it_stops_lists_and_lifts_before_a_gateway_was_ever_started(command: Command, data: Path) -> None:
    """The file is made; the operator is the actor, and is marked as one."""
    assert command("list")[1] == "Nothing is stopped.\n"
    status, output, _ = command("everything", "--reason", "fire")
    first, how = output.splitlines()
    stop_id = first.partition(":")[0]
    assert status == 0 and first.startswith(f"{stop_id}: operator:olga stopped all calls at ")
    assert first.endswith(" UTC. Reason: fire.")
    assert how == f'To lift it: python -m atlas.stop lift {stop_id} --reason "…"'
    again = command("everything", "--reason", "smoke")[1]
    assert again.startswith("It is stopped already. ") and first in again
    assert command("list")[1] == f"{first}\n"
    said = f"{stop_id}: operator:olga lifted the stop of all calls. Reason: it is out.\n"
    assert command("lift", stop_id, "--reason", "it is out")[:2] == (0, said)
    again = command("lift", stop_id, "--reason", "it is really out")[:2]
    assert again == (0, f"It was lifted before. {said}")
    entries = list(entries_in(data))
    assert ledger.verify(entries) == 2 and {entry["actor"] for entry in entries} == {"operator:olga"}


MISTAKES = [
    (("tool", "modify_record", "--reason", "x"), "Names that it knows: modify_welfare_record."),
    (("agent", "bob", "--reason", "x"), "Names that it knows: anybody. A name that is right"),
    (("server", "far", "--reason", "x"), "It knows none. A name that is right all the same is stopped"),
    (("everything", "--reason", " "), "A stop and its lift need a reason of 1 to 1000 characters"),
    (("lift", "stop_0", "--reason", "x"), "There is no stop stop_0."),
]


def test_a_mistake_is_one_sentence_and_stops_nothing(command: Command) -> None:
    """The exit status says it too."""
    for arguments, said in MISTAKES:
        status, output, errors = command(*arguments)
        assert (status, output) == (1, "") and said in errors and len(errors.splitlines()) == 1, errors
    with pytest.raises(SystemExit):
        main(["everything"])  # without a reason
    assert "--reason" in command("list")[2]  # what was printed before
    assert command("list")[1] == "Nothing is stopped.\n"


def test_servers_are_known_by_the_configuration_and_their_tools_by_the_prefix(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server is asked; any other name is taken when the operator says so."""
    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"far": {"url": "http://127.0.0.1:9/mcp"}}}))
    monkeypatch.setenv("ATLAS_MCP_CONFIG", str(config))
    for what in (
        ("server", "far"),
        ("tool", "far_note"),
        ("tool", "note", "--even-if-unknown"),
        ("agent", "bob", "--even-if-unknown"),
    ):
        status, _, errors = command(*what, "--reason", "odd")
        assert status == 0, errors
    for what in (("tool", "note_far"), ("tool", "check_status")):  # the office is off where servers are
        assert command(*what, "--reason", "odd")[0] == 1
    assert len(command("list")[1].splitlines()) == 4


async def test_the_gateway_tells_the_reviewers_of_what_a_command_stopped(
    command: Command, data: Path
) -> None:
    """One notice for the stop and one for the lift, with who, what and why, although no gateway ran then."""
    status, output, _ = await asyncio.to_thread(command, "everything", "--reason", "fire")
    assert status == 0
    stop_id = output.partition(":")[0]
    assert (await asyncio.to_thread(command, "lift", stop_id, "--reason", "out"))[0] == 0
    async with receiver() as taken, outbox(data, atlas_notify_url=taken.url):
        stopped, lifted = sorted(await taken.accepted(2), key=lambda body: str(body["made_at"]))
    assert (stopped["kind"], stopped["scope"], stopped["reason"]) == ("stopped", "everything", "fire")
    assert (lifted["kind"], lifted["stop_id"], lifted["lift_reason"]) == ("stop_lifted", stop_id, "out")
    assert stopped["stopped_by"] == lifted["lifted_by"] == "operator:olga"


@pytest.mark.parametrize(("name", "value"), [("ATLAS_MCP_CONFIG", "/nowhere.json"), ("ATLAS_PORT", "abc")])
def test_everything_is_stopped_also_where_another_setting_is_wrong(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """It is for an emergency; only a name has to be looked up."""
    monkeypatch.setenv(name, value)
    status, output, _ = command("everything", "--reason", "fire")
    assert status == 0 and "stopped all calls" in output
    stop_id = output.partition(":")[0]
    assert stop_id in command("list")[1]
    assert "It was lifted before" not in command("lift", stop_id, "--reason", "out")[1]
    again = command("lift", stop_id, "--reason", "once more")[1]
    assert again.startswith("It was lifted before. ") and "Reason: out" in again


@pytest.mark.sqlite("a database of the tests has its tables already")
def test_who_stops_where_no_gateway_has_been_is_told_that_none_is_stopped(
    command: Command, data: Path
) -> None:
    """It is the wrong folder, or a first start is being prepared: the stop is kept all the same."""
    status, output, errors = command("everything", "--reason", "fire")
    assert status == 0 and "stopped all calls" in output
    assert errors.startswith(
        f"No gateway has kept anything in {data / 'atlas.db'}. Give this command the ATLAS_DATA_DIR and"
    )
    assert errors.endswith(" This stops no gateway that runs.\n")
    assert command("list")[2] == ""


@pytest.mark.sqlite("the tables of PostgreSQL are brought up to date by a command of their own")
async def test_data_of_an_older_gateway_is_brought_up_to_date_first(command: Command, data: Path) -> None:
    """As the next start of the gateway would do it."""
    make_directory(data)
    migrate(data / "atlas.db", "0007")
    assert (await asyncio.to_thread(command, "everything", "--reason", "fire"))[0] == 0
    async with open_store(data) as store:
        assert len(await Stops(store.database).in_force()) == 1


async def test_data_that_a_running_gateway_holds_is_written_all_the_same(tmp_path: Path) -> None:
    """Both see what the other wrote; the ledger of both is one chain."""
    database = database_of(tmp_path)
    await database.open()
    try:
        here = Stops(database)
        file = shared(location_in(tmp_path))
        there = Stops(file)
        for number in range(20):
            one, other = await asyncio.gather(
                here.stop(Scope.TOOL, f"a{number}", reason="x", person_name="anna"),
                there.stop(Scope.TOOL, f"b{number}", reason="x", person_name="olga"),
            )
            await asyncio.gather(
                there.lift(one.stop_id, reason="y", person_name="olga"),
                here.lift(other.stop_id, reason="y", person_name="anna"),
            )
        assert await here.in_force() == await there.in_force() == ()
    finally:
        await database.close()
    entries = list(entries_in(tmp_path))
    assert ledger.verify(entries) == 80


@pytest.mark.sqlite("a server keeps its own account of what it acknowledged")
def test_a_file_that_lacks_what_was_acknowledged_is_refused(command: Command, data: Path) -> None:
    """What the command itself acknowledged counts, too: the note beside the file knows of it."""
    command("list")
    older = (data / "atlas.db").read_bytes()
    command("everything", "--reason", "fire")
    (data / "atlas.db").write_bytes(older)
    status, _, errors = command("list")
    assert status == 1 and "it lacks entries of the ledger that were acknowledged" in errors


@pytest.mark.sqlite("in PostgreSQL a change waits for its turn, for longer than a person does")
async def test_what_the_disk_does_not_take_is_said_in_a_sentence_and_is_not_a_stop(tmp_path: Path) -> None:
    """Another process holds the file for longer than a person waits."""
    database = database_of(tmp_path)
    await database.open()
    await database.close()
    file = shared(location_in(tmp_path))
    with closing(store_by_hand(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match="database is locked"):
            await Stops(file).stop(Scope.EVERYTHING, reason="fire", person_name="anna")
        other.execute("ROLLBACK")
    assert await Stops(file).in_force() == ()
    assert (await Stops(file).stop(Scope.EVERYTHING, reason="fire", person_name="anna")).is_in_force
