"""A part of a session, about which the case store is asked without reading its calls."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.cases.rounds import of_this_round
from atlas.cases.tables import assessments, cases, outcomes
from atlas.database.statements import Prepared
from atlas.origins.remembered import LONG_AGO, MOST_LOADED

_LIMIT: sa.ColumnClause[int] = sa.literal_column(str(MOST_LOADED))
_OF_SESSION = sa.and_(
    cases.c.principal == sa.bindparam("principal"),
    cases.c.session.is_not_distinct_from(sa.bindparam("session")),
    cases.c.opened_at >= sa.bindparam("since"),
    cases.c.opened_at < sa.bindparam("until"),
)
_COUNT = Prepared(  # in the index alone
    sa.select(sa.func.count()).select_from(
        sa.select(cases.c.opened_at).where(_OF_SESSION).limit(_LIMIT).subquery()
    )
)
_ANSWERED_OUTSIDE = (
    sa.select(cases.c.case_id)
    .select_from(
        cases.join(outcomes, outcomes.c.case_id == cases.c.case_id).join(
            assessments, of_this_round(assessments)
        )
    )
    .where(
        cases.c.principal == sa.bindparam("principal"),
        assessments.c.is_outside,
        outcomes.c.result.is_not(None),
    )
    .limit(sa.literal_column("1"))
)
# SQLite takes the index of the session for the one, and that of the moments, few of them new, for the other.
_OUTSIDE = Prepared(
    _ANSWERED_OUTSIDE.where(
        cases.c.session.is_not_distinct_from(sa.bindparam("session")),
        sa.func.coalesce(cases.c.reported_at, sa.bindparam("until")) < sa.bindparam("until"),
    )
)
_NEWLY_OUTSIDE = Prepared(
    _ANSWERED_OUTSIDE.where(
        sa.func.coalesce(cases.c.session, "") == sa.func.coalesce(sa.bindparam("session"), ""),
        cases.c.reported_at >= sa.bindparam("since"),
        cases.c.reported_at < sa.bindparam("until"),
    )
)


class Part(NamedTuple):
    """A part of a session: its calls from one moment on, and before another one."""

    principal: str
    session: str | None
    since: datetime
    until: datetime

    def calls(self, connection: Connection) -> int:
        """How many there are on disk, counted up to MOST_LOADED."""
        count: int = _COUNT.first(connection, self._asdict())[0]
        return count

    def read_outside(self, connection: Connection) -> bool:
        """Whether a tool that speaks for third parties answered in that time."""
        statement = _OUTSIDE if self.since == LONG_AGO else _NEWLY_OUTSIDE
        return statement.first(connection, self._asdict()) is not None
