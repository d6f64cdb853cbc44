"""Whether a request comes from a page of the desk itself, by what a browser says and no page can change."""

from urllib.parse import urlsplit

from fastapi import Request

from atlas.errors import FormRefused

DEFAULT_PORTS = {"http": 80, "https": 443}


def require_own_page(request: Request) -> None:
    """Refuse what a browser sends for a page of another origin; raises FormRefused."""
    # None is a person who typed the address; a program that is no browser says nothing at all.
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise FormRefused(reason="It came from a page of another origin.")
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request.headers.get("host", "")):
        raise FormRefused(reason="It came from a page of another origin.")


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin has the host and port at which it was sent.

    The scheme is the address guard's to compare: it knows which proxies are trusted.
    """
    try:
        there = urlsplit(origin)
        here = urlsplit(f"{there.scheme}://{host}")
        default = DEFAULT_PORTS.get(there.scheme)
        return bool(there.hostname) and (there.hostname, there.port or default) == (
            here.hostname,
            here.port or default,
        )
    except ValueError:
        return False
