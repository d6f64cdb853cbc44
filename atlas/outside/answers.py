"""Answers of servers that are asked by httpx: bounded in length and in time, and never a redirect."""

import anyio
import httpx

from atlas.outside.beginnings import beginning_of

MOST_BYTES = 64 * 1024
HEAD_SECONDS = 10.0  # from the connection to the last line of the head
BODY_SECONDS = 3.0
KEPT = ("content-type",)  # without Location, which httpx reads also where it follows no redirect


class BoundedAnswers(httpx.AsyncBaseTransport):
    """Sends a request, and reads the status and the beginning of the body.

    The status counts where the rest does not come: a receiver that said 200 has the message.
    """

    def __init__(self, *, proxy: str | None) -> None:
        self._way = httpx.AsyncHTTPTransport(proxy=proxy)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises httpx.HTTPError."""
        request.headers["Accept-Encoding"] = "identity"  # a short text that is compressed may be endless
        try:
            with anyio.fail_after(HEAD_SECONDS):
                response = await self._way.handle_async_request(request)
        except TimeoutError:
            raise httpx.ReadTimeout("the answer did not come in time") from None
        headers = {name: response.headers[name] for name in KEPT if name in response.headers}
        return httpx.Response(response.status_code, headers=headers, content=await _content_of(response))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._way.aclose()


async def _content_of(response: httpx.Response) -> bytes:
    """The beginning of the body; nothing, where it breaks off or does not come in time."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  (the transport is asynchronous)
    content = b""
    try:
        with anyio.move_on_after(BODY_SECONDS):
            content = await beginning_of(response.stream, most=MOST_BYTES)
    except httpx.HTTPError:
        return b""
    finally:
        await response.aclose()  # which closes the connection where something was not read
    return content
