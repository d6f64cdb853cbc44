"""`put` and `show`, from the command line: the policy in force for all gateways that share a store."""

import argparse
import getpass
import os
from functools import partial
from pathlib import Path

from sqlalchemy.engine import Connection

from atlas.assessors.policy import Policy
from atlas.assessors.policy.file import PolicyFile
from atlas.assessors.policy.stored import StoredPolicy, newest, put
from atlas.database.beside import Beside
from atlas.database.choose import beside_gateway
from atlas.errors import AtlasError
from atlas.instants import instant_text
from atlas.people.records.named import members_of_groups, names_of_reviewers
from atlas.settings import Settings

NOT_SHARED = (
    "ATLAS_DATABASE_URL names no database, so there is one gateway, and it judges by the file {path}."
    " Change that file, then send the gateway SIGHUP: docs/how-to/policy.md"
)


class NotShared(AtlasError):
    """{reason}"""


class NonePut(AtlasError):
    """No policy was put in force yet: the first gateway that starts does that with its own."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both to the command line."""
    putting = commands.add_parser("put", help="put a policy in force for all gateways that share a database")
    putting.add_argument("policy", type=Path, metavar="FILE")
    putting.add_argument("--by", metavar="NAME", help="who does it, for the ledger; else the user here")
    commands.add_parser("show", help="print the policy that is in force for all gateways")


def put_in_force(options: argparse.Namespace, settings: Settings) -> str:
    """Check a policy file as a start of a gateway does, and put it in force; raises AtlasError."""
    policy = Policy(options.policy, threshold=settings.atlas_risk_threshold)
    reviewers = names_of_reviewers(settings)
    if reviewers is not None:
        policy.check_reviewers(reviewers)
    by = f"operator:{options.by or _user()}"
    before, stored = _shared_store(settings).change(partial(_put, file=policy.file, by=by))
    members = members_of_groups(settings)
    warnings = policy.file.too_small(members) if members is not None else ()
    return "\n".join([_told(stored, path=options.policy, is_new=stored != before), *warnings])


def _user() -> str:
    """The name of the user here, or the number where it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the latter before Python 3.13
        return str(os.getuid())


def show(settings: Settings) -> str:
    """The text of the policy in force; raises AtlasError."""
    store = _shared_store(settings)
    store.make_ready()
    stored = store.look(newest)
    if stored is None:
        raise NonePut
    return stored.policy


def _told(stored: StoredPolicy, *, path: Path, is_new: bool) -> str:
    which = f"version {stored.policy_version}, SHA-256 {stored.policy_sha256}"
    if is_new:
        return f"{path} is in force for all gateways: {which}. They judge by it within a few seconds."
    return f"{path} is in force already: {which}. {stored.put_by} put it at {instant_text(stored.put_at)}."


def _put(connection: Connection, *, file: PolicyFile, by: str) -> tuple[StoredPolicy | None, StoredPolicy]:
    """The policy that was in force, and the one that is now."""
    return newest(connection), put(connection, file, by=by)


def _shared_store(settings: Settings) -> Beside:
    """The store that gateways share; raises NotShared."""
    if settings.atlas_database_url is None:
        raise NotShared(reason=NOT_SHARED.format(path=settings.atlas_policy))
    return beside_gateway(settings)
