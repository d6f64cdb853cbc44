"""The policies in the store that gateways share: the newest is in force for all of them."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.assessors.policy.file import PolicyFile
from atlas.database.tables import policies
from atlas.errors import PolicyInvalid
from atlas.instants import now
from atlas.ledger import NO_CASE, Action
from atlas.models import Frozen
from atlas.texts import keepable

NOT_UTF8 = "the store keeps it as UTF-8, and this file has another encoding. Save it as UTF-8."


class StoredPolicy(Frozen):
    """A policy that was put in force for all gateways."""

    policy_version: int
    policy_sha256: str
    policy: str  # the file, as UTF-8
    put_by: str
    put_at: datetime


def newest(connection: Connection) -> StoredPolicy | None:
    """The policy in force; None: none was put yet."""
    query = policies.select().order_by(policies.c.policy_version.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else StoredPolicy(**row)


def newest_version(connection: Connection) -> int:
    """Its number, which is cheap to ask for; 0: none was put yet."""
    return connection.scalar(sa.select(sa.func.max(policies.c.policy_version))) or 0


def put(connection: Connection, file: PolicyFile, *, by: str) -> StoredPolicy:
    """Put a policy in force, unless it is the one that is; raises PolicyInvalid."""
    before = newest(connection)
    if before is not None and before.policy_sha256 == file.sha256:
        return before
    made = StoredPolicy(
        policy_version=before.policy_version + 1 if before else 1,
        policy_sha256=file.sha256,
        policy=_text(file),
        put_by=keepable(by)[:200],
        put_at=now(),
    )
    connection.execute(policies.insert().values(made.model_dump()))
    detail = {
        "policy_version": made.policy_version,
        "policy_sha256": [before.policy_sha256 if before else None, made.policy_sha256],
    }
    ledger.append(connection, NO_CASE, Action.POLICY_PUT, actor=made.put_by, detail=detail, at=made.put_at)
    return made


def newest_or(connection: Connection, file: PolicyFile, *, by: str) -> StoredPolicy:
    """The policy in force, which this file is where none was put yet."""
    return newest(connection) or put(connection, file, by=by)


def _text(file: PolicyFile) -> str:
    try:
        return file.content.decode()
    except UnicodeDecodeError:
        raise PolicyInvalid(path=file.path, reason=NOT_UTF8) from None
