"""What the door says when it does not let something in: the one JSON shape of errors."""

import json
from dataclasses import dataclass
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

CLOSE = (b"connection", b"close")


@dataclass(frozen=True)
class Refusal:
    """An answer of the door; the connection ends with it."""

    status: int
    error: str
    detail: str

    @property
    def body(self) -> bytes:
        """The sentence in the one shape of errors."""
        return json.dumps({"error": self.error, "detail": self.detail}).encode()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer."""
        length = str(len(self.body)).encode()
        wait = [(b"retry-after", b"1")] if self.status == HTTPStatus.SERVICE_UNAVAILABLE else []
        return [(b"content-type", b"application/json"), (b"content-length", length), *wait, CLOSE]

    def as_http(self) -> bytes:
        """The whole answer as bytes, for a connection on which no request was understood."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def body_too_large(most: int) -> Refusal:
    """A body is larger than this path takes."""
    return Refusal(413, "BodyTooLarge", f"The body is larger than {most} bytes. Nothing was done.")


PACKED = Refusal(
    415, "BodyPacked", "The body has a Content-Encoding. Send it as it is, without one. Nothing was done."
)
BODIES_IN_FLIGHT = Refusal(
    503, "TooManyBodies", "Too many large bodies arrive at once. Nothing was done; send it again."
)
HEAD_TOO_LARGE = Refusal(431, "HeadTooLarge", "The headers are too large. Nothing was done.")
HEAD_LATE = Refusal(408, "HeadLate", "The headers did not arrive in time. Nothing was done.")
BODY_LATE = Refusal(408, "BodyLate", "The body did not arrive in time. Send the request again.")
TOO_MANY_CONNECTIONS = Refusal(
    503,
    "TooManyConnections",
    "Too many connections are open with this key. Close some, or raise ATLAS_CONNECTIONS_PER_KEY. "
    "Nothing was done.",
)
