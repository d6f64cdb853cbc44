"""What a trusted proxy says of a person, in X-Auth-Request-… headers; those of others are taken away."""

import logging
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import NotPermitted
from atlas.people.openid.claims import checked_name, require_group
from atlas.people.person import Person, Way
from atlas.settings import Settings

PREFIX = b"x-auth-request-"
SECRET = "x-auth-request-secret"  # noqa: S105  (the name of a header)
EMAIL, GROUPS, USER = (f"x-auth-request-{name}" for name in ("email", "groups", "user"))
PREFERRED = "x-auth-request-preferred-username"
READ = (USER, EMAIL, PREFERRED, GROUPS, SECRET)
SAID = "atlas.proxy"  # where a request has it, which no header can write

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """The headers of one request from a trusted proxy, each once; or why they cannot be read."""

    headers: dict[str, str]
    mistake: str | None = None


class ProxyHeaders:
    """Takes the headers away before anything sees them, and keeps what a trusted proxy said."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._networks = settings.atlas_trusted_proxies
        secret = settings.atlas_proxy_secret
        self._secret = secret.get_secret_value() if secret else None
        self._has_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on without the headers."""
        if scope["type"] == "http":
            found = [pair for pair in scope["headers"] if _plain(pair[0]).startswith(PREFIX)]
            if found:
                others = [pair for pair in scope["headers"] if not _plain(pair[0]).startswith(PREFIX)]
                scope = dict(scope, headers=others)
                if self._is_of_proxy(scope) and (said := self._said(found)) is not None:
                    scope[SAID] = said
        await self._app(scope, receive, send)

    def _is_of_proxy(self, scope: Scope) -> bool:
        """Whether the connection comes from the proxy; X-Forwarded-For does not count."""
        peer = scope.get("atlas.peer", scope.get("client"))
        try:
            address: Any = ip_address(peer[0].partition("%")[0]) if peer else None
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return address is not None and any(address in network for network in self._networks)

    def _said(self, found: list[tuple[bytes, bytes]]) -> Said | None:
        headers: dict[str, str] = {}
        mistake = None
        for name, value in found:
            plain = _plain(name).decode("latin-1")
            if plain not in READ:
                continue
            if plain in headers or name.lower() != plain.encode():
                mistake = f"{plain} is there twice, or is written with an underscore"
            try:
                headers[plain] = value.decode()
            except UnicodeDecodeError:
                headers[plain], mistake = "", f"{plain} is not UTF-8"
        if self._secret is not None and not compare_digest(
            headers.pop(SECRET, "").encode(), self._secret.encode()
        ):
            self._warn()
            return None
        return Said(headers, mistake)

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "X-Auth-Request headers came from an address of ATLAS_TRUSTED_PROXIES without the right "
                "X-Auth-Request-Secret (ATLAS_PROXY_SECRET). They are not read."
            )


class Proxied:
    """Says which person a trusted proxy means."""

    def __init__(self, settings: Settings) -> None:
        self._header = settings.atlas_proxy_name_header.lower()
        self._allowed = settings.atlas_proxy_groups

    def person(self, scope: Scope) -> Person | None:
        """The person, or None where the proxy said nothing; raises NotPermitted."""
        said: Said | None = scope.get(SAID)
        if said is None or not (said.mistake or said.headers):
            return None
        if said.mistake:
            raise NotPermitted(reason=f"What the proxy says of you cannot be read: {said.mistake}.")
        name = checked_name(
            said.headers.get(self._header, ""),
            f"the header {self._header} of the proxy",
            "ATLAS_PROXY_NAME_HEADER names another header",
        )
        groups = tuple(part.strip() for part in said.headers.get(GROUPS, "").split(",") if part.strip())
        require_group(groups, self._allowed, name=name, where="ATLAS_PROXY_GROUPS names them")
        return Person(name=name, groups=groups, way=Way.PROXY)


def _plain(name: bytes) -> bytes:
    """The name of a header as many programs read it: in small letters, an underscore being a hyphen."""
    return name.lower().replace(b"_", b"-")
