"""`python -m atlas.cases`: a reviewer's terminal, over HTTP, with the checks of the webhook."""

import asyncio
import contextlib
import io
import json
import os
import pty
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, GatewayProcess, call
from nursery import ROOT, quick_python
from people import ANNA, BRUNO, client, named_gateway, waiting

from atlas.cases.__main__ import main

SECONDS = 60.0
HOSTILE = "\u202edetsurt\u200b\x1b[2J\x9b31m\u0085"


class Said(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    output: str
    errors: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """One gateway for the tests of this module."""
    process = named_gateway(tmp_path_factory.mktemp("command"))
    await process.start()
    yield process
    await process.kill()


pytestmark = pytest.mark.asyncio(loop_scope="module")


def environment(directory: Path, key: str) -> dict[str, str]:
    """A reviewer's shell: with their key, and nothing of the gateway's."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(directory),
        "PYTHONUTF8": "1",
    } | ({"ATLAS_REVIEWER_KEY": key} if key else {})


async def run(gateway: GatewayProcess, *words: str, key: str = ANNA, url: str | None = None) -> Said:
    """Run the command without a terminal; in this process, which has imported it already."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as shell,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        shell.chdir(gateway.directory)
        shell.setattr(os, "environ", environment(gateway.directory, key))
        try:
            status = main([*words, "--url", url or gateway.url])
        except SystemExit as wrong:  # of argparse
            status = int(wrong.code or 0)
    return Said(status, output.getvalue(), errors.getvalue())


async def type_at(gateway: GatewayProcess, *words: str, typed: str) -> tuple[int, str]:
    """Run the command at a terminal at which a person types one line, when they are asked."""
    person, program = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(quick_python(), "-m", "atlas.cases", *words, "--url", gateway.url),
        cwd=gateway.directory,
        env=environment(gateway.directory, ANNA),
        stdin=program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    os.close(program)
    try:
        assert process.stdout is not None
        shown = await asyncio.wait_for(process.stdout.readuntil(b"Type yes: "), SECONDS)
        os.write(person, f"{typed}\n".encode())
        rest = await asyncio.wait_for(process.stdout.read(), SECONDS)
        return await asyncio.wait_for(process.wait(), SECONDS), (shown + rest).decode()
    finally:
        os.close(person)


async def status_of(gateway: GatewayProcess, case_id: str) -> str:
    """Where a case stands."""
    async with client(gateway) as http:
        return str((await http.get(f"/cases/{case_id}")).json()["status"])


def digest_in(text: str) -> str:
    """The digest that `show` names."""
    [found] = re.findall(r"^  seen +([0-9a-f]{64})$", text, re.M)
    return str(found)


async def test_a_list_names_what_waits_and_goes_on_at_its_cursor(gateway: GatewayProcess) -> None:
    """One line each, in the order that was asked for; with --json all that the gateway says."""
    made = await waiting(gateway, 3, text="a list")
    said = await run(gateway, "list", "--q", "a list", "--order", "oldest")
    assert said.status == 0, said.errors
    assert re.findall(r"^evt_\w+", said.output, re.M) == made
    assert "modify_welfare_record by agent" in said.output and "left" in said.output
    first = await run(gateway, "list", "--q", "a list", "--order", "oldest", "--limit", "2")
    [cursor] = re.findall(r"--after (\S+)", first.output)
    rest = await run(gateway, "list", "--q", "a list", "--order", "oldest", "--after", cursor, "--json")
    assert [line["case_id"] for line in json.loads(rest.output)["cases"]] == made[2:]
    nothing = await run(gateway, "list", "--q", "a word of no call", "--status", "all")
    assert (nothing.status, nothing.output) == (0, "There is no such case.\n")


async def test_what_others_wrote_obeys_nothing_in_a_terminal_and_hides_nothing(
    gateway: GatewayProcess,
) -> None:
    """Control, zero-width and bidirectional characters are shown by their code points."""
    [case_id] = await waiting(gateway, text=HOSTILE)
    said = await run(gateway, "show", case_id)
    assert said.status == 0, said.errors
    assert not [
        character
        for character in HOSTILE
        if character in said.output and not character.isalnum() and character not in "[];"
    ]
    assert all(f"U+{code}" in said.output for code in ("202E", "200B", "0085", "009B"))
    as_json = await run(gateway, "show", case_id, "--json")
    assert as_json.output.isascii() and json.loads(as_json.output)["arguments"]["changes"]["text"] == HOSTILE


async def test_show_says_what_approved_a_call_that_no_person_saw(gateway: GatewayProcess) -> None:
    """The score, and by which policy; who would have had to decide is no answer to that."""
    async with gateway.agent() as agent:
        await agent.call_tool("check_status", {"beneficiary_id": "BEN-123"})
    listed = await run(gateway, "list", "--status", "all", "--q", "check_status")
    [case_id] = re.findall(r"^evt_\w+", listed.output, re.M)
    said = await run(gateway, "show", case_id)
    assert re.search(r"^  approved +by the score: no person was asked$", said.output, re.M)
    assert re.search(r"^  policy +SHA-256 [0-9a-f]{64}$", said.output, re.M)
    assert "who decides" not in said.output


async def test_a_megabyte_is_folded_and_unfolded(gateway: GatewayProcess) -> None:
    """Also one without a blank; the digest is of all of it."""
    [case_id] = await waiting(gateway, text="x" * 900_000)
    said = await run(gateway, "show", case_id)
    assert said.status == 0 and len(said.output) < 10_000
    assert re.search(r"… 89\d,\d{3} more characters: --full shows them", said.output)
    full = await run(gateway, "show", case_id, "--full")
    assert "x" * 900_000 in full.output and digest_in(full.output) == digest_in(said.output)


async def test_a_person_approves_what_the_terminal_shows_and_nothing_without_a_yes(
    gateway: GatewayProcess,
) -> None:
    """It shows the call and asks."""
    refused, approved = await waiting(gateway, 2, text="at a terminal")
    for typed in ("no", "", "y"):
        status, screen = await type_at(gateway, "approve", refused, typed=typed)
        assert status == 1 and "Nothing was approved." in screen
    assert await status_of(gateway, refused) == "PENDING_REVIEW"
    status, screen = await type_at(gateway, "approve", approved, "--reason", "complete", typed="yes")
    assert status == 0 and f"{approved} is approved." in screen
    assert "at a terminal" in screen and "Change the benefit" in screen
    async with client(gateway) as http:
        decision = (await http.get(f"/cases/{approved}")).json()["decision"]
    assert (decision["decision"], decision["reviewer"], decision["reason"]) == (
        "APPROVED",
        "anna",
        "complete",
    )


async def test_without_a_terminal_an_approval_names_what_was_seen(gateway: GatewayProcess) -> None:
    """Else nothing is approved; with the digest of another call nothing either."""
    one, other = await waiting(gateway, 2, text="a script")
    unseen = await run(gateway, "approve", one)
    assert unseen.status == 1 and "--seen" in unseen.errors
    seen = {case_id: digest_in((await run(gateway, "show", case_id)).output) for case_id in (one, other)}
    wrong = await run(gateway, "approve", one, "--seen", seen[other])
    assert wrong.status == 1 and "nothing was approved" in wrong.errors
    assert await status_of(gateway, one) == "PENDING_REVIEW"
    right = await run(gateway, "approve", one, "--seen", seen[one], "--json")
    assert right.status == 0 and json.loads(right.output)["decision"] == "APPROVED"


async def test_a_decision_of_another_person_is_told(gateway: GatewayProcess) -> None:
    """The same is no error, and says by whom; the opposite is one."""
    [case_id] = await waiting(gateway, text="two people")
    first = await run(gateway, "reject", case_id, "--reason", "incomplete", key=BRUNO)
    assert (first.status, first.output) == (0, f"{case_id} is rejected.\n")
    again = await run(gateway, "reject", case_id)
    assert again.status == 0 and f"{case_id} is rejected already, by bruno at " in again.output
    contrary = await run(gateway, "approve", case_id, "--seen", "0" * 64)
    assert contrary.status == 1 and "rejected by bruno at " in contrary.errors


@pytest.mark.parametrize(
    ("words", "key", "status", "said"),
    [
        (("show", "evt_0123456789abcdef"), ANNA, 1, "There is no case evt_0123456789abcdef."),
        (("show", "../healthz"), ANNA, 1, "Not Found"),
        (("reject", "evt_0123456789abcdef"), ANNA, 1, "There is no case"),
        (("list",), AGENT_KEY, 1, "An agent"),
        (("list",), "some-unknown-key-of-mine", 1, "reviewer's key"),
        (("list",), "", 1, "reviewer's key"),
        (("list",), f"anna:{ANNA},bruno:{BRUNO}", 2, "--as NAME"),
        (("list", "--order", "riskiest", "--status", "all"), ANNA, 1, "PENDING_REVIEW alone"),
        (("list", "--after", "wrong"), ANNA, 1, "Leave `after` out"),
        (("list", "--order", "wrong"), ANNA, 2, "invalid choice"),
        (("approve",), ANNA, 2, "REF"),
    ],
)
async def test_what_goes_wrong_is_a_sentence_and_an_exit_status(
    gateway: GatewayProcess, words: tuple[str, ...], key: str, status: int, said: str
) -> None:
    """The key is never in it."""
    answer = await run(gateway, *words, key=key)
    assert answer.status == status and said in answer.errors, answer
    assert "Traceback" not in answer.errors and not (key and key in answer.errors)


async def test_of_several_keys_one_is_named(gateway: GatewayProcess) -> None:
    """As on the machine of the gateway, whose .env has all of them."""
    [case_id] = await waiting(gateway, text="several keys")
    both = f"anna:{ANNA},bruno:{BRUNO}"
    assert (await run(gateway, "reject", case_id, "--as", "bruno", key=both)).status == 0
    async with client(gateway) as http:
        assert (await http.get(f"/cases/{case_id}")).json()["decision"]["reviewer"] == "bruno"


async def test_a_gateway_that_does_not_answer_has_a_status_of_its_own(gateway: GatewayProcess) -> None:
    """A decision that may have been taken is not called refused."""
    closed = "http://127.0.0.1:1"
    listed = await run(gateway, "list", url=closed)
    assert listed.status == 3 and "did not answer" in listed.errors
    decided = await run(gateway, "reject", "evt_0123456789abcdef", url=closed)
    assert decided.status == 3 and "the same decision is taken once" in decided.errors


async def test_in_open_mode_no_key_is_needed_and_a_name_can_be_given(tmp_path: Path) -> None:
    """The address is that of the settings, in the directory of the gateway."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    try:
        async with process.agent(None) as agent:
            await call(agent, "modify_welfare_record", beneficiary_id="BEN-123", changes={"status": "ended"})
        port = process.url.rpartition(":")[2]
        (tmp_path / ".env").write_text(f"ATLAS_PORT={port}\n")
        command = (quick_python(), "-m", "atlas.cases")
        shell = {"cwd": tmp_path, "env": environment(tmp_path, ""), "stdout": asyncio.subprocess.PIPE}
        listed = await asyncio.create_subprocess_exec(*command, "list", **shell)  # type: ignore[arg-type]
        output, _ = await asyncio.wait_for(listed.communicate(), SECONDS)
        [case_id] = re.findall(r"^evt_\w+", output.decode(), re.M)
        words = ("reject", case_id, "--as", "desk 4")
        rejected = await asyncio.create_subprocess_exec(*command, *words, **shell)  # type: ignore[arg-type]
        await asyncio.wait_for(rejected.communicate(), SECONDS)
        assert rejected.returncode == 0
        async with client(process, None) as http:
            assert (await http.get(f"/cases/{case_id}")).json()["decision"]["reviewer"] == "desk 4"
    finally:
        await process.kill()
