"""Turns the code that a browser brought into what the provider says of the person."""

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from atlas.errors import NotPermitted
from atlas.models import plain_text
from atlas.people.openid.provider import Announced, Provider
from atlas.people.openid.tickets import Ticket
from atlas.people.openid.tokens import NoSuchKey, checked_claims
from atlas.settings import Settings

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

LONGEST_REASON = 200
CHALLENGE = "S256"


class Exchange:
    """Asks the provider as the client of the settings."""

    def __init__(self, settings: Settings, provider: Provider) -> None:
        self._settings = settings
        self._provider = provider

    async def address(self, ticket: Ticket, redirect_uri: str) -> str:
        """Where a browser goes to sign in; raises ProviderUnusable."""
        announced = await self._provider.announced()
        async with self._client(announced, redirect_uri) as client:
            address, _ = client.create_authorization_url(
                announced.authorization_endpoint,
                state=ticket.state,
                nonce=ticket.nonce,
                code_verifier=ticket.verifier,
            )
        return str(address)

    async def claims(self, ticket: Ticket, code: str, redirect_uri: str) -> dict[str, Any]:
        """All that the provider says of the person; raises ProviderUnusable or NotPermitted."""
        announced = await self._provider.announced()
        async with self._client(announced, redirect_uri) as client:
            token = await self._token(client, announced, code=code, verifier=ticket.verifier)
            claims = await self._checked(token, announced, ticket)
            if announced.userinfo_endpoint is None or self._has_all(claims):
                return claims
            client.token = token
            return await self._with_userinfo(client, announced.userinfo_endpoint, claims)

    def _client(self, announced: Announced, redirect_uri: str) -> "AsyncOAuth2Client":
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        secret = self._settings.atlas_oidc_client_secret
        client = AsyncOAuth2Client(
            client_id=self._settings.atlas_oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            token_endpoint_auth_method=self._method(announced),
            scope=self._settings.atlas_oidc_scopes,
            redirect_uri=redirect_uri,
            code_challenge_method=CHALLENGE,
            **self._provider.way(),
        )
        client.register_client_auth_method(("client_secret_basic", _basic))
        return client

    def _method(self, announced: Announced) -> str:
        if self._settings.atlas_oidc_client_secret is None:
            return "none"
        for method in ("client_secret_basic", "client_secret_post"):
            if method in announced.token_endpoint_auth_methods_supported:
                return method
        raise self._provider.unusable("it takes no client secret, neither as basic nor as post")

    async def _token(
        self, client: "AsyncOAuth2Client", announced: Announced, *, code: str, verifier: str
    ) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError

        def ask() -> Any:
            return client.fetch_token(
                announced.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
            )

        try:
            return dict(await self._provider.asked(ask))
        except OAuthError as error:
            raise NotPermitted(reason=refusal(error.error, error.description)) from None
        except ValueError:
            raise self._provider.unusable("its answer with the token is no JSON") from None

    async def _checked(self, token: dict[str, Any], announced: Announced, ticket: Ticket) -> dict[str, Any]:
        text, access = token.get("id_token"), token.get("access_token")
        if not isinstance(text, str):
            raise self._provider.unusable("it gave no ID token; ATLAS_OIDC_SCOPES has to hold openid")
        for again in (False, True):  # it may have new keys
            try:
                return checked_claims(
                    text,
                    await self._provider.keys(again=again),
                    issuer=announced.issuer,
                    client=self._settings.atlas_oidc_client_id or "",
                    nonce=ticket.nonce,
                    access_token=access if isinstance(access, str) else None,
                )
            except NoSuchKey:
                continue
        raise NotPermitted(reason="The provider's token is signed with none of the provider's keys.")

    def _has_all(self, claims: dict[str, Any]) -> bool:
        from atlas.people.openid.claims import at_path

        wanted = (self._settings.atlas_oidc_name_claim, self._settings.atlas_oidc_groups_claim)
        return all(at_path(claims, path) is not None for path in wanted)

    async def _with_userinfo(
        self, client: "AsyncOAuth2Client", url: str, claims: dict[str, Any]
    ) -> dict[str, Any]:
        """The claims, and those that only the other endpoint has, if it speaks of the same person."""
        response = await self._provider.asked(lambda: client.get(url))
        try:
            said = response.json() if response.status_code == 200 else None
        except ValueError:
            said = None
        if not isinstance(said, dict) or said.get("sub") != claims["sub"]:
            return claims
        return said | claims


def _basic(client: Any, method: str, uri: str, headers: Any, body: str) -> tuple[str, Any, str]:
    """Name client and secret as RFC 6749, section 2.3.1, says; Authlib leaves out the encoding of a form."""
    said = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(said.encode()).decode()}"
    return uri, headers, body


def refusal(error: object, description: object) -> str:
    """What a provider says of why it refused, and what to do."""
    said = plain_text(" ".join(str(part) for part in (error, description) if part))[:LONGEST_REASON]
    remedy = {
        "invalid_client": "Check ATLAS_OIDC_CLIENT_ID and ATLAS_OIDC_CLIENT_SECRET.",
        "unauthorized_client": "Check ATLAS_OIDC_CLIENT_ID and ATLAS_OIDC_CLIENT_SECRET.",
        "invalid_scope": "Check ATLAS_OIDC_SCOPES.",
    }.get(str(error), "Sign in again.")
    return f"The provider refused the sign-in: {said}. {remedy}"
