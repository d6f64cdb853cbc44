"""The cookie of the desk: an opaque id, which no script reads and no other site sends along with a form."""

import re

from fastapi import Request, Response

from atlas.people.lasting import LONGEST

NAME = "atlas-desk"


def name_of(request: Request) -> str:
    """The cookie's name; gateways at other ports or paths of one host do not take each other's."""
    place = f"{request.url.port or ''}{request.scope.get('root_path', '')}"
    own = re.sub(r"[^A-Za-z0-9]+", "-", f"{NAME}-{place}").strip("-")
    # A browser takes a cookie of this prefix only over TLS, from this very host, for all of its paths.
    return f"__Host-{own}" if _is_over_tls(request) else own


def session_id_of(request: Request) -> str | None:
    """The id that a browser sent, if any."""
    return request.cookies.get(name_of(request))


def keep(request: Request, response: Response, session_id: str) -> None:
    """Have the browser keep the id of a session that has begun."""
    response.set_cookie(
        name_of(request),
        session_id,
        max_age=int(LONGEST.total_seconds()),
        path="/",
        secure=_is_over_tls(request),
        httponly=True,
        samesite="lax",
    )


def forget(request: Request, response: Response) -> None:
    """Have the browser forget the id of a session that has ended."""
    response.delete_cookie(
        name_of(request), path="/", secure=_is_over_tls(request), httponly=True, samesite="lax"
    )


def _is_over_tls(request: Request) -> bool:
    # Behind a proxy the server has taken the scheme from X-Forwarded-Proto, where the proxy is trusted.
    return request.url.scheme == "https"
