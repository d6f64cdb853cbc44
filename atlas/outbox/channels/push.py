"""Web push with no content: a browser wakes up and says that there is something at the desk (RFC 8030).

Nothing is encrypted, since nothing is sent: the push service learns that a person was called, and no more.
"""

from datetime import datetime

import httpx

from atlas.errors import NotDelivered
from atlas.outbox.channels import Message
from atlas.outbox.vapid import PushKey
from atlas.outside.answers import BoundedAnswers
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables

PUSH = "push"
TIMEOUT_SECONDS = 10.0
KEPT_SECONDS = 4 * 3600  # by the service, for a browser that is not there
GONE = (404, 410)  # the browser's subscription has ended


class WebPush:
    """Wakes one browser."""

    def __init__(self, settings: Settings, key: PushKey) -> None:
        self._key = key
        public = str(settings.atlas_public_url or "")
        self._contact = public if public.startswith("https://") else "mailto:atlas@localhost"
        self._clients: dict[str | None, httpx.AsyncClient] = {}

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Post nothing to the endpoint of a browser; raises NotDelivered, without the endpoint."""
        await self._key.open()
        headers = {
            "Authorization": self._key.authorization(url, contact=self._contact, at=at),
            "TTL": str(KEPT_SECONDS),
            "Urgency": "high",
            "Topic": "atlas",  # of several that wait at the service, the browser gets the newest
        }
        try:
            answer = await self._client_for(url).post(url, headers=headers)
        except httpx.HTTPError as error:
            raise NotDelivered(reason=type(error).__name__) from None
        if answer.is_success:
            return None
        raise NotDelivered(reason=f"HTTP {answer.status_code}", is_final=answer.status_code in GONE)

    def _client_for(self, url: str) -> httpx.AsyncClient:
        proxy = proxy_of(url, variables())
        if proxy not in self._clients:
            way = BoundedAnswers(proxy=proxy)
            self._clients[proxy] = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=way)
        return self._clients[proxy]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()
