"""A policy tried on the past: the calls of a real gateway, what changes, and that nothing is written."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from command_of_test import Ran, ran
from gateway_process import REVIEWER_KEY, GatewayProcess, call, eventually, reference_in
from kept import change_in, copy_store, everything_in, location_in, store_by_hand, store_settings

from atlas.assessors.policy import Policy
from atlas.database.choose import beside
from atlas.replay.past import ROWS
from atlas.replay.report import Report
from atlas.replay.run import replay
from atlas.replay.span import Span

REVIEWERS = f"anna:{REVIEWER_KEY},ben:key-of-ben-for-the-tests"
ROOT = Path(__file__).parents[2]
ALL = Span(
    since=datetime(2000, 1, 1, tzinfo=timezone.utc),
    until=datetime(2100, 1, 1, tzinfo=timezone.utc),
    budget=timedelta(hours=1),
)
POLICY = """
unknown_tools = "person"
[[rule]]
name = "status"
tool = "check_status"
score = 5
[[rule]]
name = "long"
tool = "request_extension"
when = "args.days > 30"
deny = true
[[rule]]
name = "medium"
tool = "request_extension"
when = "args.days > 14"
score = 80
approvals = 2
[[rule]]
name = "short"
tool = "request_extension"
when = "args.days <= 14"
score = 20
[[rule]]
name = "broken"
tool = "request_payment_extension"
when = "args.amount > 5"
score = 10
[[rule]]
name = "records"
tool = "modify_welfare_record"
score = 90
"""


async def _fill(gateway: GatewayProcess) -> None:
    """Calls of many endings: approved by score and by a person, rejected, denied, waiting under a stop."""
    async with gateway.agent() as client:
        for number in range(6):
            await call(client, "check_status", beneficiary_id=f"BEN-{number}")
        for days in (1, 7, "14", 15, 20, 31, 90):  # "14" is 14 to the tool, and to the policy
            await call(client, "request_extension", beneficiary_id="BEN-123", days=days, reason="illness")
        await call(client, "request_payment_extension", beneficiary_id="BEN-1", reason="a letter")
        told = [
            reference_in(
                await call(
                    client,
                    "modify_welfare_record",
                    beneficiary_id="BEN-1",
                    changes={"monthly_amount_eur": number + 1},
                )
            )
            for number in range(4)
        ]
    assert (await gateway.decide(told[0])).is_success
    assert (await gateway.decide(told[1], "REJECTED")).is_success
    body = {"scope": "tool", "target": "modify_welfare_record", "reason": "a test"}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {REVIEWER_KEY}"}, timeout=60) as client:
        assert (await client.post(f"{gateway.url}/stops", json=body)).is_success  # the other two freeze

    async def has_ended() -> bool:
        with closing(store_by_hand(gateway.data)) as connection:
            moving = "SELECT count(*) FROM cases WHERE status IN ('QUEUED', 'AUTHORIZED', 'EXECUTING')"
            return bool(connection.execute(moving).fetchone()[0] == 0)

    await eventually(has_ended)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that runs, and has judged calls of every kind."""
    directory = tmp_path_factory.mktemp("replay")
    (directory / "policy.toml").write_text(POLICY)
    process = GatewayProcess(
        directory, ATLAS_POLICY=str(directory / "policy.toml"), ATLAS_REVIEWER_KEY=REVIEWERS
    )
    await process.start()
    await _fill(process)
    yield process
    await process.kill()


def policy_of(text: str, threshold: int = 70) -> Policy:
    """A policy of this text, which is in no file."""
    return Policy(Path("tried.toml"), threshold=threshold, content=text.encode())


def tried(gateway: GatewayProcess, text: str, span: Span = ALL) -> Report:
    """The report on a policy of this text."""
    return replay(location_in(gateway.data), policy_of(text), span)


def test_the_policy_that_judged_the_calls_changes_none(gateway: GatewayProcess) -> None:
    """Also where it denied, failed, asked for two approvals, and where a tool takes "14" for 14."""
    report = tried(gateway, POLICY)
    assert (report.calls, report.changed) == (18, 0)
    assert report.verdicts["denied"]["denied"] == 2
    assert report.verdicts["approved"]["approved"] == 9
    assert report.people_then == report.people_now
    assert (report.people_now.calls, report.people_now.decisions) == (7, 9)  # two of them by two people
    notes = report.notes
    assert (notes.failed_then, notes.failed_now, notes.frozen, notes.model_used) == (1, 1, 2, 0)
    assert notes.failures[0].name == (
        "The condition of the rule \"broken\" cannot be evaluated: there is no 'amount'."
    )


