"""Where a delivery goes: the store has a name for it, and not the URL, which may hold a password."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from atlas.outbox.channels import WEBHOOK
from atlas.outbox.channels.push import PUSH
from atlas.outbox.channels.slack import SLACK_APP
from atlas.people.records.profiles import Profile
from atlas.settings import Settings
from atlas.settings.notices import ADDRESS

OF_WEBHOOK = "ATLAS_NOTIFY_URL"
OF_BROWSER = "browser "
OF_MAIL = (
    "mailto",
    "mailtos",
    "o365",
    "ses",
    "sendgrid",
    "mailgun",
    "sparkpost",
    "smtp2go",
    "resend",
    "brevo",
)


@dataclass(frozen=True)
class Way:
    """One way to one receiver."""

    channel: str  # one of OWN_CHANNELS, the name of one in the settings, or the scheme of a URL of Apprise
    address: str  # by which its URL is found again
    url: str
    person: str | None = None

    @property
    def is_mail(self) -> bool:
        """Whether it is mail, which few people read at once."""
        return urlsplit(self.url).scheme.lower() in OF_MAIL

    @property
    def receiver(self) -> str:
        """The server behind it, which all that goes there shares."""
        place = urlsplit(self.url)
        return f"{place.scheme}://{place.netloc.rpartition('@')[2]}"


class Addresses:
    """Finds the URLs of the settings and of profiles."""

    def __init__(self, settings: Settings) -> None:
        self._webhook = str(settings.atlas_notify_url) if settings.atlas_notify_url else None
        self._urls = settings.notify_urls
        self._channels = settings.notify_channels
        self._slack_channel = settings.atlas_slack_channel

    @property
    def webhook(self) -> Iterator[Way]:
        """The way to ATLAS_NOTIFY_URL, if there is one."""
        if self._webhook is not None:
            yield Way(WEBHOOK, OF_WEBHOOK, self._webhook)

    @property
    def of_house(self) -> Iterator[Way]:
        """The ways of ATLAS_NOTIFY_URLS, and the channel in Slack."""
        if self._slack_channel is not None:
            yield Way(SLACK_APP, "ATLAS_SLACK_CHANNEL", f"{SLACK_APP}://{self._slack_channel}")
        for url in self._urls:
            yield Way(_scheme(url), f"ATLAS_NOTIFY_URLS {_digest(url)}", url)

    @property
    def names(self) -> tuple[str, ...]:
        """The names with which an address in a profile can begin: `mail:anna@example.com`."""
        return (*self._channels, *([SLACK_APP] if self._slack_channel else []))

    def of_person(self, person: Profile) -> Iterator[Way]:
        """The ways of a person's profile; one of an unknown channel is left out."""
        for text in person.channels or ():
            url = self._url_of(text)
            if url is not None:
                channel = _scheme(url) if "://" in text else text.partition(":")[0]
                yield Way(channel, f"profile {_digest(person.name + ' ' + text)}", url, person.name)
        for endpoint in person.browsers:
            digest = hashlib.sha256(endpoint.encode()).hexdigest()
            yield Way(PUSH, f"{OF_BROWSER}{digest}", endpoint, person.name)

    def _url_of(self, text: str) -> str | None:
        if "://" in text:
            # What one person's profile has wrong is no reason to tell no one.
            return text if is_address(text) and _scheme(text) != SLACK_APP else None
        name, _, address = text.partition(":")
        if name == SLACK_APP:
            return f"{SLACK_APP}://{address}" if self._slack_channel and address.isalnum() else None
        pattern = self._channels.get(name)
        return pattern.replace(ADDRESS, quote(address, safe="@")) if pattern and address else None

    def unknown(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Those entries of a profile's channels that lead nowhere under these settings."""
        return tuple(text for text in channels if self._url_of(text) is None)

    def find(self, address: str, person: Profile | None) -> Way | None:
        """The way of an address; None if settings or profile do not have it any more."""
        ways = self.of_person(person) if person else (*self.webhook, *self.of_house)
        return next((way for way in ways if way.address == address), None)


def is_address(url: str) -> bool:
    """Whether a URL can be taken apart, as one with half of an IPv6 address cannot."""
    try:
        return bool(urlsplit(url).scheme)
    except ValueError:
        return False


def _scheme(url: str) -> str:
    return urlsplit(url).scheme.lower()[:30]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
