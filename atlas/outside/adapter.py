"""Answers of servers that a library asks by requests: bounded in length and in time, and never a redirect."""

import time
from io import BytesIO
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from atlas.outside.attempts import current

MOST_BYTES = 1024 * 1024  # a chat tells which rooms there are
BODY_SECONDS = 3.0
PIECE = 64 * 1024


class BoundedAdapter(HTTPAdapter):
    """Sends a request, and reads the status and the beginning of the body.

    The status counts where the rest does not come: a receiver that said 200 has the message.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **how: Any) -> requests.Response:
        """Send one request; raises requests.RequestException."""
        response = super().send(request, *args, **(how | {"stream": True}))
        if (attempt := current()) is not None:
            attempt.statuses.append(response.status_code)
        response.headers.pop("Location", None)  # no one who reads this answer can follow it
        content = _beginning(response.raw)
        response.close()
        response.raw = BytesIO(content)
        return response


def _beginning(raw: Any) -> bytes:
    """The beginning of a body; what came of it, where it breaks off or does not come in time."""
    read, until = bytearray(), time.monotonic() + BODY_SECONDS
    try:
        while len(read) < MOST_BYTES and time.monotonic() < until:
            piece = raw.read1(PIECE, decode_content=True)
            if not piece:
                break
            read += piece
    except (HTTPError, OSError, ValueError):
        return bytes(read)
    return bytes(read)


def bound_sessions() -> None:
    """Give a bounded adapter to each session of requests that an attempt makes.

    Apprise calls `requests.post` in about 180 modules, which makes a session for each request.
    """
    requests.sessions.HTTPAdapter = _adapter  # type: ignore[attr-defined, assignment]


def _adapter() -> HTTPAdapter:
    return HTTPAdapter() if current() is None else BoundedAdapter()
