"""One sign-in at the provider, from the button on our page to the person who comes back."""

import hashlib
from collections.abc import Sequence
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from atlas.database.database import Database
from atlas.database.shared_secrets import shared_secret
from atlas.errors import NotPermitted
from atlas.models import Frozen
from atlas.people.openid.claims import groups_in, name_in, require_group
from atlas.people.openid.exchange import Exchange, refusal
from atlas.people.openid.provider import Provider
from atlas.people.openid.tickets import KEY_BYTES, LASTS_SECONDS, Ticket, Tickets
from atlas.settings import Settings

TICKET_KEY = "sign-in tickets"  # in the store
NOT_BEGUN_HERE = (
    "This sign-in was not begun in this browser, or more than "
    f"{LASTS_SECONDS // 60} minutes ago, or before the gateway was started again. Begin it again."
)


class Known(Frozen):
    """Who came back."""

    subject: tuple[str, str]  # issuer and subject: what stays the same
    name: str
    groups: tuple[str, ...]
    then: str


class OpenId:
    """Sends people to the provider, and finds out who came back."""

    def __init__(self, settings: Settings, database: Database) -> None:
        assert settings.atlas_oidc_issuer is not None  # noqa: S101  (it is built where there is one)
        self._settings = settings
        self._provider = Provider(settings.atlas_oidc_issuer)
        self._exchange = Exchange(settings, self._provider)
        self._database = database
        self._made: Tickets | None = None

    @property
    def bound_to(self) -> bytes:
        """What sessions of this provider are bound to: they end when it is another one."""
        said = f"{self._settings.atlas_oidc_issuer}\0{self._settings.atlas_oidc_client_id}"
        return hashlib.sha256(said.encode()).digest()

    @property
    def host(self) -> str:
        """Where people sign in, for the button."""
        return urlsplit(self._provider.issuer).hostname or ""

    def lets_in(self, groups: Sequence[str]) -> bool:
        """Whether one of these groups may still come in."""
        return bool(set(groups) & set(self._settings.atlas_oidc_groups))

    async def _tickets(self) -> Tickets:
        """Of this process, or those of all gateways: who begins at one may come back to another."""
        if self._made is None and self._database.lease.is_shared:
            key = await shared_secret(self._database, TICKET_KEY, lambda: token_hex(KEY_BYTES))
            self._made = Tickets(bytes.fromhex(key))
        self._made = self._made or Tickets()
        return self._made

    async def begin(self, then: str, redirect_uri: str) -> tuple[str, str, Ticket]:
        """The provider's address, what the browser keeps, and the ticket; raises ProviderUnusable."""
        ticket, kept = (await self._tickets()).give(then)
        return await self._exchange.address(ticket, redirect_uri), kept, ticket

    async def finish(self, said: Sequence[tuple[str, str]], kept: str, redirect_uri: str) -> Known:
        """Who came back, by what the browser brought along; raises NotPermitted or ProviderUnusable.

        `said` are the parameters of the address. The error of a provider is repeated only where the sign-in
        was begun here: else each link could make the page say something.
        """
        parameters = dict(said)
        tickets = await self._tickets()
        ticket = tickets.take(kept, parameters.get("state", ""))
        if ticket is None or len(parameters) != len(said):
            raise NotPermitted(reason=NOT_BEGUN_HERE)
        await self._check_issuer(parameters)
        if "error" in parameters:
            raise NotPermitted(reason=refusal(parameters["error"], parameters.get("error_description")))
        if not parameters.get("code"):
            raise NotPermitted(reason=NOT_BEGUN_HERE)
        claims = await self._exchange.claims(ticket, parameters["code"], redirect_uri)
        known = self._known(claims, ticket)
        tickets.spend(ticket)
        return known

    async def _check_issuer(self, parameters: dict[str, str]) -> None:
        """An answer of another provider than was asked (RFC 9207) is not used."""
        announced = await self._provider.announced()
        said = parameters.get("iss")
        if said != announced.issuer and (
            said is not None or announced.authorization_response_iss_parameter_supported
        ):
            raise NotPermitted(reason="The answer is not one of the provider that was asked.")

    def _known(self, claims: dict[str, Any], ticket: Ticket) -> Known:
        name = name_in(claims, self._settings.atlas_oidc_name_claim)
        groups = groups_in(claims, self._settings.atlas_oidc_groups_claim)
        where = (
            f"ATLAS_OIDC_GROUPS names them, and ATLAS_OIDC_GROUPS_CLAIM, "
            f"{self._settings.atlas_oidc_groups_claim}, is where the provider says yours"
        )
        require_group(groups, self._settings.atlas_oidc_groups, name=name, where=where)
        subject = (str(claims["iss"]), str(claims["sub"]))
        return Known(subject=subject, name=name, groups=groups, then=ticket.then)
