"""Check the ledger with `verify`, or print it with `export`; gateways may run meanwhile."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atlas.database.beside import Beside
from atlas.database.choose import beside
from atlas.database.location import Location
from atlas.errors import DatabaseUnusable, LedgerBroken
from atlas.ledger import START, follow, read_store
from atlas.settings import Settings

NOT_THERE = (
    "The chain of {count} entries holds, but none has the hash {noted}. Its end was taken away, or all of it"
    " was written again.\n"
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 for a broken ledger, 2 for one that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m atlas.ledger", description=__doc__)
    parser.add_argument("command", choices=("verify", "export"))
    parser.add_argument(
        "--data-dir", type=Path, help="of a SQLite file, such as an unpacked backup; default: of the settings"
    )
    parser.add_argument(
        "--noted",
        metavar="HASH",
        type=_hash,
        help="with verify: an entry_hash that was noted elsewhere, which an entry must still have",
    )
    options = parser.parse_args(arguments)
    if options.noted is not None and options.command != "verify":
        parser.error("--noted is for verify")
    directory = options.data_dir
    store = beside(Location(directory=directory) if directory else Location.of(Settings.read()))
    try:
        return _export(store) if options.command == "export" else _verify(store, options.noted)
    except DatabaseUnusable as error:
        sys.stderr.write(f"There is no readable ledger at {store.place}: {error.fields['reason']}\n")
        return 2


def _hash(text: str) -> str:
    """A hash as it was noted or pasted."""
    found = re.fullmatch("[0-9a-f]{64}", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError("a hash is 64 hexadecimal digits")
    return found[0]


def _verify(store: Beside, noted: str | None) -> int:
    """Check the chain, and whether an entry has the hash that was noted: else an end could be missing."""
    found: list[int] = []

    def watched() -> Iterator[dict[str, Any]]:
        for row in read_store(store):
            if row["entry_hash"] == noted:
                found.append(row["seq"])
            yield row

    try:
        newest = follow(watched(), START)
    except LedgerBroken as error:
        sys.stdout.write(f"{error}\n")
        return 1
    if noted is not None and not found:
        sys.stdout.write(NOT_THERE.format(count=newest.seq, noted=noted))
        return 1
    has = f" Number {found[0]} has the hash that you noted." if found else ""
    sys.stdout.write(f"OK: {newest.seq} entries verified.{has}\n")
    if newest.seq:
        sys.stdout.write(f"The newest has the hash {newest.entry_hash}\n")
    return 0


def _export(store: Beside) -> int:
    try:
        for entry in read_store(store):
            sys.stdout.write(json.dumps(entry) + "\n")
        sys.stdout.flush()
    except OSError as error:  # a full disk, or a program behind a pipe that wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        sys.stderr.write(f"The export is not whole: {error.strerror}.\n")
        return 1
    return 0
