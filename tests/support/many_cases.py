"""Very many cases in PostgreSQL: copies of those that are there, made by the server in one statement a table.

The ledger's copies have no chain: what is measured looks at its newest entry only.
"""

from typing import Any

import psycopg
from gateway_process import GatewayProcess, call, reference_in

FOR_A_PERSON = "modify_welfare_record"  # a tool whose calls a person decides on
MADE = 10  # calls of each kind that a gateway itself takes
TABLES = ("cases", "assessments", "decisions", "approvals", "outcomes", "ledger", "due_times", "notices")
NUMBERED = {"seq": "ledger", "due_id": "due_times"}  # columns whose numbers go on behind the newest
NEW = {
    "case_id": "'evt_' || substr(md5(t.case_id || ':' || n), 1, 16)",
    "notice_id": "'not_' || substr(md5(t.notice_id || ':' || n), 1, 24)",
    "arguments_sha256": "md5(t.arguments_sha256 || n) || md5(n || t.arguments_sha256)",
    "session": "md5(t.session || n)",
}
INSTANT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def arguments(number: int) -> dict[str, Any]:
    """What a person has to decide on."""
    return {"beneficiary_id": "BEN-124", "changes": {"monthly_amount_eur": number}}


async def fill(gateway: GatewayProcess, *, ended: int, waiting: int, apart: str) -> None:
    """Have a gateway that serves everyone take a few calls, and copy them; it is stopped before and after.

    There are about so many that ended, each an interval apart from the last, and so many that wait.
    """
    await gateway.start()
    async with gateway.agent(key=None) as agent:
        for number in range(MADE):
            assert not (await call(agent, "check_status", beneficiary_id=f"BEN-{123 + number % 2}")).is_error
            reference_in(await call(agent, FOR_A_PERSON, **arguments(number)))
    await gateway.stop()
    with psycopg.connect(gateway.environment["ATLAS_DATABASE_URL"]) as connection:
        copy_cases(connection, "status = 'EXECUTED'", ended // MADE, apart=apart)
        copy_cases(connection, "status = 'PENDING_REVIEW'", waiting // MADE, apart="1 second")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")  # as the server does by itself


def copy_cases(connection: "psycopg.Connection[Any]", where: str, times: int, *, apart: str) -> None:
    """Copy the cases for which a condition holds so many times, each an interval apart from the last."""
    ids = [one for (one,) in connection.execute(f"SELECT case_id FROM cases WHERE {where}").fetchall()]
    connection.execute("SET session_replication_role = replica")
    for table in TABLES:
        columns = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
            [table],
        ).fetchall()
        names = [name for name, _ in columns]
        chosen = ", ".join(_copied(name, apart) for name in names)
        connection.execute(
            f"INSERT INTO {table} ({', '.join(names)})"
            f" SELECT {chosen} FROM {table} t, generate_series(1, %s) n WHERE t.case_id = ANY(%s)",
            [times, ids],
        )
    connection.execute("SET session_replication_role = origin")
    connection.execute(
        "SELECT setval(pg_get_serial_sequence('due_times', 'due_id'), max(due_id) + 1) FROM due_times"
    )
    connection.commit()


def _copied(name: str, apart: str) -> str:
    if name in NUMBERED:
        newest = f"(SELECT max({name}) FROM {NUMBERED[name]})"
        return f"{newest} + row_number() OVER (ORDER BY n, t.{name})"
    if name.endswith("_at") or name in ("at", "until"):
        moved = f"(t.{name}::timestamptz + n * interval '{apart}') AT TIME ZONE 'UTC'"
        return f"to_char({moved}, '{INSTANT}')"
    return NEW.get(name, f"t.{name}")
