"""What the door is told by the settings: how large bodies may be, path by path, and how many may come in."""

from collections.abc import Callable

from atlas.agents.keys import digest_of_key
from atlas.agents.transports import PREFIX
from atlas.door.bodies import SMALL, Doorway
from atlas.door.connections import Limits
from atlas.people.webhook import APPROVAL_PATH
from atlas.settings import Settings
from atlas.workflow.server import SERVE_PATH

AT_ONCE = 8  # the largest bodies of a door that may arrive at the same time


class Doorways:
    """Finds the door of a path; a path that takes no body is held to the smallest."""

    def __init__(self, settings: Settings) -> None:
        self._others = doorway("others", SMALL)
        self._by_path = {
            APPROVAL_PATH: doorway("webhook", settings.atlas_webhook_body),
            SERVE_PATH: doorway("inngest", settings.atlas_inngest_body),
            PREFIX: doorway("mcp", settings.atlas_mcp_body),
        }
        self._by_path[f"{PREFIX}/messages"] = self._by_path[PREFIX]

    def __call__(self, path: str) -> Doorway:
        """The door of a path, with or without a slash at its end."""
        return self._by_path.get(path.rstrip("/"), self._others)


def doorway(name: str, largest: int) -> Doorway:
    """A door, which takes a few of the largest bodies at a time."""
    return Doorway(name, largest=largest, in_flight=AT_ONCE * largest)


def limits_of(settings: Settings) -> Limits:
    """How long and how many connections may be."""
    return Limits(
        key_of=names_of_keys(settings),
        head_seconds=settings.atlas_head_timeout.total_seconds(),
        body_seconds=settings.atlas_body_timeout.total_seconds(),
        per_key=settings.atlas_connections_per_key,
        strangers=settings.atlas_strangers,
        strangers_per_address=settings.atlas_strangers_per_address,
    )


def names_of_keys(settings: Settings) -> Callable[[str], str | None]:
    """Whose key an Authorization header holds; in open mode there are no strangers."""
    known = {digest_of_key(key): f"agent {name}" for key, name in settings.agent_keys.items()}
    known |= {digest_of_key(key): f"reviewer {name}" for key, name in settings.reviewer_keys.items()}

    def name_of(authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        return known.get(digest_of_key(key.strip())) if scheme.lower() == "bearer" else None

    return (lambda _: "all") if settings.is_open else name_of
