"""Mail, chats and push services, each by its URL of Apprise, which is imported when one is used."""

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from atlas.errors import ChannelUnusable, NotDelivered
from atlas.outbox.channels import Message

THREADS = 16
TIMEOUT_SECONDS = 20.0
GONE = re.compile(r"error=(?:404|410)\b")  # as the plugins write the status of an answer
STATUS = re.compile(r"error=(\d{3})\b")
# Those that act on the machine of the gateway, and reach no person.
OF_THIS_MACHINE = ("dbus", "qt", "glib", "gio", "gnome", "macosx", "windows", "syslog", "kde")


class AppriseUrls:
    """Sends by Apprise, each message in a thread of its own; it keeps what a service knows of its sign-in."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._idle: dict[str, list[Any]] = {}  # by URL: services that no thread uses now

    async def send(self, url: str, message: Message, *, at: datetime) -> str | None:
        """Send title and text; raises NotDelivered, with no part of the URL but its scheme."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "apprise")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._send, url, message)
        return None

    def _send(self, url: str, message: Message) -> None:
        idle = self._idle.setdefault(url, [])
        service = idle.pop() if idle else service_of(url)
        if service is None:
            raise NotDelivered(reason="Apprise does not know this URL", is_final=True)
        import apprise

        one = apprise.Apprise(asset=service.asset)
        one.add(service)
        result = one.notify(
            body=message.text, title=message.title, body_format="text", timeout=TIMEOUT_SECONDS
        )
        if (
            not result
        ):  # a service that timed out may still be at work in a thread of Apprise: no other takes it
            said = " ".join(entry.message for entry in result.logs())
            raise NotDelivered(reason=_in_short(said), is_final=GONE.search(said) is not None)
        idle.append(service)

    async def close(self) -> None:
        """Begin nothing more; what is being sent ends by its own time-out."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def check_url(name: str, url: str) -> None:
    """Raise ChannelUnusable, without the URL, where Apprise would not send by it."""
    scheme = urlsplit(url).scheme
    if service_of(url) is None:
        why = f"Apprise cannot send by its URL that begins with {scheme}://"
        raise ChannelUnusable(name=name, reason=why)


def service_of(url: str) -> Any | None:
    """The service of a URL of Apprise; None if there is none, or if it acts on this very machine."""
    import apprise

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
        service_timeout=TIMEOUT_SECONDS,
    )


def _quiet() -> None:
    """Keep what Apprise logs, which may name addresses, out of our log; `last_error` has it in short."""
    logging.getLogger("apprise").propagate = False


def _in_short(said: str) -> str:
    status = STATUS.search(said)
    return f"HTTP {status[1]}" if status else "no answer, or a refusal"
