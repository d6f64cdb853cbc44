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
# By whether there is a session: PostgreSQL goes along an index for either, and not for both in one condition.
_SESSION = {True: cases.c.session == sa.bindparam("session"), False: cases.c.session.is_(None)}
_IN_TIME = (
    cases.c.principal == sa.bindparam("principal"),
    cases.c.opened_at >= sa.bindparam("since"),
    cases.c.opened_at < sa.bindparam("until"),
)
_COUNT = {
    has_session: Prepared(  # in the index alone
        sa.select(sa.func.count()).select_from(
            sa.select(cases.c.opened_at).where(*_IN_TIME, of_session).limit(_LIMIT).subquery()
        )
    )
    for has_session, of_session in _SESSION.items()
}
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
_OUTSIDE = {
    has_session: Prepared(
        _ANSWERED_OUTSIDE.where(
            of_session,
            sa.func.coalesce(cases.c.reported_at, sa.bindparam("until")) < sa.bindparam("until"),
        )
    )
    for has_session, of_session in _SESSION.items()
}
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
        count: int = _COUNT[self.session is not None].first(connection, self._asdict())[0]
        return count

    def read_outside(self, connection: Connection) -> bool:
        """Whether a tool that speaks for third parties answered in that time."""
        if self.since != LONG_AGO:
            return _NEWLY_OUTSIDE.first(connection, self._asdict()) is not None
        return _OUTSIDE[self.session is not None].first(connection, self._asdict()) is not None
