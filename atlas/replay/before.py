"""What an agent did before each of its calls, kept while they are gone through; for `session` in rules."""

import json
import sqlite3
from collections import OrderedDict, deque
from typing import Any, NamedTuple

from atlas.assessors import Earlier
from atlas.database.read_only import ReadOnlyFile
from atlas.origins.memory import MOST_CALLS
from atlas.replay.past import Past

MOST_CHARACTERS = (
    64_000_000  # of arguments, of all agents together; of an agent that is dropped they are read again
)

BEFORE = """
SELECT c.case_id, c.opened_at, c.tool_name, c.arguments, c.user_request, c.session, a.is_outside
FROM cases AS c LEFT JOIN assessments AS a ON a.case_id = c.case_id AND a.round_number = 1
WHERE c.principal = ? AND c.opened_at < ?
ORDER BY c.opened_at DESC, c.case_id DESC
LIMIT ?
"""


class _Deed(NamedTuple):
    opened_at: str
    session: str | None
    characters: int
    earlier: Earlier


class Before:
    """The last calls of each agent."""

    def __init__(self, file: ReadOnlyFile) -> None:
        self._file = file
        self._deeds: OrderedDict[str, deque[_Deed]] = OrderedDict()  # the agent that called last is the last
        self._characters = 0

    def earlier(self, past: Past) -> tuple[Earlier, ...]:
        """The calls of the same agent before this one, the oldest first; their answers are not among them."""
        deeds = self._deeds.get(past.principal)
        if deeds is None:
            deeds = self._read(past)
        return tuple(
            deed.earlier.model_copy(update={"is_other_session": True})
            if deed.session != past.session
            else deed.earlier
            for deed in deeds
            if deed.opened_at < past.opened_at
        )[-MOST_CALLS:]

    def add(self, past: Past) -> None:
        """Note a call that was gone through."""
        deeds = self._deeds.get(past.principal)
        if deeds is None:  # nothing has asked for this agent yet: it is read when something does
            return
        is_outside = past.judged is not None and past.judged.is_outside
        said = (past.case_id, past.opened_at, past.tool_name, past.arguments, past.user_request, past.session)
        deeds.append(_deed((*said, is_outside)))
        self._characters += deeds[-1].characters
        if len(deeds) > 2 * MOST_CALLS:  # some of them came in the same moment
            self._characters -= deeds.popleft().characters
        self._deeds.move_to_end(past.principal)
        self._drop()

    def _read(self, past: Past) -> "deque[_Deed]":
        def read(connection: sqlite3.Connection) -> list[Any]:
            said = (past.principal, past.opened_at, MOST_CALLS)
            return connection.execute(BEFORE, said).fetchall()

        deeds = deque(_deed(row) for row in reversed(self._file.read(read)))
        self._deeds[past.principal] = deeds
        self._characters += sum(deed.characters for deed in deeds)
        return deeds

    def _drop(self) -> None:
        while self._characters > MOST_CHARACTERS and len(self._deeds) > 1:
            _, deeds = self._deeds.popitem(last=False)
            self._characters -= sum(deed.characters for deed in deeds)


def _deed(row: Any) -> _Deed:
    case_id, opened_at, tool_name, arguments, user_request, session, is_outside = row
    earlier = Earlier(
        case_id=case_id,
        tool_name=tool_name,
        arguments=json.loads(arguments),
        is_outside=bool(is_outside),
        user_request=user_request,
    )
    return _Deed(opened_at, session, len(arguments), earlier)
