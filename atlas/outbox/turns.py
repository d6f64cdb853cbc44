"""Whose turn it is: an address gets what was done about one case in the order in which it was done.

What asks for a decision waits for nothing and keeps nothing back: it is closed once it is untrue. Stops are
told in order too.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa

from atlas.database.dialects import without_index
from atlas.outbox.notices import Kind
from atlas.outbox.tables import deliveries, notices

_ASKING = [kind.value for kind in Kind if kind.asks]
_OF_STOPS = [Kind.STOPPED.value, Kind.STOP_LIFTED.value]
_earlier, _told = deliveries.alias("earlier"), notices.alias("told_earlier")


def is_its_turn(at: datetime, *, longest_pause: timedelta) -> sa.ColumnElement[bool]:
    """Whether no earlier notice of the same case, or of a stop, is still to be sent to the same address.

    The first one that is open is found once a look, and not for each delivery that is due. One that is not
    due yet, as of a digest or of quiet hours, keeps nothing back. One that failed does, during its pause.
    """
    is_open = (
        _earlier.c.sent_at.is_(None),
        _earlier.c.given_up_at.is_(None),
        _earlier.c.next_at <= at + longest_pause,  # along the index of what is open
        sa.or_(_earlier.c.next_at <= at, _earlier.c.attempts > 0),
    )
    deeds = _first(
        *is_open,
        without_index(_earlier.c.case_id).is_not(None),
        _told.c.kind.not_in(_ASKING),
        name="first_deeds",
    )
    stops = _first(*is_open, _told.c.kind.in_(_OF_STOPS), name="first_stops")
    of_case = _is_before(deeds, deeds.c.case_id == deliveries.c.case_id)
    of_stops = _is_before(stops)
    return sa.and_(
        sa.or_(notices.c.kind.in_(_ASKING), ~of_case), sa.or_(notices.c.kind.not_in(_OF_STOPS), ~of_stops)
    )


def _first(*which: sa.ColumnElement[bool], name: str) -> sa.CTE:
    """When the first of some open notices was made, for each case and address."""
    by = (_earlier.c.case_id, _earlier.c.address)
    found = sa.select(*by, sa.func.min(_told.c.made_at).label("made_at"))
    joined = found.join(_told, _told.c.notice_id == _earlier.c.notice_id).where(*which)
    # Else SQLite goes through all deliveries that there ever were, in this order.
    return joined.group_by(*map(without_index, by)).cte(name)


def _is_before(first: sa.CTE, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether the first one to the address of a delivery was made before its notice."""
    there = (*which, first.c.address == deliveries.c.address, first.c.made_at < notices.c.made_at)
    return sa.select(sa.literal_column("1")).select_from(first).where(*there).exists()
