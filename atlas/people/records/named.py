"""Whom a policy can name as a reviewer. `./setup.sh` asks it too, and loads no MCP for it."""

from collections.abc import Mapping

from atlas.database.choose import beside_gateway
from atlas.errors import DatabaseUnusable
from atlas.people.records.profiles import all_profiles, members_of
from atlas.settings import Settings

NAMES = "SELECT name FROM people WHERE ended_at IS NULL"


def names_of_reviewers(settings: Settings) -> frozenset[str] | None:
    """All that a policy can name: the names of keys, and of accounts; None if the accounts cannot be read."""
    store = beside_gateway(settings)
    try:
        # The gateway asks before it opens the store, which may not be there, or may have older tables.
        has_accounts = "people" in store.tables()
        accounts = frozenset(str(name) for (name,) in store.rows(NAMES)) if has_accounts else frozenset()
    except DatabaseUnusable:  # the gateway says so when it opens the store; who is named is then not checked
        return None
    return settings.reviewers | accounts


def members_of_groups(settings: Settings) -> Mapping[str, frozenset[str]] | None:
    """Who belongs to which group, as the store knows it; None where it is not there, or cannot be read."""
    try:
        found = beside_gateway(settings).look(all_profiles)
    except DatabaseUnusable:  # the tables of before, for instance; no one is warned then
        return None
    # Who has a key is known from the settings: the gateway notes it only when it has started.
    keys = settings.reviewers
    everyone = {name: one.model_copy(update={"has_key": name in keys}) for name, one in found.items()}
    groups = {group for one in everyone.values() for group in one.groups}
    return {group: frozenset(members_of(everyone, group)) for group in groups}
