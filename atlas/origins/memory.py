"""What an agent did and read before, for the gateway that runs: at once, or in a thread if that is long."""

import threading
from datetime import timedelta

from sqlalchemy.engine import Connection

from atlas.cases.store import CaseStore
from atlas.models import Case
from atlas.origins.recollection import USUAL_IDLE, Past, Recollection, TakesLong


class Memory(Recollection):
    """Remembers for the gateway that runs."""

    def __init__(self, store: CaseStore, *, idle: timedelta = USUAL_IDLE) -> None:
        super().__init__(idle=idle)
        self._store = store
        self._lock = threading.Lock()  # reading the file takes turns
        store.listeners.append(self._heard.note)

    async def earlier(self, case: Case) -> Past:
        """What the same agent did and read before the call was admitted."""

        def read(connection: Connection) -> Past:
            with self._lock:
                return self.past(connection, case)

        past = self._at_once(case)
        return await self._store.database.read(read) if past is None else past

    def _at_once(self, case: Case) -> Past | None:
        """The same where little came since the last call, and all of it from this process; else None."""

        def read(connection: Connection) -> Past | None:
            self._is_at_once = True
            try:
                return self.past(connection, case)
            except TakesLong:
                return None
            finally:
                self._is_at_once = False

        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._store.database.read_here(read)
        finally:
            self._lock.release()
