"""Which store cases are kept in: a SQLite file, or PostgreSQL where ATLAS_DATABASE_URL names one."""

from atlas.database.beside import Beside
from atlas.database.database import Database
from atlas.database.location import Location
from atlas.database.sqlite.beside import SqliteBeside
from atlas.database.sqlite.store import SqliteDatabase
from atlas.settings import Settings


def build_database(settings: Settings) -> Database:
    """The store that the settings name, closed."""
    if settings.atlas_database_url is None:
        return SqliteDatabase(settings.atlas_data_dir)
    # Imported where it is used: psycopg takes 4 MB and a twentieth of a start.
    from atlas.database.postgresql.address import Address
    from atlas.database.postgresql.store import PostgresDatabase

    address = Address(settings.atlas_database_url.get_secret_value())
    listen = settings.atlas_database_listen_url
    listening = None if listen is None else Address(listen.get_secret_value())
    return PostgresDatabase(address, settings.atlas_data_dir, listen=listening)


def beside(location: Location) -> Beside:
    """The store of a location, for a command beside the gateways that run."""
    if location.url is None:
        return SqliteBeside(location.directory)
    from atlas.database.postgresql.address import Address
    from atlas.database.postgresql.beside import PostgresBeside

    return PostgresBeside(Address(location.url))


def beside_gateway(settings: Settings) -> Beside:
    """The store that the settings name, for a command beside the gateways that run."""
    return beside(Location.of(settings))
