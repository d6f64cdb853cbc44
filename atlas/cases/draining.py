"""How far a stop of this process is, so that an agent that waits for a case here is answered in time."""

from atlas.models import Case, Status


class Draining:
    """Nothing of it is true until the process is told to stop; then each becomes true in its turn."""

    def __init__(self) -> None:
        self.is_leaving = False  # it serves all that comes, and says that it will not for long
        self.is_closed = False  # no one can connect: what was begun is brought to its end
        self.is_over = False  # what has not ended now is left to the next process
        self.calls = 0  # of agents that have no answer yet, or whose answer is on its way to the connection

    def ends_wait(self, case: Case) -> bool:
        """Whether an agent that waits for the case is answered as it stands: a person takes too long."""
        return self.is_over or (self.is_closed and case.status is Status.PENDING_REVIEW)
