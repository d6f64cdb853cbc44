"""Messages in Slack with buttons, which are rewritten when nothing can be decided there any more."""

import re
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from atlas.outbox.channels import Asks, Message
from atlas.outbox.channels.slack_api import SlackApi, escaped
from atlas.settings import Settings

SLACK_APP = "slack-app"  # the name of this channel; `slack` is a scheme of Apprise
APPROVE, REJECT, OPEN = "atlas.approve", "atlas.reject", "atlas.open"  # by which Slack names a button
LONGEST_TEXT = 2_900  # Slack takes 3,000 characters in a part of a message
CUT = " … The rest is at the desk."
LAST_WORD = re.compile(r"\s+\S*\Z")


class SlackMessages:
    """Posts to a channel or to a person, and keeps by what Slack finds the message again."""

    def __init__(self, settings: Settings) -> None:
        self._api = SlackApi(settings)
        self._has_buttons = bool(settings.slack_signing_secrets)

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Post a message; raises NotDelivered."""
        blocks = [_plain(message.title), _plain(message.text)]
        if message.asks is not None and self._has_buttons:
            blocks.append(_buttons(message.asks))
        place = url.partition("://")[2]
        said = {"channel": place, "text": escaped(message.title), "blocks": blocks, "unfurl_links": False}
        # Where the answer to an attempt was lost, Slack knows the next one by it, and posts no second
        # message. It promises that nowhere, so Rewriter.let_go looks at what is pressed.
        said["client_msg_id"] = str(uuid5(NAMESPACE_URL, message.delivery_id))
        told = await self._api.call("chat.postMessage", said)
        return f"{told.get('channel', place)} {told.get('ts', '')}" if message.asks is not None else None

    async def rewrite(self, receipt: str, *, title: str, text: str) -> None:
        """Put other words, without buttons, in the place of a message; raises NotDelivered."""
        channel, _, ts = receipt.partition(" ")
        blocks = [_plain(title), _plain(text)]
        said = {"channel": channel, "ts": ts, "text": escaped(title), "blocks": blocks}
        await self._api.call("chat.update", said)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()


def _plain(text: str) -> dict[str, Any]:
    """A part in which names of tools and agents are no markup: they can call no one, and hide nothing."""
    words = {"type": "plain_text", "text": _fitted(text), "emoji": False}
    return {"type": "section", "text": words}


def _fitted(text: str) -> str:
    """A text that Slack takes; where it is cut, it ends with a whole word, and says so."""
    if len(text) <= LONGEST_TEXT:
        return text
    return LAST_WORD.sub("", text[: LONGEST_TEXT - len(CUT)]) + CUT


def _buttons(asks: Asks) -> dict[str, Any]:
    value = f"{asks.case_id} {asks.round_number} {asks.seen_sha256}"
    made = [("Approve", APPROVE, "primary"), ("Reject", REJECT, "danger")]
    elements: list[dict[str, Any]] = [
        _button(label, action) | {"value": value, "style": style} for label, action, style in made
    ]
    if asks.link:
        elements.append(_button("Open at the desk", OPEN) | {"url": asks.link})
    return {"type": "actions", "block_id": "atlas", "elements": elements}


def _button(label: str, action: str) -> dict[str, Any]:
    text = {"type": "plain_text", "text": label, "emoji": False}
    return {"type": "button", "action_id": action, "text": text}
