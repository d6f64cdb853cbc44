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
SERVER_BEGAN = "pg_postmaster_start_time()::text"
IS_WRITTEN = "SELECT EXISTS (SELECT 1 FROM ledger WHERE seq = %s AND entry_hash = %s)"

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
        self._server_began = ""  # when the server of the transaction was started
        self._end_before: known_end.End | None = None  # of the ledger, when the transaction began
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
            f" SELECT pg_current_xact_id()::text, {SERVER_BEGAN}, {self._alive or 'true'},"
            f" {known_policy.READ}, {known_end.READ}",
        )
        self._changed = self.handle.info[NOTED] = set()
        self._number, self._server_began, is_alive, policy, *end = row_of(begun)
        if not is_alive:
            raise ProcessGivenUp
        known_policy.begin(self.handle, policy)
        known_end.begin(self.handle, end)
        self._end_before = known_end.known(self.handle)

    def commit(self, *, is_changed: bool) -> None:
        """Commit; what the server did not answer to is looked up. Raises CommitUnknown."""
        end = known_end.known(self.handle)
        written = None if end == self._end_before else end
        try:
            said = send(self._driver, self._ending(is_changed=is_changed)).command_status
        except psycopg.OperationalError as error:
            was_committed = self._was_committed(written)
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

    def _was_committed(self, written: known_end.End | None) -> bool | None:
        """Whether a transaction without an answer was committed; None: that cannot be found out.

        `written`: the newest entry of the ledger that it wrote, if it wrote one. What cannot be found out
        fails as what was not committed does, but is told in other words.
        """
        end = time.monotonic() + FINDING_OUT_SECONDS
        while time.monotonic() < end:
            with suppress(psycopg.Error, sa.exc.DBAPIError):
                self._renew()
                status = self._status()
                if status == "committed":
                    return self._is_there(written)
                if status != "in progress":
                    return False if status == "aborted" else None  # of long ago it has none any more
            time.sleep(AGAIN_SECONDS)
        logger.error("Whether the last change was kept is unknown: the database did not answer.")
        return None

    def _status(self) -> str | None:
        """What PostgreSQL says of the number of the transaction."""
        try:
            status: str | None = self._asked("SELECT pg_xact_status(%s::xid8)", self._number)
            return status
        except psycopg.errors.InvalidParameterValue:
            return "aborted"  # a number that no transaction has had: with a crash of the server it was lost

    def _is_there(self, written: known_end.End | None) -> bool | None:
        """Whether what is committed under the number is this transaction; None: that cannot be found out.

        A server that has crashed gives a number of which it has nothing to another transaction.
        """
        if written is not None:
            return bool(self._asked(IS_WRITTEN, *written))
        return True if self._asked(f"SELECT {SERVER_BEGAN}") == self._server_began else None

    def _asked(self, question: str, *values: Any) -> Any:
        row = self._driver.execute(question, values).fetchone()
        assert row is not None  # noqa: S101  (each question has one row)
        return row[0]

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
