"""The settings of the ways in for people: an OpenID provider, a trusted proxy, and who owns which agent."""

from collections.abc import Collection
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from atlas.models import as_seen, plain_text
from atlas.proxies import is_this_machine

NAME_HEADERS = ("X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Preferred-Username")
LEAST_SECRET = 16


def listed(value: Any) -> Any:
    """Read `desk,seniors`: texts with commas between."""
    if not isinstance(value, str):
        return value
    return tuple(entry.strip() for entry in value.split(",") if entry.strip())


def owned(value: Any) -> Any:
    """Read `billing-bot:anna,importer:ben`: an agent and a person who owns it, with commas between."""
    if not isinstance(value, str):
        return value
    pairs = [entry.rpartition(":") for entry in listed(value)]
    owners = tuple((agent.strip(), person.strip()) for agent, _, person in pairs)
    if not all(agent and person and plain_text(person) == person for agent, person in owners):
        raise ValueError("It is agent:person, with commas between, as billing-bot:anna,importer:ben.")
    return owners


def networks(value: Any) -> Any:
    """Read `10.0.0.7,fd00::/64`: addresses and networks, of which none is everything."""
    if not isinstance(value, str):
        return value
    try:
        found = tuple(ip_network(entry) for entry in listed(value))
    except ValueError:
        raise ValueError("It is addresses or networks, with commas between, as 10.0.0.7,fd00::/64.") from None
    if any(network.prefixlen == 0 for network in found):
        raise ValueError("A network of all addresses would let every program speak as the proxy.")
    return found


def issuer(value: Any) -> Any:
    """Take the URL of an issuer; refuse one whose keys would come in the clear over a network."""
    if not isinstance(value, str):
        return value
    url = value.strip()
    try:
        place = urlsplit(url)
        host, _ = place.hostname or "", place.port
    except ValueError:
        host, place = "", urlsplit("")
    is_near = place.scheme == "http" and is_this_machine(host)
    if not host or not (place.scheme == "https" or is_near) or "@" in place.netloc or place.query:
        raise ValueError("It is the https:// URL of the provider, as https://id.example.com/realms/office.")
    return url


def name_header(value: Any) -> Any:
    """Take one of the three headers, however it is spelled."""
    known = {header.lower(): header for header in NAME_HEADERS}
    return known.get(value.strip().lower(), value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(listed)]
Owners = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(owned)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(networks)]
Issuer = Annotated[str | None, BeforeValidator(issuer)]
NameHeader = Annotated[str, BeforeValidator(name_header)]


