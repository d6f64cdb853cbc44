"""Slack's Web API, as far as messages need it: https://api.slack.com/methods."""

import re
from typing import Any

import httpx

from atlas.errors import NotDelivered
from atlas.outside.answers import BoundedAnswers
from atlas.proxies import proxy_of
from atlas.settings import Settings, variables

TIMEOUT_SECONDS = 10.0
WORD = re.compile(r"[a-z0-9_]{1,60}")
# What Slack says where another attempt is pointless: there is no such place, or the message is gone.
FINAL = {
    "cannot_dm_bot",
    "cant_update_message",
    "channel_not_found",
    "edit_window_closed",
    "is_archived",
    "message_not_found",
    "user_not_found",
}


class SlackApi:
    """Calls methods with the bot token of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._url = str(settings.atlas_slack_url).rstrip("/")
        token = settings.atlas_slack_bot_token
        self._token = token.get_secret_value() if token else ""
        self._client: httpx.AsyncClient | None = None

    async def call(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        """What Slack answers; raises NotDelivered, without the token or the place."""
        try:
            answer = await self._opened().post(f"{self._url}/{method}", json=said)
            told = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, ValueError, RecursionError) as error:  # the last: brackets in brackets
            raise NotDelivered(reason=type(error).__name__) from None
        if not isinstance(told, dict) or told.get("ok") is not True:
            word = _word_of(told)
            raise NotDelivered(reason=word or f"HTTP {answer.status_code}", is_final=word in FINAL)
        return told

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            way = BoundedAnswers(proxy=proxy_of(self._url, variables()))
            headers = {"Authorization": f"Bearer {self._token}"}
            self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, transport=way, headers=headers)
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()


def _word_of(told: Any) -> str | None:
    """The word by which Slack names an error; what has another form is not Slack's."""
    word = told.get("error") if isinstance(told, dict) else None
    return word if isinstance(word, str) and WORD.fullmatch(word) else None


def escaped(text: str) -> str:
    """A text as Slack shows it: nothing in it calls a person or a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