def test_it_says_what_changes_by_tool_and_by_rule(gateway: GatewayProcess) -> None:
    """A looser rule approves what people were asked about, and a stricter one asks about the rest."""
    text = POLICY.replace("args.days > 14", "args.days > 18").replace("args.days <= 14", "args.days <= 18")
    text = text.replace('tool = "modify_welfare_record"\nscore = 90', 'tool = "modify_*"\nscore = 60')
    text = text.replace('tool = "check_status"\nscore = 5', 'tool = "check_status"\nfloor = 99')
    report = tried(gateway, text)
    looser, stricter = sorted(report.changes, key=lambda change: change.before.value, reverse=True)
    assert (looser.before, looser.after, looser.calls) == ("asked", "approved", 5)
    assert {share.name: share.calls for share in looser.tools} == {
        "modify_welfare_record": 4,
        "request_extension": 1,
    }
    assert {share.name: share.calls for share in looser.rules} == {"records": 4, "short": 1}
    assert {share.name: share.calls for share in looser.rules_before} == {"records": 4, "medium": 1}
    assert (looser.approved_by_people, looser.rejected_by_people) == (1, 1)
    assert all(reference.startswith("evt_") for share in looser.tools for reference in share.references)
    assert (stricter.before, stricter.after, stricter.calls) == ("approved", "asked", 6)
    assert (report.people_then.decisions, report.people_now.decisions) == (9, 9)
    assert report.people_now.on_busiest_day <= report.people_now.decisions


def test_what_was_denied_and_would_be_asked_has_no_later_history(gateway: GatewayProcess) -> None:
    """It is said, because no person and no tool has said what would have become of it."""
    report = tried(gateway, POLICY.replace("deny = true", "score = 80"))
    (change,) = report.changes
    assert (change.before, change.after, change.calls) == ("denied", "asked", 2)
    assert report.notes.denied_then_asked == 2


@pytest.mark.sqlite("only a file has a log that a reader keeps from getting shorter")
def test_calls_come_on_while_it_reads(gateway: GatewayProcess) -> None:
    """No read is open between two steps, so that the gateway can write on and shorten its log."""
    with closing(store_by_hand(gateway.data)) as connection:
        newest = connection.execute("SELECT max(opened_at) FROM cases").fetchone()[0]
    until = datetime.fromisoformat(newest.replace("Z", "+00:00")) + timedelta(microseconds=1)
    span = ALL.model_copy(update={"until": until})
    written: list[int] = []

    def tell(done: int, of: int) -> None:
        if written:
            return
        with closing(store_by_hand(gateway.data)) as connection:
            row = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        written.append(row[0])  # 0: no reader was in its way

    report = replay(location_in(gateway.data), policy_of(POLICY), span, tell=tell)
    assert (written, report.calls, report.changed) == ([0], 18, 0)


@pytest.mark.sqlite("it reads a plan of SQLite")
def test_the_rows_are_read_along_the_index(gateway: GatewayProcess) -> None:
    """However many there are, nothing is sorted, and no table is read through."""

    def plan(connection: sa.Connection) -> str:
        values = {"after": "2000", "after_case": "", "end": "2100", "end_case": "", "most": 500}
        rows = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {ROWS}"), values)
        return "\n".join(row[3] for row in rows)

    said = beside(location_in(gateway.data)).look(plan)
    assert "SEARCH c USING INDEX ix_cases_opened_at" in said
    assert "SCAN" not in said
    assert "TEMP B-TREE" not in said


def run(gateway: GatewayProcess, *arguments: str) -> Ran:
    """The command with the settings of the gateway."""
    return ran("atlas.assessors.policy", "replay", *arguments, environment=gateway.environment)