class WaysIn(BaseSettings):
    """What an operator can set of how people come in, and of what they may not decide."""

    atlas_agent_owners: Owners = Field(
        default=(),
        description="Who owns which agent, as `billing-bot:anna,importer:ben`. A person cannot approve calls "
        "of an agent of theirs. Only a name that is checked can approve calls of an agent that has an owner.",
    )

    atlas_oidc_issuer: Issuer = Field(
        default=None,
        description="The issuer of an OpenID provider where people sign in, for example "
        "`https://id.example.com/realms/office`. Without one there is no such sign-in.",
    )
    atlas_oidc_client_id: str | None = Field(
        default=None, description="The client that the provider knows the gateway as."
    )
    atlas_oidc_client_secret: SecretStr | None = Field(
        default=None, description="The secret of that client. Without one it is a public client, with PKCE."
    )
    atlas_oidc_groups: Names = Field(
        default=(),
        description="Groups, with commas between, whose people may come in from the provider. It has "
        "to be set: without it everyone whom the provider knows would be a reviewer.",
    )
    atlas_oidc_groups_claim: str = Field(
        default="groups",
        min_length=1,
        description="Where the provider says the groups: a claim, or a path of claims as "
        "`realm_access.roles`.",
    )
    atlas_oidc_name_claim: str = Field(
        default="preferred_username",
        min_length=1,
        description="The claim that is the name of a person. Where it is missing it is "
        "`preferred_username`, then `email` if the provider has verified it, then `sub`.",
    )
    atlas_oidc_scopes: str = Field(
        default="openid profile email",
        description="What is asked of the provider, with blanks between. `openid` is one of them.",
    )

    atlas_forwarded_from: Networks = Field(
        default=(),
        description="Addresses or networks, with commas between, of proxies and balancers on other machines, "
        "beside 127.0.0.1. From there `X-Forwarded-Proto` and `X-Forwarded-For` are read, and nothing that "
        "says who a person is.",
    )
    atlas_trusted_proxies: Networks = Field(
        default=(),
        description="Addresses or networks, with commas between, of a proxy that signs people in. From there "
        "alone the headers `X-Auth-Request-…` and `X-Forwarded-…` are read.",
    )
    atlas_proxy_groups: Names = Field(
        default=(),
        description="Groups, with commas between, whose people may come in through that proxy. It "
        "has to be set.",
    )
    atlas_proxy_name_header: NameHeader = Field(
        default=NAME_HEADERS[0],
        description="The header that holds the name of a person: `X-Auth-Request-User`, "
        "`X-Auth-Request-Email` or `X-Auth-Request-Preferred-Username`.",
    )
    atlas_proxy_secret: SecretStr | None = Field(
        default=None,
        description="What the proxy sends as `X-Auth-Request-Secret`. A proxy on this machine needs it: "
        "every program here has its address.",
    )

    atlas_supervisors: Names = Field(
        default=(),
        description="Who looks after the people at the desk, with commas between: names, and groups as "
        "`group:leads`. Without it no one does there, and `python -m atlas.people` does all of it. In open "
        "mode everyone does.",
    )

    @cached_property
    def owners_of_agents(self) -> dict[str, frozenset[str]]:
        """The owners of each agent that has any, as their names are seen."""
        owners: dict[str, frozenset[str]] = {}
        for agent, person in self.atlas_agent_owners:
            owners[agent] = owners.get(agent, frozenset()) | {as_seen(person)}
        return owners

    def check_owners(self, agents: Collection[str], *, is_open: bool) -> None:
        """Raise ValueError if an agent that has an owner is none of ours."""
        if self.atlas_agent_owners and is_open:
            raise ValueError(
                "ATLAS_AGENT_OWNERS is set without ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY: where no keys are "
                "set, no one can tell agents and persons apart; set both keys"
            )
        for agent in self.owners_of_agents:
            if agent not in agents:
                raise ValueError(
                    f"ATLAS_AGENT_OWNERS names {plain_text(agent)}, which is no agent of ATLAS_AGENT_KEY"
                )

    def check_ways(self, *, is_open: bool) -> None:
        """Raise ValueError where a way in is half set, or would let in more people than are meant."""
        if (self.atlas_oidc_issuer or self.atlas_trusted_proxies) and is_open:
            raise ValueError(
                "ATLAS_OIDC_ISSUER or ATLAS_TRUSTED_PROXIES is set without ATLAS_AGENT_KEY and "
                "ATLAS_REVIEWER_KEY: in open mode no one signs in; set both keys"
            )
        self._check_oidc()
        self._check_proxies()

    def _check_oidc(self) -> None:
        if self.atlas_oidc_issuer is None:
            if self.atlas_oidc_client_id or self.atlas_oidc_client_secret or self.atlas_oidc_groups:
                raise ValueError("ATLAS_OIDC_CLIENT_ID, _CLIENT_SECRET or _GROUPS needs ATLAS_OIDC_ISSUER")
            return
        if not self.atlas_oidc_client_id:
            raise ValueError("ATLAS_OIDC_ISSUER needs ATLAS_OIDC_CLIENT_ID")
        if not self.atlas_oidc_groups:
            raise ValueError(
                "ATLAS_OIDC_ISSUER needs ATLAS_OIDC_GROUPS: without it everyone whom the provider knows "
                "would be a reviewer"
            )
        if "openid" not in self.atlas_oidc_scopes.split():
            raise ValueError("ATLAS_OIDC_SCOPES lacks openid: the provider would not say who signs in")

    def _check_proxies(self) -> None:
        if not self.atlas_trusted_proxies:
            if self.atlas_proxy_groups or self.atlas_proxy_secret:
                raise ValueError("ATLAS_PROXY_GROUPS or ATLAS_PROXY_SECRET needs ATLAS_TRUSTED_PROXIES")
            return
        if self.atlas_proxy_name_header not in NAME_HEADERS:
            raise ValueError(f"ATLAS_PROXY_NAME_HEADER is one of {', '.join(NAME_HEADERS)}")
        if not self.atlas_proxy_groups:
            raise ValueError(
                "ATLAS_TRUSTED_PROXIES needs ATLAS_PROXY_GROUPS: without it everyone whom the proxy lets "
                "through would be a reviewer"
            )
        secret = self.atlas_proxy_secret.get_secret_value() if self.atlas_proxy_secret else ""
        if self.atlas_proxy_secret and len(secret) < LEAST_SECRET:
            raise ValueError(f"ATLAS_PROXY_SECRET needs at least {LEAST_SECRET} characters")
        if not secret and any(network.overlaps(near) for near in LOOPBACK for network in self._same(near)):
            raise ValueError(
                "ATLAS_TRUSTED_PROXIES holds this machine, so that an agent here could say it is a person: "
                "set ATLAS_PROXY_SECRET, and have the proxy send it as X-Auth-Request-Secret"
            )

    def _same(self, network: Any) -> list[Any]:
        return [one for one in self.atlas_trusted_proxies if one.version == network.version]


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("::ffff:127.0.0.0/104"))
