"""What the start says of the gateway."""

from pathlib import Path
from typing import Any

import pytest
from store import settings_of_test

from atlas.operate.health import how_told


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "no one is told of a call that waits"),
        ({"atlas_notify_url": "https://chat.example.com/secret"}, "told by a POST to chat.example.com"),
        ({"atlas_notify_urls": "ntfy://ntfy.example.com/secret"}, "told by ntfy"),
        ({"atlas_slack_bot_token": "xoxb-token", "atlas_slack_channel": "C024BE7LH"}, "told by slack-app"),
        (
            {"atlas_notify_channels": "mail=mailto://u:p@mail.example.com?to={address}"},
            "told by mail, where a profile has an address",
        ),
    ],
)
def test_the_start_says_by_which_ways_people_are_told(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    """By each of them, and nothing of a URL that may be secret."""
    told = how_told(settings_of_test(tmp_path, **fields))
    assert told.startswith(said) and "secret" not in told
