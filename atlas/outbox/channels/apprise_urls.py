"""Mail, chats and push services, each by its URL of Apprise, which is imported when one is used."""

import logging
import re
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio

from atlas.errors import ChannelUnusable, NotDelivered
from atlas.outbox.channels import Message
from atlas.outbox.channels.plain_words import lines_in_plain_words
from atlas.outside.attempts import Attempt, in_thread, within

# A digest may take several messages, between which a plugin rests for seconds.
TIMEOUT_SECONDS = 20.0
ABANDON_SECONDS = 2.0  # after which a thread is left alone whose connections were cut
GONE = re.compile(r"error=(?:404|410)\b")  # as the plugins write the status of an answer
STATUS = re.compile(r"error=(\d{3})\b")
# Those that act on the machine of the gateway, and reach no person.
OF_THIS_MACHINE = ("dbus", "qt", "glib", "gio", "gnome", "macosx", "windows", "syslog", "kde")


class AppriseUrls:
    """Sends by Apprise, each message in a thread of its own; it keeps what a service knows of its sign-in."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Any]] = {}  # by URL: services that no thread uses now

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Send title and text; raises NotDelivered, with no part of the URL but its scheme."""
        try:
            with anyio.fail_after(TIMEOUT_SECONDS + ABANDON_SECONDS):
                await in_thread(partial(self._send, url, message), name="apprise")
        except TimeoutError:  # it may be at work still, and opens no connection any more
            raise NotDelivered(reason="no answer in time") from None
        return None

    def _send(self, url: str, message: Message) -> None:
        with within(TIMEOUT_SECONDS) as attempt:
            idle = self._idle.setdefault(url, [])
            service = idle.pop() if idle else service_of(url)
            if service is None:
                raise NotDelivered(reason="Apprise does not know this URL", is_final=True)
            _notify(service, message, attempt)
            idle.append(service)  # one that failed is not used again

    async def close(self) -> None:
        """Let go of what is known of sign-ins; what is being sent ends with the process, or by its time."""
        self._idle.clear()


def _notify(service: Any, message: Message, attempt: Attempt) -> None:
    import apprise

    one = apprise.Apprise(asset=service.asset)
    one.add(service)
    result = one.notify(
        body=lines_in_plain_words(message.text),
        title=lines_in_plain_words(message.title),
        body_format="text",
    )
    if (status := attempt.redirect) is not None:  # also where the plugin says that it was sent
        raise NotDelivered(reason=f"HTTP {status}")
    if not result:
        said = " ".join(entry.message for entry in result.logs())
        raise NotDelivered(reason=_in_short(said), is_final=GONE.search(said) is not None)


def check_url(name: str, url: str) -> None:
    """Raise ChannelUnusable, without the URL, where Apprise would not send by it."""
    scheme = urlsplit(url).scheme
    if service_of(url) is None:
        why = f"Apprise cannot send by its URL that begins with {scheme}://"
        raise ChannelUnusable(name=name, reason=why)


def service_of(url: str) -> Any | None:
    """The service of a URL of Apprise; None if there is none, or if it acts on this very machine."""
    import apprise

    from atlas.outside.adapter import bound_sessions

    bound_sessions()
    _quiet()
    if urlsplit(url).scheme.lower() in OF_THIS_MACHINE:
        return None
    return apprise.Apprise.instantiate(url, asset=_asset())


def _asset() -> Any:
    """What Apprise says of the sender; no picture of its own project, and nothing written to disk."""
    import apprise

    return apprise.AppriseAsset(
        app_id="ATLAS",
        app_desc="ATLAS Governance Gateway",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
        async_mode=False,
        http_redirects=False,
        service_timeout=0,  # an attempt has its time; Apprise would begin threads that no exit leaves alone
    )


def _quiet() -> None:
    """Keep what Apprise logs, which may name addresses, out of our log; `last_error` has it in short."""
    logging.getLogger("apprise").propagate = False


def _in_short(said: str) -> str:
    status = STATUS.search(said)
    return f"HTTP {status[1]}" if status else "no answer, or a refusal"
