"""Which calls a policy is tried on, and how long that may take."""

from datetime import datetime, timedelta

from atlas.frozen import Frozen
from atlas.origins.recollection import USUAL_IDLE


class Span(Frozen):
    """A span of time."""

    since: datetime
    until: datetime
    budget: timedelta
    idle: timedelta = USUAL_IDLE  # after which another session begins, where no client says one
