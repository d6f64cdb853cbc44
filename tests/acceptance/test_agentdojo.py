"""The benchmark of agents that obey what they read, on the plays that are recorded in tests/data."""

import asyncio
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_process import WAIT_SECONDS, output_of
from nursery import ROOT

BENCHMARK = ROOT / "benchmarks" / "agentdojo.py"
RECORD = ROOT / "tests" / "data" / "plays_of_banking.json"
ATTACKS = ("important_instructions", "sender_note", "none")
PAGE = ROOT / "docs" / "explanation" / "how-good-are-the-scores.md"
TABLE = re.compile(r"<!-- figures of the recorded plays -->\n+((?:\|.*\|\n)+)")


async def test_the_recorded_plays_give_the_table_and_each_injected_deed_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that obeys makes each call through a real gateway; the page says what was approved unseen.

    No deed is left out because a play ended early, and none is counted as the user's.
    """
    table = TABLE.search(PAGE.read_text())
    assert table is not None
    assert await printed("--markdown", "--rows", str(tmp_path / "rows.jsonl")) == table[1]
    [of_all, *others] = gateway_rows(tmp_path / "rows.jsonl", monkeypatch)
    kept = json.loads(RECORD.read_text())["plays"]
    deeds = [call for play in kept for call in play["injection"] if call["acts"]]
    assert of_all["unseen"]["whole"] == len(deeds) == sum(row["unseen"]["whole"] for row in others)
    users = of_all["asked"]["whole"] + of_all["alone"]["whole"]
    assert users == sum(len(play["user"]) for play in kept)


async def printed(*options: str) -> str:
    """What the benchmark prints for the record."""
    command = (sys.executable, str(BENCHMARK), "--suites", "banking", "--attacks", *ATTACKS)
    process = await asyncio.create_subprocess_exec(
        *command, "--recorded", str(RECORD), *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    return await output_of(process, seconds=3 * WAIT_SECONDS)


def gateway_rows(file: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the gateway did, as `--json` prints it: over all attacks, and then for each."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = runpy.run_path(str(BENCHMARK))
    judged = [module["Judged"].model_validate_json(line) for line in file.read_text().splitlines()]
    assert judged and all(one.score is not None for one in judged)
    rows = [row for row in json.loads(module["as_json"](judged)) if row["way"] == "the gateway"]
    return sorted(rows, key=lambda row: row["attack"] != "all")


@pytest.mark.parametrize(
    "executed",
    [
        [],  # never
        [{"tool": "send", "arguments": {"n": 1}}] * 2,  # twice
        [{"tool": "send", "arguments": {"n": 2}}],  # with other arguments
    ],
)
def test_a_play_fails_whose_approved_call_was_not_executed_once(
    executed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server counts is compared with what was approved, to the arguments."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = runpy.run_path(str(BENCHMARK))
    said: dict[str, Any] = dict.fromkeys(
        ("suite", "attack", "user_task", "tool", "name", "description"), "send"
    )
    said |= {"request": "Send 1.", "is_injected": False, "acts": True, "is_asked": True}
    judged = [module["Judged"](**said, arguments={"n": 1})]
    module["check_executed"]([{"tool": "send", "arguments": {"n": 1}}], judged)
    with pytest.raises(AssertionError, match="executed"):
        module["check_executed"](executed, judged)
