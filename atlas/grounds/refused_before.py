"""The same call before: a person's "no" to it, or their silence, is not lifted by a score.

A model can score the same call differently each time. An agent that repeats a rejected call would get
it past the gate with the first sample that is low enough.
"""

from datetime import datetime, timedelta, timezone

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.store import read_case
from atlas.cases.tables import WITHOUT_YES, cases
from atlas.database.statements import Prepared
from atlas.instants import now
from atlas.models import SEEDED, Case, Status

LASTS = timedelta(days=30)
SAME_CALL = ("principal", "tool_name", "arguments_sha256")
_IS_SAME = tuple(cases.c[name] == sa.bindparam(name) for name in SAME_CALL)
_NEWEST_NO = Prepared(
    sa.select(cases.c.case_id)
    .where(*_IS_SAME, WITHOUT_YES, sa.text(f"coalesce(cases.claimed_by, '') <> '{SEEDED}'"))
    .order_by(cases.c.opened_at.desc())
    .limit(sa.literal_column("1"))
)
# An approval with other arguments is no yes to these.
_YES_AFTER = Prepared(
    sa.select(cases.c.case_id)
    .where(
        *_IS_SAME,
        cases.c.opened_at > sa.bindparam("since"),
        sa.text("cases.status IN ('EXECUTED', 'OUTCOME_UNKNOWN') AND cases.edited_round IS NULL"),
    )
    .limit(sa.literal_column("1"))
)
SAID = {
    Status.REJECTED: "A person rejected the same call on {at}: {case_id}.",
    Status.EXPIRED: "No person decided in time on the same call, which ended on {at}: {case_id}.",
    Status.WITHDRAWN: "The same call was taken back on {at}, while it waited for a person: {case_id}.",
}


def refused_before(connection: Connection, case: Case) -> Case | None:
    """The newest case of the same call that ended without a person's yes in the last 30 days; else None.

    One that was executed after it, with these arguments, ends that: a person approved it.
    """
    same = case.call.model_dump(include=set(SAME_CALL))
    if (row := _NEWEST_NO.first(connection, same)) is None:
        return None
    refused = read_case(connection, str(row[0]))
    if now() - refused_at(refused) >= LASTS:
        return None
    return None if _YES_AFTER.first(connection, same | {"since": refused.opened_at}) else refused


def refused_at(refused: Case) -> datetime:
    """When it ended."""
    return refused.finished_at or refused.opened_at


def why_refused(refused: Case) -> str:
    """The same in a sentence for a reviewer, with the reference."""
    at = refused_at(refused).astimezone(timezone.utc)
    return SAID[refused.status].format(at=f"{at:%Y-%m-%d %H:%M} UTC", case_id=refused.case_id)
