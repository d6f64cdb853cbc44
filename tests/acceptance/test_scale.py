"""However many calls wait for a person: a start, a new call and a decision look at none of the others."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from gateway_process import ROOT, GatewayProcess, call, eventually, outcome, reference_in, text_of

SCRIPT = ROOT / "tests" / "acceptance" / "tracing_gateway.py"
TOOL = "modify_welfare_record"
KINDS = ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")
SMALL = (
    "alembic_version",
    "beneficiaries",
    "commits",
    "functions",
    "processes",  # of one store
    "ix_stops_in_force",  # of what is stopped now
    "sqlite_master",
    *("delegations", "people", "profiles", "push_subscriptions", "trainings"),  # of people, who are few
)  # which do not grow with the calls
ALLOWED = (
    "ORDER BY ledger.seq DESC LIMIT 1",  # the newest row
    "max(seq), 0) FROM ledger",  # the row at the end, by its number
    "max(ledger.seq), 0) AS coalesce_1 FROM ledger",  # the same
    "SELECT (SELECT max(ledger.seq) AS max_1 FROM ledger) - ledger.seq",  # the same, and one by its number
    "notices.spread_at IS NULL ORDER BY notices.made_at LIMIT 50",  # an index of those alone
    "SELECT 1 FROM cases LIMIT 1",  # any row
    "ORDER BY due_times.due_at LIMIT 1",  # the nearest, by an index of those that are not done
    "cases.status IN ('QUEUED', 'PENDING_REVIEW') AND COALESCE(cases.claimed_by",  # counted seldom
    "UPDATE cases SET collected_at = opened_at",  # a migration: once in the life of a file
)


def arguments(number: int) -> dict[str, object]:
    """What a person has to decide on."""
    return {"beneficiary_id": "BEN-124", "changes": {"monthly_amount_eur": number}}


@pytest.mark.sqlite("test_scale_postgresql.py counts what PostgreSQL reads")
async def test_no_statement_of_a_start_a_call_or_a_decision_goes_through_all_cases(tmp_path: Path) -> None:
    """Each statement that the gateway runs on what grows with the calls goes by an index."""
    gateway, statements = GatewayProcess(tmp_path, SCRIPT), tmp_path / "statements"
    try:
        await gateway.start(ATLAS_TEST_STATEMENTS=str(statements))
        async with gateway.agent() as agent, httpx.AsyncClient(timeout=60) as http:
            assert (await http.get(f"{gateway.url}/readyz")).is_success
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
            waiting = [reference_in(await call(agent, TOOL, **arguments(number))) for number in range(3)]
            assert reference_in(await call(agent, TOOL, **arguments(0))) == waiting[0]
            assert len(await agent.list_resources()) >= 3
            await gateway.decide(waiting[1])
            assert "EXECUTED" in text_of(await outcome(agent, waiting[1]))
            await gateway.decide(waiting[2], "REJECTED")
            assert "REJECTED" in text_of(await outcome(agent, waiting[2]))

        async def courier_made_a_round() -> bool:
            return "expires_at <" in statements.read_text()

        await eventually(courier_made_a_round)
    finally:
        await gateway.stop()
    lines = statements.read_text().splitlines()
    assert len(lines) > 100
    found = scans(lines, gateway.data)
    assert found == [], "\n".join(map(str, found))


def scans(statements: list[str], data: Path) -> list[tuple[str, str]]:
    """The steps that go through a whole table or index, each with its statement."""
    found = []
    for statement in sorted({line for line in statements if line.startswith(KINDS)}):
        if any(part in statement for part in ALLOWED):
            continue
        for step in plan(statement, data):
            is_whole = step.startswith("SCAN") or (step.startswith("SEARCH") and "USING" not in step)
            if is_whole and not any(
                name in step for name in (*SMALL, "CONSTANT ROW", "SUBQUERY", "(subquery")
            ):
                found.append((step, statement))
    return found


def plan(statement: str, data: Path) -> list[str]:
    """How SQLite would run a statement on the file that has its tables."""
    for name in ("atlas.db", "engine.db"):
        with closing(sqlite3.connect(data / name)) as connection:
            try:
                rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    sys.stderr.write(f"{error}: {statement}\n")
                continue
            return [row[3] for row in rows]
    return []
