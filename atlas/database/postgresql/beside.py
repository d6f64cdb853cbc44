"""A PostgreSQL database in a command: each change takes the lock that the gateways take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine

from atlas.database import copying
from atlas.database.migrating import newest_version
from atlas.database.postgresql.address import Address
from atlas.database.postgresql.copying import PostgresTarget, copied, filled
from atlas.database.postgresql.findings import findings
from atlas.database.postgresql.migrating import bring_up_to_date, version_of, works_with
from atlas.database.postgresql.problems import refusing
from atlas.database.postgresql.store import check_server
from atlas.database.postgresql.transactions import PostgresTransactions
from atlas.database.sqlite import copying as copying_sqlite
from atlas.database.statements import one_moment
from atlas.errors import DatabaseUnusable

Result = TypeVar("Result")
TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
COMMAND = "atlas-command"  # how its connections are named, beside those of gateways
EMPTY = "it has no tables yet. Start a gateway on it once, or make them: python -m atlas.database migrate"
OTHER = (
    "its tables are of version {found}, and this command is for version {newest}. Use the command of the"
    " gateway's own version, or bring older tables up to date: python -m atlas.database migrate"
)


class PostgresBeside:
    """One database; connections are made for each use, and left."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._is_known = False  # that the tables are of this version

    @property
    def place(self) -> str:
        """The address without its password."""
        return str(self._address)

    @property
    def setting(self) -> str:
        """The line of `.env` with which a gateway keeps its cases there."""
        return "ATLAS_DATABASE_URL to the URL that was copied to"

    def make_ready(self) -> None:
        """Make the tables where there are none; raises DatabaseUnusable where they are of another version."""
        with self.engine() as engine:
            with engine.connect() as connection:
                check_server(connection, self.place)
                is_new = version_of(connection) is None
                if not is_new:
                    self._require_fit(connection)
            if is_new:
                bring_up_to_date(engine, self.place)

    def bring_up_to_date(self) -> None:
        """Bring the tables, new or old, to the newest version; another process that does so is waited for."""
        with self.engine() as engine:
            with engine.connect() as connection:
                check_server(connection, self.place)
            bring_up_to_date(engine, self.place)

    def change(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which makes all of its changes at once, or none; they are on disk when it returns."""
        self.make_ready()
        with self.engine() as engine:
            transactions = PostgresTransactions(engine.connect, origin=COMMAND)
            try:
                transactions.begin()
                result = work(transactions.handle)
                transactions.commit(is_changed=True)
            except BaseException:
                transactions.undo()
                raise
            finally:
                transactions.close()
            return result

    def look(self, work: Callable[[Connection], Result]) -> Result:
        """Run work, which changes nothing and sees one moment."""
        with self.engine() as engine, engine.connect() as connection, one_moment(connection):
            if not self._is_known:
                self._require_fit(connection)
                self._is_known = True
            return work(connection)

    def tables(self) -> frozenset[str]:
        """The names of the tables in the schema in which ours are made."""
        return frozenset(str(row[0]) for row in self.rows(TABLES))

    def rows(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement at one moment."""
        with self.engine() as engine, engine.connect() as connection, one_moment(connection):
            yield from PostgresTarget(connection).rows(statement)

    def findings(self) -> Iterator[str]:
        """What is right with the database; what is wrong is raised."""
        with self.engine() as engine:
            yield from findings(engine, self.place)
            self.look(lambda connection: None)  # which says whether the tables are of this version

    def try_out(self) -> None:
        """Raise what keeps a gateway from it: of tables only those of a version after this one."""
        with self.engine() as engine:
            for _ in findings(engine, self.place):
                pass
            with engine.connect() as connection:
                if (version_of(connection) or "") > newest_version():
                    self._require_fit(connection)

    @contextmanager
    def moment(self) -> Iterator[PostgresTarget]:
        """All that is read inside is of one moment, also while gateways work."""
        with self.engine() as engine, engine.connect() as connection, one_moment(connection):
            self._require_fit(connection)
            yield PostgresTarget(connection)

    def back_up(self, path: Path) -> None:
        """Write all that the database holds at one moment into a new SQLite file."""
        with self.moment() as read, copying_sqlite.filled(path) as target:
            for _ in copying.fill(read, target):
                pass

    @contextmanager
    def as_source(self) -> Iterator[None]:
        """While this is entered nothing changes the database; raises CopyRefused."""
        with self.engine() as engine, copied(engine, self.place):
            yield

    @contextmanager
    def as_target(self) -> Iterator[PostgresTarget]:
        """Make its tables and fill them, as a whole or not at all; raises CopyRefused."""
        with self.engine() as engine:
            with engine.connect() as connection:
                check_server(connection, self.place)
            with filled(engine, self.place) as target:
                yield target

    def retire(self) -> str:
        """Nothing can be renamed here while something is connected."""
        return f"{self.place} is as it was: start no gateway on it any more."

    def _require_fit(self, connection: Connection) -> None:
        """Raise DatabaseUnusable where a gateway of this version could not work with the tables."""
        found = version_of(connection)
        if found is None:
            raise DatabaseUnusable(path=self.place, reason=EMPTY)
        if not works_with(connection):
            raise DatabaseUnusable(path=self.place, reason=OTHER.format(found=found, newest=newest_version()))

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Connections; what keeps the database from being used is said in a sentence."""
        engine = self._address.engine(COMMAND)
        with refusing(self.place):
            try:
                yield engine
            finally:
                engine.dispose()
