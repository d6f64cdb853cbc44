"""What Slack sends when a person presses a button: its signature, the form around it, and what was pressed.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import hmac
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from atlas.errors import RequestInvalid, SignatureRefused
from atlas.models import Verdict
from atlas.outbox.channels.slack import APPROVE, REJECT
from atlas.people.systems.signatures import UNKNOWN, check_fresh, one_header

TIMESTAMP, SIGNATURE = "x-slack-request-timestamp", "x-slack-signature"
VERSION = "v0"
VALUE = re.compile(r"(evt_[0-9a-f]{16}) ([1-9][0-9]{0,8}) ([0-9a-f]{64})")
SAYS = {APPROVE: Verdict.APPROVED, REJECT: Verdict.REJECTED}
UNREADABLE = RequestInvalid(reason="This is no button of a message of the gateway. Nothing was done.")


@dataclass(frozen=True)
class Pressed:
    """A button of a message that the gateway wrote."""

    user: str  # as Slack names the person
    channel: str
    verdict: Verdict | None  # None: a link was opened, which decides nothing
    case_id: str
    round_number: int
    seen_sha256: str
    message_id: str  # the same for each copy of the request
    receipt: str | None  # by which the message is rewritten that has the button


async def check_signature(request: Request, secrets: tuple[str, ...]) -> bytes:
    """The body of a request that one of the secrets signed; raises SignatureRefused."""
    sent_at, signature = one_header(request, TIMESTAMP), one_header(request, SIGNATURE)
    check_fresh(sent_at)
    body = await request.body()
    if not any(is_signed_with(secret, sent_at, body, signature) for secret in secrets):
        raise SignatureRefused(reason=UNKNOWN)
    return body


def is_signed_with(secret: str, sent_at: str, body: bytes, signature: str) -> bool:
    """Whether this secret made the signature, compared in constant time."""
    signed = b":".join((VERSION.encode(), sent_at.encode(), body))
    made = f"{VERSION}={hmac.new(secret.encode(), signed, sha256).hexdigest()}"
    return hmac.compare_digest(made.encode(), signature.encode())


def pressed_in(body: bytes) -> Pressed:
    """What was pressed; raises RequestInvalid."""
    try:
        fields = parse_qsl(body.decode(), strict_parsing=True, keep_blank_values=True, max_num_fields=10)
        (text,) = [value for name, value in fields if name == "payload"]
        return _pressed(json.loads(text), sha256(body).hexdigest())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UNREADABLE from None


def _pressed(payload: Any, message_id: str) -> Pressed:
    (action,) = payload["actions"]
    verdict = SAYS.get(action["action_id"])
    found = VALUE.fullmatch(action["value"]) if verdict is not None else None
    user, channel = payload["user"]["id"], payload["channel"]["id"]
    is_ours = payload["type"] == "block_actions" and isinstance(user, str) and isinstance(channel, str)
    if not is_ours or (verdict is not None and found is None):
        raise UNREADABLE
    case_id, round_number, seen_sha256 = found.groups() if found else ("", "1", "")
    receipt = _receipt(payload, channel)
    return Pressed(user, channel, verdict, case_id, int(round_number), seen_sha256, message_id, receipt)


def _receipt(payload: Any, channel: str) -> str | None:
    """Where the pressed message is, as `SlackMessages.send` says it of a new one."""
    ts = payload.get("container", {}).get("message_ts")
    return f"{channel} {ts}" if isinstance(ts, str) else None
