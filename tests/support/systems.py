"""Systems that post decisions of their people: requests as they sign them."""

import base64
import json
import time
from datetime import datetime, timezone
from secrets import token_hex
from typing import Any

import httpx
from gateway_process import WAIT_SECONDS, GatewayProcess
from standardwebhooks import Webhook


def secret_of(text: str) -> str:
    """A secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(text.encode().ljust(32, b"-")).decode()


OF_CHAT, OF_CHAT_NEXT, OF_TICKETS = secret_of("chat"), secret_of("chat, the next one"), secret_of("tickets")
SYSTEMS = {
    "ATLAS_WEBHOOK_SECRETS": f"chat={OF_CHAT}, chat={OF_CHAT_NEXT}, tickets={OF_TICKETS}",
    "ATLAS_WEBHOOK_PEOPLE": "chat:U024BE7LH=anna, chat:U0BEN=bruno, tickets:jdoe=carla",
}


def signed(
    body: Any, secret: str = OF_CHAT, *, message_id: str | None = None, age: int = 0
) -> tuple[bytes, dict[str, str]]:
    """The bytes and the headers of a body, as a system sends them."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    message_id, sent_at = message_id or f"msg_{token_hex(8)}", int(time.time()) - age
    made = Webhook(secret).sign(message_id, datetime.fromtimestamp(sent_at, timezone.utc), raw.decode())
    headers = {"webhook-id": message_id, "webhook-timestamp": str(sent_at), "webhook-signature": made}
    return raw, {"content-type": "application/json"} | headers


async def post(
    gateway: GatewayProcess, raw: bytes, headers: Any, *, path: str = "/webhook/approval"
) -> httpx.Response:
    """Send what was signed."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as http:
        return await http.post(gateway.url + path, content=raw, headers=headers)


def said(
    case_id: str, decision: str = "APPROVED", reviewer: str = "U024BE7LH", **more: Any
) -> dict[str, Any]:
    """What a system says of one of its people."""
    return {"decision": decision, "event_id": case_id, "reviewer": reviewer} | more
