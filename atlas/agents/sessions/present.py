"""Which sessions of each agent are in memory, so that those that were left can be put aside."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

Key = tuple[str, str]  # the agent, and the id by which it knows the session


class PresentSessions:
    """Counts the sessions in memory, and the requests that each one is serving."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_agent: defaultdict[str, OrderedDict[str, int]] = defaultdict(OrderedDict)

    @contextmanager
    def serving(self, key: Key) -> Iterator[None]:
        """A session that serves a request, or holds a stream open, is not idle."""
        agent, session_id = key
        sessions = self._of_agent[agent]
        sessions[session_id] = sessions.get(session_id, 0) + 1
        try:
            yield
        finally:
            if session_id in sessions:
                sessions[session_id] -= 1
                sessions.move_to_end(session_id)

    def has_come(self, key: Key) -> None:
        """Note a session that was opened just now."""
        self._of_agent[key[0]].setdefault(key[1], 0)

    def has_gone(self, key: Key) -> None:
        """Forget one that has ended."""
        self._of_agent[key[0]].pop(key[1], None)

    def to_put_aside(self, agent: str) -> list[Key]:
        """The sessions of an agent that are too many: those that were idle for longest."""
        sessions = self._of_agent[agent]
        idle = [session_id for session_id, requests in sessions.items() if not requests]
        return [(agent, session_id) for session_id in idle[: max(0, len(sessions) - self._most)]]
