"""Who a reviewer is: the holder of a reviewer's key, and never an agent."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from fastapi import Request

from atlas.agents.keys import AgentKeys, digest_of_key
from atlas.database.sqlite import Database
from atlas.errors import NotAuthenticated, NotPermitted
from atlas.people.person import Way
from atlas.people.profiles import all_profiles, has_ended, members_of
from atlas.settings import Settings

ENDED = "The access of {name} was ended. `python -m atlas.people add {name}` begins it again."


class ReviewerGate:
    """Lets only holders of a reviewer's key through; an agent's key is told that it is one."""

    def __init__(self, settings: Settings, agents: AgentKeys, database: Database) -> None:
        self._database = database
        self._reviewers = {digest_of_key(key): name for key, name in settings.reviewer_keys.items()}
        self._agents = agents

    @property
    def way(self) -> Way:
        """How those come in whom it lets through."""
        return Way.KEY if self._reviewers else Way.OPEN

    async def __call__(self, request: Request) -> str | None:
        """The name that the reviewer's key has, if any; raises NotAuthenticated or NotPermitted."""
        if not self._reviewers:
            return None
        token = bearer_of(request)
        if token and digest_of_key(token) in self._reviewers:
            return await self._still(self._reviewers[digest_of_key(token)])
        if token and self._agents.is_agent(token):
            raise NotPermitted(reason="An agent cannot decide on calls; this takes the reviewer's key.")
        raise NotAuthenticated(whose="reviewer's")

    async def _still(self, name: str | None) -> str | None:
        """The name of a key, unless the access of its holder has ended."""
        if name is not None and await self._database.read(lambda connection: has_ended(connection, name)):
            raise NotPermitted(reason=ENDED.format(name=name))
        return name


def keys_in(request: Request) -> list[str]:
    """All that may be a key in the Authorization headers of a request, with a scheme or without one."""
    headers = request.headers.getlist("authorization")
    return [text.strip() for header in headers for text in (header, header.partition(" ")[2])]


def bearer_of(request: Request) -> str:
    """The key of a request's Authorization header, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


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
