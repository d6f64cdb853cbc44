"""Which policy is in force for all gateways that share a store, as a transaction knows it.

It is read with the begin of each transaction, which holds the lock of all changes. With SQLite there is one
gateway, and no such policy.
"""

from sqlalchemy.engine import Connection

from atlas.errors import PolicyReplaced

# For the statement that a transaction begins with: its digest, or NULL.
READ = "(SELECT policy_sha256 FROM policies ORDER BY policy_version DESC LIMIT 1)"
_KEY = "policy in force"


def begin(connection: Connection, read: str | None) -> None:
    """Note what READ has read."""
    connection.info[_KEY] = read


def known_policy(connection: Connection) -> str | None:
    """The digest of the policy in force for all; None: each gateway has its own."""
    sha256: str | None = connection.info.get(_KEY)
    return sha256


def check_judged_by(connection: Connection, policy_sha256: str | None) -> None:
    """Raise PolicyReplaced where a call was judged by another policy; None: no policy could be applied."""
    in_force = known_policy(connection)
    if None not in (in_force, policy_sha256) and in_force != policy_sha256:
        raise PolicyReplaced
