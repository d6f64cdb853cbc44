"""Whose turn it is: an address gets what was done about one case in the order in which it was done.

What asks for a decision keeps nothing back: it is closed once it is untrue. Stops are told in order too.
"""

from datetime import datetime

import sqlalchemy as sa

from atlas.outbox.notices import Kind
from atlas.outbox.tables import deliveries, notices

_ASKING = [kind.value for kind in Kind if kind.asks]
_OF_STOPS = [Kind.STOPPED.value, Kind.STOP_LIFTED.value]
_earlier, _told = deliveries.alias("earlier"), notices.alias("told_earlier")


def is_its_turn(at: datetime) -> sa.ColumnElement[bool]:
    """Whether no earlier notice of the same case, or of a stop, is still to be sent to the same address."""
    of_case = _is_kept_back(at, _earlier.c.case_id == deliveries.c.case_id, _told.c.kind.not_in(_ASKING))
    of_stops = _is_kept_back(at, _earlier.c.case_id.is_(None), _told.c.kind.in_(_OF_STOPS))
    is_reminder = notices.c.kind == Kind.REMINDED.value  # of no deed, and often very many
    return sa.and_(sa.or_(is_reminder, ~of_case), sa.or_(notices.c.kind.not_in(_OF_STOPS), ~of_stops))


def _is_kept_back(at: datetime, *which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether there is such an earlier one; one that is not due yet, as of a digest, keeps nothing back."""
    found = sa.select(_earlier.c.delivery_id).join(_told, _told.c.notice_id == _earlier.c.notice_id)
    return found.where(
        *which,
        _earlier.c.address == deliveries.c.address,
        _earlier.c.sent_at.is_(None),
        _earlier.c.given_up_at.is_(None),
        sa.or_(_earlier.c.attempts > 0, _earlier.c.next_at <= at),
        _told.c.made_at < notices.c.made_at,
    ).exists()
