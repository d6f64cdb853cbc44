"""`python -m atlas.database check|migrate|copy`: the store itself, as the settings name it.

The exit status is 0, or 1 where something is wrong or nothing was done.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from atlas.database import copying
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.database.migrating import newest_version
from atlas.errors import AtlasError
from atlas.settings import Settings
from atlas.settings.as_written import postgresql_url


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m atlas.database",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="say whether a gateway can work with the store; nothing is changed")
    commands.add_parser("migrate", help="make the tables, or bring them to the version of this command")
    copy = commands.add_parser("copy", help="copy all that the store holds into another one, which is empty")
    copy.add_argument(
        "--to",
        required=True,
        type=_target,
        metavar="URL",
        help="postgresql://…, or a data directory for a SQLite file",
    )
    return made


def _target(text: str) -> Location:
    """Where it is copied to."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: name a directory or a URL")
    if "://" not in text:
        return Location(directory=Path(text))
    try:
        return Location(directory=Path(), url=postgresql_url(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> Iterator[str]:
    """Do what is asked, and say so line by line; raises AtlasError."""
    here = Location.of(Settings.read())
    store = beside(here)
    if options.command == "check":
        yield from store.findings()
    elif options.command == "migrate":
        store.bring_up_to_date()
        yield f"The tables of {store.place} have version {newest_version()}."
    else:
        yield from copying.copy(here, options.to)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    try:
        for line in run(parser().parse_args(arguments)):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except AtlasError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
