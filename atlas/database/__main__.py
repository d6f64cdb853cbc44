"""`python -m atlas.database migrate`: brings the tables of PostgreSQL to this version."""

import sys

from atlas.errors import AtlasError
from atlas.settings import Settings

NONE = (
    "ATLAS_DATABASE_URL names no database. A gateway with a SQLite file brings it up to date when it starts."
)


def migrate(settings: Settings) -> str:
    """Bring the tables to the newest version, as a whole or not at all; raises DatabaseUnusable."""
    if settings.atlas_database_url is None:
        raise SystemExit(NONE)
    from atlas.database.address import Address
    from atlas.database.migrating import newest_version
    from atlas.database.migrating_postgresql import bring_up_to_date
    from atlas.database.postgresql import refusing

    address = Address(settings.atlas_database_url.get_secret_value())
    with refusing(str(address)):
        bring_up_to_date(address.engine(), str(address))
    return f"The tables of {address} have version {newest_version()}."


def main(words: list[str]) -> None:
    """Do what the first word says; leaves the process with a sentence where it cannot."""
    if words != ["migrate"]:
        raise SystemExit(f"usage: {__doc__}")
    try:
        print(migrate(Settings.read()))  # noqa: T201
    except AtlasError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
