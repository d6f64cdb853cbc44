"""A server that speaks as Slack's Web API does, and the buttons of its messages as Slack sends them."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex
from typing import Any
from urllib.parse import urlencode

from gateway_process import eventually
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from upstream_by_hand import posted_to

SIGNING_SECRET, NEXT_SECRET, TOKEN = "8f742231b10e8888abcd99yyyzzz85a5", "a" * 32, "xoxb-of-the-tests"
CHANNEL = "C024BE91L"


@dataclass
class Slack:
    """What a workspace shows now, and all that was asked of it."""

    url: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)  # by ts
    ephemeral: list[dict[str, Any]] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)  # errors of the next calls
    knows_copies: bool = True  # as Slack does, which promises it nowhere
    answers: asyncio.Event = field(
        default_factory=asyncio.Event
    )  # while it is not set, Slack does not answer

    def answer(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        """Do what a method does."""
        self.asked.append((method, said))
        if self.fails:
            return {"ok": False, "error": self.fails.pop(0)}
        if method == "chat.postEphemeral":
            self.ephemeral.append(said)
            return {"ok": True, "message_ts": "1.1"}
        if method == "chat.update" and said["ts"] not in self.messages:
            return {"ok": False, "error": "message_not_found"}
        ts = said.get("ts") or self._copied(said) or f"{1700000000 + len(self.messages)}.000100"
        if method == "chat.update" or ts not in self.messages:  # a copy changes nothing
            self.messages[ts] = said
        return {"ok": True, "channel": said["channel"], "ts": ts}

    def _copied(self, said: dict[str, Any]) -> str | None:
        """The message that has the same id of its client, which Slack does not post again."""
        found = [ts for ts, one in self.messages.items() if one.get("client_msg_id") == said["client_msg_id"]]
        return found[0] if found and self.knows_copies else None

    def of_case(self, case_id: str) -> list[dict[str, Any]]:
        """The messages that name a case, as they are shown now."""
        return [one for one in self.messages.values() if case_id in json.dumps(one)]

    async def shown(self, case_id: str, *words: str, live: bool) -> dict[str, Any]:
        """Wait until the one message of a case has these words, with or without buttons that decide."""

        async def is_so() -> dict[str, Any] | None:
            found = self.of_case(case_id)
            is_shown = bool(found) and all(word in text_of(found[-1]) for word in words)
            return found[-1] if is_shown and bool(buttons_of(found[-1])) == live else None

        return dict(await eventually(is_so))

    async def told_of(self, case_id: str, words: str, *, count: int) -> None:
        """Wait until so many messages of a case say this."""

        async def is_so() -> bool:
            return [words in text_of(one) for one in self.of_case(case_id)].count(True) == count

        await eventually(is_so)

    async def told(self, count: int = 1) -> dict[str, Any]:
        """Wait until people were told so much that they alone see; the newest."""

        async def are_there() -> bool:
            return len(self.ephemeral) >= count

        await eventually(are_there)
        return self.ephemeral[-1]


@asynccontextmanager
async def slack() -> AsyncIterator[Slack]:
    """A workspace on loopback."""
    here = Slack()
    here.answers.set()

    async def take(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        told = here.answer(request.path_params["method"], await request.json())
        await here.answers.wait()
        return JSONResponse(told)

    async with posted_to(take, path="/api/{method}", methods=["POST"]) as (_, entry):
        here.url = entry["url"].replace("/mcp", "/api/")
        yield here
        here.answers.set()


def settings_of(here: Slack) -> dict[str, str]:
    """What an operator sets."""
    return {
        "ATLAS_SLACK_URL": here.url,
        "ATLAS_SLACK_BOT_TOKEN": TOKEN,
        "ATLAS_SLACK_CHANNEL": CHANNEL,
        "ATLAS_SLACK_SIGNING_SECRET": f"{SIGNING_SECRET},{NEXT_SECRET}",
        "ATLAS_WEBHOOK_PEOPLE": "slack:U024BE7LH=anna,slack:U0BEN=bruno",
    }


def keys_and_settings_of(here: Slack) -> dict[str, Any]:
    """The same for a test without a gateway, with keys: else people of a system are not told from agents."""
    keys = {"atlas_agent_key": "agent-key-of-the-tests", "atlas_reviewer_key": "reviewer-key-of-the-tests"}
    return keys | {name.lower(): value for name, value in settings_of(here).items()}


def text_of(message: dict[str, Any]) -> str:
    """All that a person reads of a message."""
    texts = [block["text"]["text"] for block in message["blocks"] if block["type"] == "section"]
    return "\n".join(texts)


def buttons_of(message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The buttons of a message by their labels."""
    elements = [one for block in message["blocks"] if block["type"] == "actions" for one in block["elements"]]
    return {one["text"]["text"]: one for one in elements}


def pressed(
    button: dict[str, Any],
    user: str = "U024BE7LH",
    *,
    secret: str = SIGNING_SECRET,
    age: int = 0,
    **more: Any,
) -> tuple[bytes, dict[str, str]]:
    """The bytes and headers that Slack sends when a person presses a button."""
    action = {key: button[key] for key in ("action_id", "value", "type") if key in button}
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "someone", "team_id": "T024BE7LD"},
        "api_app_id": "A0KRD7HC3",
        "trigger_id": token_hex(12),
        "team": {"id": "T024BE7LD", "domain": "example"},
        "channel": {"id": CHANNEL, "name": "reviews"},
        "response_url": "https://hooks.slack.example/actions/T0/1/x",
        "actions": [action | {"block_id": "atlas", "action_ts": "1548426417.840180"}],
    } | more
    return signed_by_slack(urlencode({"payload": json.dumps(payload)}).encode(), secret=secret, age=age)


def signed_by_slack(
    raw: bytes, *, secret: str = SIGNING_SECRET, age: int = 0
) -> tuple[bytes, dict[str, str]]:
    """Bytes with the headers of Slack's own signature."""
    sent_at = str(int(time.time()) - age)
    made = hmac.new(secret.encode(), f"v0:{sent_at}:".encode() + raw, sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": f"v0={made}"}
    return raw, headers | {"Content-Type": "application/x-www-form-urlencoded"}
