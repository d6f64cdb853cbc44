"""Whom a policy can name as a reviewer. `./setup.sh` asks it too, and loads no MCP for it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from atlas.settings import Settings


def names_of_reviewers(settings: Settings) -> frozenset[str] | None:
    """All that a policy can name: the names of keys, and of accounts; None if the accounts cannot be read."""
    accounts = _names_of_accounts(settings.atlas_data_dir / "atlas.db")
    return None if accounts is None else settings.reviewers | accounts


def _names_of_accounts(path: Path) -> frozenset[str] | None:
    # The gateway asks before it opens the file, which may not be there, or may have older tables.
    if not path.exists():
        return frozenset()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'people'").fetchone():
                return frozenset()
            rows = connection.execute("SELECT name FROM people WHERE ended_at IS NULL")
            return frozenset(name for (name,) in rows)
    except sqlite3.Error:  # the gateway says so when it opens the file; who is named is then not checked
        return None
