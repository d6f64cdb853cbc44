"""Redirects of upstreams: they are followed within the origin of the file; elsewhere nothing is sent.

What is sent holds the keys of the file, so another scheme, host or port is another place. A call stays a
POST: 301, 307 and 308 say that it was not taken where it was sent; 302 and 303 may come after it was done.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2

MOST_REDIRECTS = 5
SAME_REQUEST_THERE = frozenset((301, 307, 308))
LONGEST_ORIGIN = 100  # characters of an address that is named


class EmptyStream(httpx2.AsyncByteStream):
    """The body of a request that has none."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield nothing."""
        return
        yield b""


@dataclass(frozen=True)
class NotFollowed:
    """Why a redirect ends a request, and whether the request was certainly not taken."""

    reason: str
    is_unsent: bool


def next_request(request: httpx2.Request, response: httpx2.Response) -> httpx2.Request | NotFollowed | None:
    """The request that follows an answer, why none follows, or None if the answer is no redirect."""
    location = response.headers.get("Location")
    if response.status_code not in SAME_REQUEST_THERE | {302, 303} or location is None:
        return None
    there = _there(request.url, location)
    is_taken_elsewhere = response.status_code in SAME_REQUEST_THERE
    if request.method != "GET" and not is_taken_elsewhere:
        reason = f"it answered HTTP {response.status_code}, a redirect that does not say whether it was done"
        return NotFollowed(reason, is_unsent=False)
    if there is None or _origin(there) != _origin(request.url):
        return NotFollowed(_reason_elsewhere(there), is_unsent=True)
    return httpx2.Request(
        request.method,
        there,
        headers=request.headers,
        stream=request.stream or EmptyStream(),
        extensions=request.extensions,
    )


def _there(url: httpx2.URL, location: str) -> httpx2.URL | None:
    try:
        return url.join(location)
    except (httpx2.InvalidURL, ValueError):
        return None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None, bytes]:
    return url.scheme, url.host, url.port, url.userinfo


def _reason_elsewhere(there: httpx2.URL | None) -> str:
    named = "" if there is None else f"{there.scheme}://{there.netloc.decode('ascii', 'replace')}"
    where = f" ({named})" if 0 < len(named) <= LONGEST_ORIGIN else ""
    advice = "put the address of the server itself into the file"
    return f"its url leads to another place{where}, and the gateway sends no keys there; {advice}"


CIRCLE = NotFollowed(f"its url leads on more than {MOST_REDIRECTS} times", is_unsent=True)
