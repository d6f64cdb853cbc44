"""The gateway with tools that note on disk that they ran, a clock, and moments at which it kills itself.

ATLAS_TEST_DIE names one: `commit 12`, while the case store commits for the twelfth time, or as mortal_gateway
has it (`before atlas.agents.calling ToolCaller.call`).

With ATLAS_TEST_AWAY=6 the database is away for six claims of a call, and the engine tries again soon.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from acceptance.mortal_gateway import arm
from fastmcp import FastMCP
from shifted_clock import ShiftedDatetime, shift_clock

import atlas.engine.times
import atlas.instants
from atlas import welfare
from atlas.database.postgresql import libpq
from atlas.database.postgresql import transactions as postgresql_transactions
from atlas.execute import Execution
from crash.mortal_engine import LONGEST_COMMIT, die_soon
from crash.noting_tools import add_look_and_change

RAN = Path("ran.txt")  # in the directory of the gateway, one line a run


add_welfare_tools = welfare.add_welfare_tools


def add_noting_tools(server: FastMCP, office: welfare.WelfareOffice) -> None:
    """Offer the office's tools, one more that needs no person, and one for which a person decides."""
    add_welfare_tools(server, office)
    add_look_and_change(server, lambda: RAN)


def arm_commit(number: int) -> None:
    """Die while the case store commits for that time."""
    left = [number]

    def count(statement: str) -> None:
        left[0] -= statement == "COMMIT"
        if left[0] == 0:
            die_soon(LONGEST_COMMIT * (os.getpid() % 100) / 100)

    def trace(connection: Any, entry: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(count)

    def send(driver: Any, statements: str) -> Any:
        count(statements.rpartition("; ")[2])
        return libpq.send(driver, statements)

    sa.event.listen(sa.Engine, "connect", trace)
    postgresql_transactions.send = send  # type: ignore[attr-defined]


def be_away(number: int) -> None:
    """Have the database away for so many claims; the engine waits a twentieth of a second for each retry."""
    left, claim = [number], Execution._claim
    atlas.engine.times._BACKOFF = (0.05,)  # type: ignore[assignment]

    async def claim_or_fail(execution: Execution, case_id: str) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise sa.exc.OperationalError(
                "UPDATE cases", {}, sqlite3.OperationalError("the database is away")
            )
        return await claim(execution, case_id)

    Execution._claim = claim_or_fail  # type: ignore[method-assign]


def main() -> None:
    """Serve, and die as ATLAS_TEST_DIE says."""
    welfare.add_welfare_tools = add_noting_tools
    if "ATLAS_TEST_CLOCK" in os.environ:
        shift_clock()
        atlas.instants.datetime = ShiftedDatetime  # type: ignore[misc]
    be_away_for = int(os.environ.get("ATLAS_TEST_AWAY", "0"))
    if be_away_for:
        be_away(be_away_for)
    moment = os.environ.get("ATLAS_TEST_DIE", "")
    if moment.startswith("commit "):
        arm_commit(int(moment.split()[1]))
    elif moment:
        arm(moment)
    from atlas.operate.serving import serve
    from gateway import app, settings

    serve(app, settings, app.state.banner)


if __name__ == "__main__":
    main()
