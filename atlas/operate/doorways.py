"""What the door is told by the settings: how large bodies may be, path by path, and how many may come in."""

from collections.abc import Callable

from atlas.agents.digests import digest_of_key
from atlas.agents.transports import PREFIX
from atlas.desk.places import DESK
from atlas.door.bodies import SMALL, Doorway
from atlas.door.connections import Limits
from atlas.people.programs.webhook import APPROVAL_PATH
from atlas.people.systems.slack import SLACK_PATH
from atlas.settings import Settings
from atlas.workflow.server import SERVE_PATH

# A reason and a comment of 4,000 characters each, which a browser may send as 12 bytes a character.
DESK_BODY = 128 * 2**10
# A pasted policy and a chosen file of a megabyte each, and the rest of their form.
TRIAL_BODY = 2 * 2**20 + SMALL
AT_ONCE = 8  # the largest bodies of a door that may arrive at the same time


class Doorways:
    """Finds the door of a path; a path that takes no body is held to the smallest."""

    def __init__(self, settings: Settings) -> None:
        self._others = doorway("others", SMALL)
        self._by_path = {
            APPROVAL_PATH: doorway("webhook", settings.atlas_webhook_body),
            SLACK_PATH: doorway("slack", settings.atlas_webhook_body),
            SERVE_PATH: doorway("inngest", settings.atlas_inngest_body),
            PREFIX: doorway("mcp", settings.atlas_mcp_body),
        }
        self._by_path[f"{DESK}/policy"] = doorway("trial", TRIAL_BODY)
        self._by_path[f"{PREFIX}/messages"] = self._by_path[PREFIX]
        self._desk = doorway("desk", DESK_BODY)

    def __call__(self, path: str) -> Doorway:
        """The door of a path, with or without a slash at its end."""
        usual = self._desk if path.startswith(f"{DESK}/") else self._others
        return self._by_path.get(path.rstrip("/"), usual)


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
    """Whose key an Authorization header holds; in open mode there are no strangers.

    A session of the desk counts as a stranger: whether its cookie holds stands in the store, which the door
    does not ask. A stream that is being answered is never closed for another, so all desks behind the address
    of one proxy stay open.
    """
    known = {digest_of_key(key): f"agent {name}" for key, name in settings.agent_keys.items()}
    known |= {digest_of_key(key): f"reviewer {name}" for key, name in settings.reviewer_keys.items()}

    def name_of(authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        return known.get(digest_of_key(key.strip())) if scheme.lower() == "bearer" else None

    return (lambda _: "all") if settings.is_open else name_of
