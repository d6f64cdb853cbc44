"""Answers as this process gave them, kept until they are remembered: none is read from the disk again.

Only what is on disk is kept here, and nothing hangs on it: what is missing is read from the case store.
"""

import json
from collections import OrderedDict

from atlas.models import Case
from atlas.origins.remembered import Said
from atlas.origins.results import text_at_once

MOST_HEARD = 200  # answers
MOST_CHARACTERS = 2_000_000  # of all of them


class Heard:
    """The answers that came last."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, Said] = OrderedDict()
        self._size = 0

    def note(self, case: Case) -> None:
        """Keep what a case has that ended and is on disk; not an answer that takes long to read."""
        if case.outcome is None or case.outcome.result is None or case.assessment is None:
            return
        read = text_at_once(case.outcome.result)
        if read is None:
            return
        self.take(case.case_id)
        text, is_partly_read = read
        call = case.call_in_force  # what the tool was called with
        size = len(text) + len(json.dumps(call.arguments))
        is_outside = bool(case.assessment.is_outside)
        said = Said(call.arguments, call.user_request, text, is_partly_read, is_outside, size)
        self._said[case.case_id] = said
        self._size += size
        while self._said and (len(self._said) > MOST_HEARD or self._size > MOST_CHARACTERS):
            self.take(next(iter(self._said)))

    def take(self, case_id: str) -> Said | None:
        """What was said in a call and answered to it, if it is here; it is not here any more then."""
        said = self._said.pop(case_id, None)
        self._size -= said.size if said is not None else 0
        return said
