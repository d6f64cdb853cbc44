"""How long the run of a case sleeps before it looks at the case store without being woken."""

from atlas.instants import now
from atlas.models import Case
from atlas.reviews.undo import seconds_to_begin

LEAST_FROZEN = 60  # seconds


def seconds_to_wait(case: Case) -> int:
    """Whole seconds that lead past the end of the review, or to the begin of an approved call.

    Under a stop the end moves, and Inngest gives a run 1,000 steps: each sleep is longer than the one before,
    so that a month takes about a hundred. The courier wakes a run whose case can begin, and another run takes
    up a case whose own run sleeps past its end.
    """
    if begins_in := seconds_to_begin(case):
        return int(begins_in) + 1
    moment = now()
    left = (case.expires_at - (case.frozen_at or moment)).total_seconds() if case.expires_at else 0
    if case.frozen_at is not None:
        left = max(left, LEAST_FROZEN, (moment - case.frozen_at).total_seconds() / 4)
    return max(1, int(left) + 1)
