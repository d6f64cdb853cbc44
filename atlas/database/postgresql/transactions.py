"""Transactions of PostgreSQL, for the one writer of a gateway, beside those of other gateways."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.database import known_end, known_policy
from atlas.database.failures import CommitUnknown
from atlas.database.hints import NOTED
from atlas.database.postgresql.libpq import row_of, send
from atlas.database.postgresql.listening import notify
from atlas.errors import ProcessGivenUp

# One lock for every change of the store, as SQLite has one: what a change reads first does not change before
# it writes, and the ledger is one chain. It is held for a batch of changes, while nothing else is asked.
WRITE_LOCK = 0x41544C4153  # "ATLAS"
LOCK_SECONDS = 15  # for which a batch waits for those of other gateways
IDLE_SECONDS = 5  # after which the server ends the transaction of a process that was frozen or cut off
STATEMENT_SECONDS = 60
FINDING_OUT_SECONDS = 30.0  # for which it is asked again whether a commit without an answer was made
AGAIN_SECONDS = 0.2
COMMITTED = {"committed": True, "aborted": False}  # a transaction of long ago has no state any more

logger = logging.getLogger(__name__)


class PostgresTransactions:
    """Of a connection in autocommit mode, which is made again when it was lost.

    A commit whose answer was lost is looked up by its number once the server answers again.
    """

    def __init__(
        self, connect: Callable[[], Connection], *, alive: str | None = None, origin: str = ""
    ) -> None:
        self._connect = connect
        self._origin = origin  # of what other gateways are told of it
        self._changed: set[str] = set()  # the cases that they are told of with the commit
        self._alive = alive  # a condition on the store without which this process may not write any more
        self._connection: Connection | None = None
        self._renew()
        self._number = ""  # of the transaction, as PostgreSQL counts them
        self._has_savepoint = False  # none for the first change of a transaction

    @property
    def handle(self) -> Connection:
        """The connection in the transaction that has begun."""
        assert self._connection is not None  # noqa: S101  (begin has made it)
        return self._connection

    @property
    def is_begun(self) -> bool:
        """Whether it has begun, and the connection is there."""
        status = self._driver.info.transaction_status
        return status in (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)

    def begin(self) -> None:
        """Begin, and wait for the batches of other gateways; raises ProcessGivenUp."""
        try:
            self._begin()
        except psycopg.OperationalError as error:
            if isinstance(error, psycopg.errors.LockNotAvailable):
                raise
            self._renew()  # nothing was done in it, so that it is done once more
            self._begin()

    def _begin(self) -> None:
        if self._connection is None:
            self._renew()
        self._has_savepoint = False
        begun = send(
            self._driver,
            # With what a server or a role may have as its default, changes would not see those before them.
            "BEGIN ISOLATION LEVEL READ COMMITTED;"
            " SET LOCAL synchronous_commit = on;"
            f" SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s';"
            f" SET LOCAL lock_timeout = '{LOCK_SECONDS}s';"
            f" SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s';"
            f" SELECT pg_advisory_xact_lock({WRITE_LOCK});"
            f" SELECT pg_current_xact_id()::text, {self._alive or 'true'},"
            f" {known_policy.READ}, {known_end.READ}",
        )
        self._changed = self.handle.info[NOTED] = set()
        self._number, is_alive, policy, *end = row_of(begun)
        if not is_alive:
            raise ProcessGivenUp
        known_policy.begin(self.handle, policy)
        known_end.begin(self.handle, end)

    def commit(self, *, is_changed: bool) -> None:
        """Commit; what the server did not answer to is looked up. Raises CommitUnknown."""
        try:
            said = send(self._driver, self._ending(is_changed=is_changed)).command_status
        except psycopg.OperationalError as error:
            was_committed = self._was_committed()
            if was_committed is None:
                raise CommitUnknown(None, None, error) from error
            if not was_committed:
                raise
            return
        if said != b"COMMIT":  # so it is said of a transaction that has failed
            raise psycopg.OperationalError("The transaction was rolled back.")

    def _ending(self, *, is_changed: bool) -> str:
        """COMMIT; on the same way other gateways are told of what was changed."""
        is_told = is_changed and self._changed
        return f"{notify(self._origin, self._changed)}; COMMIT" if is_told else "COMMIT"

    def undo(self) -> None:
        """Roll back; a connection that was lost is made again by the next `begin`."""
        if self._connection is None:
            return
        try:
            known_end.forget(self._connection)
            send(self._driver, "ROLLBACK")
        except (psycopg.Error, sa.exc.SQLAlchemyError):  # also where SQLAlchemy saw the connection break
            self._drop()

    def begin_change(self) -> None:
        """Begin one more change; the one before stands."""
        before = "RELEASE SAVEPOINT change; " if self._has_savepoint else ""
        send(self._driver, f"{before}SAVEPOINT change")
        self._has_savepoint = True

    def undo_change(self) -> None:
        """Roll back to where the newest change began; the first has the whole transaction for that."""
        if self._has_savepoint:
            known_end.forget(self.handle)
            send(self._driver, "ROLLBACK TO SAVEPOINT change")
        else:
            self.undo()
            self.begin()

    def close(self) -> None:
        """Disconnect."""
        self._drop()

    def _was_committed(self) -> bool | None:
        """Whether a transaction without an answer was committed; None: that cannot be found out.

        What cannot be found out fails as what was not committed does, but is told in other words.
        """
        number, end = self._number, time.monotonic() + FINDING_OUT_SECONDS
        while time.monotonic() < end:
            with suppress(psycopg.Error, sa.exc.DBAPIError):
                self._renew()
                row = self._driver.execute("SELECT pg_xact_status(%s::xid8)", [number]).fetchone()
                if row is not None and row[0] != "in progress":
                    return COMMITTED.get(row[0])
            time.sleep(AGAIN_SECONDS)
        logger.error("Whether the last change was kept is unknown: the database did not answer.")
        return None

    def _renew(self) -> None:
        self._drop()
        self._connection = self._connect()
        # Kept beside it: where SQLAlchemy saw the connection break it does not give it any more.
        self._driver: psycopg.Connection[Any] = self._connection.connection.driver_connection  # type: ignore[assignment]

    def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(psycopg.Error, sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()
