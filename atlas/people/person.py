"""A person at the desk: the name that decisions bear, the groups, and the way in that vouches for both."""

from enum import Enum

from atlas.models import Frozen


class Way(str, Enum):
    """How a person came in."""

    OPEN = "open"  # no keys are set: every program on this machine is let in
    KEY = "key"  # a reviewer's key of ATLAS_REVIEWER_KEY
    ACCOUNT = "account"  # a local account and its password
    LINK = "link"  # the link that ./setup.sh prints
    OIDC = "oidc"  # an OpenID provider
    PROXY = "proxy"  # a proxy that is trusted
    SYSTEM = "system"  # a system whose signature vouches for its people


class Person(Frozen):
    """Who reads and decides."""

    name: str
    groups: tuple[str, ...] = ()
    way: Way
    is_signed: bool = True  # whether the way in vouches for the name; else it is a claim
    system: str | None = None  # the name of that system
