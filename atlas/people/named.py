"""Whom a policy can name as a reviewer. `./setup.sh` asks it too, and loads no MCP for it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from atlas.people.profiles import all_profiles, members_of
from atlas.settings import Settings


def names_of_reviewers(settings: Settings) -> frozenset[str] | None:
    """All that a policy can name: the names of keys, and of accounts; None if the accounts cannot be read."""
    accounts = _names_of_accounts(settings.atlas_data_dir / "atlas.db")
    return None if accounts is None else settings.reviewers | accounts


def members_of_groups(settings: Settings) -> Mapping[str, frozenset[str]] | None:
    """Who belongs to which group, as the store knows it; None where it is not there, or cannot be read."""
    path = settings.atlas_data_dir / "atlas.db"
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            # A session of its own: the gateway asks while it starts, and a command beside it.
            engine = sa.create_engine("sqlite://", creator=lambda: connection, poolclass=sa.pool.StaticPool)
            with engine.connect() as opened:
                found = all_profiles(opened)
    except (sqlite3.Error, sa.exc.DBAPIError):  # the tables of before, for instance; no one is warned then
        return None
    # Who has a key is known from the settings: the gateway notes it only when it has started.
    keys = settings.reviewers
    everyone = {name: one.model_copy(update={"has_key": name in keys}) for name, one in found.items()}
    groups = {group for one in everyone.values() for group in one.groups}
    return {group: frozenset(members_of(everyone, group)) for group in groups}


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
