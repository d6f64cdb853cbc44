"""A POST in the form of Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks."""

import json
from datetime import datetime

import httpx

from atlas.errors import NotDelivered
from atlas.outbox.channels import Message
from atlas.outside.answers import BoundedAnswers
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables

TIMEOUT_SECONDS = 10.0
GONE = (404, 410)  # no one is there, and no one will be


class StandardWebhook:
    """Posts to ATLAS_NOTIFY_URL, and signs if there is ATLAS_NOTIFY_SECRET."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.atlas_notify_secret
        url = str(settings.atlas_notify_url) if settings.atlas_notify_url else None
        self._proxy = proxy_of(url, variables()) if url else None
        self._client: httpx.AsyncClient | None = None

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Post the body of a message; raises NotDelivered, without the URL, whose path may be a secret."""
        content = json.dumps(message.body)
        headers = {"content-type": "application/json"} | self._signed(message.delivery_id, content, at=at)
        try:
            answer = await self._opened().post(url, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise NotDelivered(reason=type(error).__name__) from None
        if answer.is_success:
            return None
        raise NotDelivered(reason=f"HTTP {answer.status_code}", is_final=answer.status_code in GONE)

    def _signed(self, delivery_id: str, content: str, *, at: datetime) -> dict[str, str]:
        headers = {"webhook-id": delivery_id, "webhook-timestamp": str(int(at.timestamp()))}
        if self._secret is None:
            return headers
        from standardwebhooks import Webhook  # at the first notice: most gateways send none that is signed

        signature = Webhook(self._secret.get_secret_value()).sign(delivery_id, at, content)
        return headers | {"webhook-signature": signature}

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            way = BoundedAnswers(proxy=self._proxy)
            self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=way)
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