def run_cold(gateway: GatewayProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same by an interpreter that begins."""
    return subprocess.run(
        [sys.executable, "-m", "atlas.assessors.policy", "replay", *arguments],
        cwd=ROOT,
        env=gateway.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_command_prints_sentences_or_json(gateway: GatewayProcess, tmp_path: Path) -> None:
    """Beside the gateway that runs."""
    file = tmp_path / "tried.toml"
    file.write_text(POLICY.replace("score = 90", "score = 10"))
    done = run_cold(gateway, str(file), "--since", "30d")
    assert (done.returncode, done.stderr) == (0, "")
    assert "18 calls compared" in done.stdout
    assert "4 calls put before a person then, and approved without a person by this policy." in done.stdout
    assert "People approved 1 of them and rejected 1." in done.stdout
    told = json.loads(run(gateway, str(file), "--since", "30d", "--json").stdout)
    assert (told["calls"], told["changes"][0]["calls"]) == (18, 4)
    assert Report.model_validate(told).changed == 4


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        (("missing.toml",), "The policy missing.toml cannot be used: No such file or directory.", 2),
        (("{broken}",), "line 3: tool must be", 2),
        (("{good}", "--since", "soon"), "it is a duration before now", 2),
        (("{good}", "--since", "0s"), "it is a duration before now", 2),
        (("{good}", "--since", "400d"), "it is a duration before now", 2),
        (("{good}", "--since", "1d", "--until", "2d"), "--since is not before --until", 2),
        (("{good}", "--until", "2001-01-01"), "There is no case in", 1),
        (("{good}", "--data-dir", "/nowhere/at/all"), "it is not there", 2),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_sentence(
    gateway: GatewayProcess, tmp_path: Path, arguments: tuple[str, ...], said: str, code: int
) -> None:
    """With an exit status of its own, and without a traceback."""
    (tmp_path / "broken.toml").write_text('[[rule]]\nscore = 5\ntool = ["a"]\n')
    (tmp_path / "good.toml").write_text(POLICY)
    places = {"broken": str(tmp_path / "broken.toml"), "good": str(tmp_path / "good.toml")}
    done = run(gateway, *(argument.format(**places) for argument in arguments))
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def _digests(directory: Path) -> dict[str, Any]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in directory.iterdir()
    }


async def test_nothing_is_written_where_no_gateway_runs(tmp_path: Path) -> None:
    """Not in a directory that cannot be written, and no file beside the database in one that can."""
    (tmp_path / "policy.toml").write_text(POLICY)
    process = GatewayProcess(
        tmp_path, ATLAS_POLICY=str(tmp_path / "policy.toml"), ATLAS_REVIEWER_KEY=REVIEWERS
    )
    await process.start()
    async with process.agent() as client:
        await call(client, "check_status", beneficiary_id="BEN-1")
    await process.stop()
    before = _digests(process.data)
    assert "atlas.db-wal" not in before
    for mode in (0o700, 0o500):
        process.data.chmod(mode)
        done = await asyncio.to_thread(run, process, str(tmp_path / "policy.toml"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "1 call compared" in done.stdout
        assert _digests(process.data) == before
    process.data.chmod(0o700)


def test_an_older_schema_is_told_and_not_migrated(gateway: GatewayProcess, tmp_path: Path) -> None:
    """It takes a start of the gateway, which looks at the file first."""
    (old := tmp_path / "data").mkdir()
    copy_store(gateway.data, old)
    change_in(old, "UPDATE alembic_version SET version_num = '0009'")
    (tmp_path / "policy.toml").write_text(POLICY)
    before = everything_in(old)
    environment = gateway.environment | {"ATLAS_DATA_DIR": str(old)} | store_settings(old)
    words = ("replay", str(tmp_path / "policy.toml"))
    done = ran("atlas.assessors.policy", *words, environment=environment)
    assert done.returncode == 2
    assert "its tables are of version 0009" in done.stderr
    assert everything_in(old) == before


def test_the_time_is_bounded_and_the_rest_is_named(gateway: GatewayProcess) -> None:
    """A condition that takes its whole time on each call ends with the budget, not with the calls."""
    ten, slow = "[1,2,3,4,5,6,7,8,9,10]", "a + b + c + d + e + f > 0"
    for name in "fedcba":
        slow = f"{ten}.all({name}, {slow})"
    text = f'[[rule]]\nname = "slow"\ntool = "*"\nwhen = "{slow}"\nscore = 5\n'
    report = tried(gateway, text, ALL.model_copy(update={"budget": timedelta(seconds=2)}))
    assert 0 < report.calls < 18
    assert report.calls + report.left_out == 18
    assert report.notes.failed_now == report.calls
    assert "takes too long" in report.notes.failures[0].name
