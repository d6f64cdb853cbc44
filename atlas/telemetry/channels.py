"""The channels of notices that can be a label: those of the settings, and one name for all of profiles."""

from atlas.outbox.addresses import Addresses
from atlas.outbox.channels import WEBHOOK
from atlas.outbox.channels.push import PUSH
from atlas.outbox.channels.slack import SLACK_APP
from atlas.settings import Settings

OF_PROFILE = "profile"  # in the place of the scheme of a URL that a person has in a profile


class Channels:
    """Knows the channels of the settings, so that no profile can make a new label."""

    def __init__(self, settings: Settings) -> None:
        house = {way.channel for way in Addresses(settings).of_house}
        slack = {SLACK_APP} if settings.atlas_slack_bot_token else set()
        self._named = frozenset({WEBHOOK, PUSH, *house, *slack, *settings.notify_channels})

    @property
    def labels(self) -> list[str]:
        """All that there can be."""
        return [*sorted(self._named), OF_PROFILE]

    def label(self, channel: str) -> str:
        """How a channel is told."""
        return channel if channel in self._named else OF_PROFILE
