"""Signatures in the form of Standard Webhooks: which system made one, over exactly the bytes that came."""

import time
from dataclasses import dataclass

from fastapi import Request

from atlas.errors import SignatureRefused
from atlas.settings import Settings

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
HEADERS = (ID, TIMESTAMP, SIGNATURE)
LONGEST_ID = 200  # characters, as of any idempotency key
FRESH_SECONDS = 300  # as the library of Standard Webhooks has it
STALE = "Its time is more than five minutes away from the gateway's clock: send it again, with a new time."
UNKNOWN = "No secret in force made its signature over these bytes."


@dataclass(frozen=True)
class Signed:
    """Which system sent a request, and under which id, which its copies have too."""

    system: str
    message_id: str


class Signatures:
    """Finds the system that signed a request; a system has two secrets while one takes the other's place."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = settings.webhook_secrets

    def claims_one(self, request: Request) -> bool:
        """Whether a request says that it is signed; no key counts for it then."""
        return any(name in request.headers for name in HEADERS)

    async def of(self, request: Request) -> Signed:
        """Who signed a request; raises SignatureRefused."""
        message_id, sent_at, signature = (one_header(request, name) for name in HEADERS)
        if not 0 < len(message_id) <= LONGEST_ID or not message_id.isprintable():
            raise SignatureRefused(reason=f"{ID} has 1 to {LONGEST_ID} characters.")
        check_fresh(sent_at)
        if not self._secrets:
            raise SignatureRefused(reason="ATLAS_WEBHOOK_SECRETS names no system.")
        body = await request.body()
        told = {ID: message_id, TIMESTAMP: sent_at, SIGNATURE: signature}
        made = [system for system, secret in self._secrets if is_made_with(secret, body, told)]
        if not made:
            raise SignatureRefused(reason=UNKNOWN)
        return Signed(made[0], message_id)


def one_header(request: Request, name: str) -> str:
    """The value of a header that stands exactly once; raises SignatureRefused."""
    values = request.headers.getlist(name)
    if len(values) != 1:
        raise SignatureRefused(reason=f"The header {name} is {'missing' if not values else 'there twice'}.")
    return values[0]


def check_fresh(sent_at: str) -> None:
    """Raise SignatureRefused where the seconds since 1970 in a header are not now."""
    is_number = sent_at.isascii() and sent_at.isdecimal() and len(sent_at) <= 12
    if not is_number or abs(time.time() - int(sent_at)) > FRESH_SECONDS:
        raise SignatureRefused(reason=STALE)


def is_made_with(secret: str, body: bytes, told: dict[str, str]) -> bool:
    """Whether this secret made the signature, which the library compares in constant time."""
    # At the first request: most gateways have no such system.
    from standardwebhooks import Webhook, WebhookVerificationError

    try:
        Webhook(secret).verify(body, told, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the latter: no base64, or no UTF-8
        return False
    return True
