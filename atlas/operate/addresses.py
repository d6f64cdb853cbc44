"""To whom a request is addressed: brings its path to that of a route, refuses foreign hosts and pages."""

from collections.abc import Collection, Sequence
from ipaddress import ip_address
from urllib.parse import quote

from fastmcp.server.http import HostOriginGuardMiddleware, _host_matches, _normalize_host, _request_origin
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.errors import AtlasError, HostNotServed, NotPermitted
from atlas.operate.error_shape import error_response

OPERATORS_PATHS = ("/", "/healthz", "/readyz")


class OwnPaths:
    """Serves each route at its path and behind the root path, with and without a slash at the end.

    A proxy that takes the root path away and one that leaves it are both right, and no answer is a redirect:
    its address would have to be known from outside, and clients would lose the body of their POST.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app, self._root_path = app, root_path
        self._own: frozenset[str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the path of its route, behind the root path as ASGI has it."""
        if scope["type"] == "http":
            path = self._root_path + self._path_of_route(scope)
            scope = dict(scope, path=path, raw_path=quote(path).encode(), root_path=self._root_path)
        await self._app(scope, receive, send)

    def _path_of_route(self, scope: Scope) -> str:
        if self._own is None:  # the routes are complete when the first request comes
            self._own = frozenset(getattr(route, "path", "") for route in scope["app"].routes)
        path: str = scope["path"]
        own = _without_slash(path, self._own)
        # The path of a route comes first: the root path may be called like one.
        if own in self._own or not f"{path}/".startswith(f"{self._root_path}/"):
            return own
        return _without_slash(path.removeprefix(self._root_path) or "/", self._own)


def _without_slash(path: str, own: Collection[str]) -> str:
    return path if path in own or path.removesuffix("/") not in own else path.removesuffix("/")


class AddressGuard(HostOriginGuardMiddleware):
    """Serves requests to a host of ours, and from pages of this machine, of the gateway or of a named origin.

    A foreign page could otherwise make a browser on this machine call the gateway, under a foreign name too.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Sequence[str], origins: Collection[str], pages_at: str
    ) -> None:
        super().__init__(app, allowed_hosts=hosts or None, mode="strict")
        self._origins, self._pages_at = origins, pages_at

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is addressed to the gateway, and refuse the rest in the one shape of errors."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            status = 421 if isinstance(refusal, HostNotServed) else 403
            await error_response(refusal, status=status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> AtlasError | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin", "")
        if not self._is_served(host, scope):
            return HostNotServed(host=host[:253])
        if not origin or self._is_page_allowed(origin, host, scope):
            return None
        return NotPermitted(
            reason=f"Pages of {origin[:253]} may not use this endpoint. "
            f"ATLAS_ALLOWED_ORIGINS names the origins whose pages may use {self._pages_at}."
        )

    def _is_served(self, host: str, scope: Scope) -> bool:
        # Load balancers ask for an address or for no host. A foreign page cannot: its browser names its host.
        if _path(scope) in OPERATORS_PATHS and (not host or _is_address(_normalize_host(host))):
            return True
        return _host_matches(host, self._allowed_hosts_for_scope(scope))

    def _is_page_allowed(self, origin: str, host: str, scope: Scope) -> bool:
        if origin in self._origins and f"{_path(scope)}/".startswith(f"{self._pages_at}/"):
            return True
        return self._origin_allowed(
            origin, _request_origin(scope, host), host, allow_same_origin_fallback=True
        )


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False
