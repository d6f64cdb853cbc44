"""The provider: what it announces of itself, and the keys with which it signs; both are kept for a while.

What is asked goes through the proxy of the environment, is bounded in time and size, and follows no redirect.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

from atlas.errors import ProviderUnusable, ProxyUnusable
from atlas.proxies import is_this_machine

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

WELL_KNOWN = "/.well-known/openid-configuration"
LASTS_SECONDS = 3600.0  # what was announced, and the keys
AGAIN_SECONDS = 10.0  # how soon keys are asked for once more, because of a token that none of them signed
ASK_SECONDS = 15.0  # for one answer, from the first to the last byte
TIMEOUT = httpx2.Timeout(10.0)
KEY_TYPES = ("RSA", "EC", "OKP")  # a secret key would be one that all who read it can sign with
Answer = TypeVar("Answer")


class Announced(BaseModel):
    """What a provider announces (OpenID Connect Discovery 1.0, section 3), as far as it is used."""

    model_config = ConfigDict(frozen=True, strict=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False  # RFC 9207

    @property
    def endpoints(self) -> tuple[str, ...]:
        """All addresses to which a browser or the gateway goes."""
        asked = (self.authorization_endpoint, self.token_endpoint, self.jwks_uri, self.userinfo_endpoint)
        return tuple(url for url in asked if url is not None)


class Provider:
    """One issuer."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._announced: tuple[float, Announced] | None = None
        self._keys: tuple[float, Any] | None = None
        self._asked_again_at = -AGAIN_SECONDS
        self._lock = asyncio.Lock()

    async def announced(self) -> Announced:
        """What it announces; raises ProviderUnusable where it cannot be reached or used."""
        async with self._lock:
            if self._announced is None or _age(self._announced) > LASTS_SECONDS:
                self._announced = time.monotonic(), await self._ask_what_it_announces()
            return self._announced[1]

    async def keys(self, *, again: bool = False) -> "KeySet":
        """The keys with which it signs; `again` asks for new ones, if they were not asked for just now."""
        announced = await self.announced()
        async with self._lock:
            if again and time.monotonic() - self._asked_again_at > AGAIN_SECONDS:
                self._asked_again_at, self._keys = time.monotonic(), None
            if self._keys is None or _age(self._keys) > LASTS_SECONDS:
                self._keys = time.monotonic(), _key_set(await self._json(announced.jwks_uri))
            return self._keys[1]

    async def _ask_what_it_announces(self) -> Announced:
        said = await self._json(self.issuer.rstrip("/") + WELL_KNOWN)
        try:
            announced = Announced.model_validate(said)
        except ValidationError as error:
            names = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]}))
            raise self.unusable(f"what it announces lacks {names or 'everything'}") from None
        if announced.issuer.rstrip("/") != self.issuer.rstrip("/"):
            raise self.unusable(
                f"it calls itself {announced.issuer[:200]!r}; set ATLAS_OIDC_ISSUER to its own name"
            )
        for url in announced.endpoints:
            if not _is_safe(url):
                raise self.unusable("it has an endpoint without https")
        return announced

    async def _json(self, url: str) -> Any:
        async with self.client() as client:
            response = await self.asked(lambda: client.get(url))
        if response.status_code != 200:
            raise self.unusable(f"{urlsplit(url).path} answered HTTP {response.status_code}")
        try:
            return response.json()
        except ValueError:
            raise self.unusable(f"{urlsplit(url).path} is no JSON") from None

    def client(self) -> httpx2.AsyncClient:
        """What asks it."""
        return httpx2.AsyncClient(**self.way())

    def way(self) -> dict[str, Any]:
        """How every client of it sends."""
        from atlas.upstreams.grants import EachByItsProxy

        return {"transport": EachByItsProxy(), "timeout": TIMEOUT}

    async def asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What an answer is; raises ProviderUnusable where none comes."""
        try:
            return await asyncio.wait_for(ask(), ASK_SECONDS)
        except (asyncio.TimeoutError, httpx2.TimeoutException):
            raise self.unusable("it did not answer in time") from None
        except ProxyUnusable as error:
            raise self.unusable(str(error).rstrip(".")) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise self.unusable(f"it cannot be reached ({type(error).__name__})") from None

    def unusable(self, reason: str) -> ProviderUnusable:
        """The error that says what is wrong with it."""
        return ProviderUnusable(issuer=self.issuer, reason=reason)


def _age(kept: tuple[float, object]) -> float:
    return time.monotonic() - kept[0]


def _is_safe(url: str) -> bool:
    try:
        place = urlsplit(url)
        return place.scheme == "https" or (place.scheme == "http" and is_this_machine(place.hostname or ""))
    except ValueError:
        return False


def _key_set(said: Any) -> "KeySet":
    """The keys of a JWK set with which a signature can be checked; the others are left out."""
    from joserfc.errors import JoseError
    from joserfc.jwk import JWKRegistry, KeySet

    keys = []
    for entry in said.get("keys", ()) if isinstance(said, dict) else ():
        if not isinstance(entry, dict) or entry.get("kty") not in KEY_TYPES or entry.get("use") == "enc":
            continue
        try:
            keys.append(JWKRegistry.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):  # the others may do
            continue
    return KeySet(keys)
