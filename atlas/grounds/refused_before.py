"""The same call before: a person's "no" to it, or their silence, is not lifted by a score.

A model can score the same call differently each time. An agent that repeats a rejected call would get
it past the gate with the first sample that is low enough.
"""

from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.store import read_case
from atlas.cases.tables import cases
from atlas.database.statements import Prepared
from atlas.instants import now
from atlas.models import SEEDED, Case, Status

LASTS = timedelta(days=30)
SAME_CALL = ("principal", "tool_name", "arguments_sha256")
# What ended before people were asked says nothing: an agent can bring that about. Nor does what failed.
_LAST_WORD = Prepared(
    sa.select(cases.c.case_id, cases.c.status)
    .where(
        *(cases.c[name] == sa.bindparam(name) for name in SAME_CALL),
        sa.text(
            "(status IN ('REJECTED', 'EXPIRED', 'EXECUTED', 'OUTCOME_UNKNOWN')"
            " OR (status = 'WITHDRAWN' AND expires_at IS NOT NULL))"
            f" AND coalesce(claimed_by, '') <> '{SEEDED}'"
        ),
    )
    .order_by(cases.c.opened_at.desc())
    .limit(sa.literal_column("1"))
)
SAID = {
    Status.REJECTED: "A person rejected the same call on {at}: {case_id}.",
    Status.EXPIRED: "No person decided in time on the same call, which ended on {at}: {case_id}.",
    Status.WITHDRAWN: "The same call was taken back on {at}, while it waited for a person: {case_id}.",
}


def refused_before(connection: Connection, case: Case) -> Case | None:
    """The newest case of the same call, where it ended without a person's yes in the last 30 days; else None.

    What was executed after that ends it: a person approved it, or no "no" was in force.
    """
    row = _LAST_WORD.first(connection, case.call.model_dump(include=set(SAME_CALL)))
    if row is None or Status(row[1]) not in SAID:
        return None
    refused = read_case(connection, str(row[0]))
    return refused if now() - refused_at(refused) < LASTS else None


def refused_at(refused: Case) -> datetime:
    """When it ended."""
    return refused.finished_at or refused.opened_at


def why_refused(refused: Case) -> str:
    """The same in a sentence for a reviewer, with the reference."""
    at = refused_at(refused).astimezone(timezone.utc)
    return SAID[refused.status].format(at=f"{at:%Y-%m-%d %H:%M} UTC", case_id=refused.case_id)
