"""A digest has whole notices, as many as its way takes, and says how many it leaves out."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_process import eventually
from outbox_of_test import GATEWAY_URL, add_profile, let_age, outbox, without_courier
from receivers import ntfy
from slack import keys_and_settings_of, slack, text_of
from sqlalchemy.engine import Connection

from atlas.instants import now
from atlas.outbox.addresses import Way
from atlas.outbox.deliveries import due
from atlas.outbox.letters import letter_for
from atlas.outbox.room import MOST, room_of

MANY = 40
REFERENCE = re.compile(r"evt_[0-9a-f]{16}")


async def calls_wait(directory: Path, channel: str, **settings: Any) -> None:
    """Many calls wait since an hour, for a person who wants one message a minute."""
    async with without_courier(directory, **settings) as box:
        await add_profile(box.store, "anna", channel, digest="1m")
        for _ in range(MANY):
            await box.waiting_case()
        await let_age(box.store, timedelta(hours=1))


async def test_a_digest_in_slack_names_whole_calls_and_says_how_many_more_there_are(tmp_path: Path) -> None:
    """Slack takes 3,000 characters in a part of a message; the desk has the rest."""
    async with slack() as here:
        await calls_wait(tmp_path, "slack-app:U024BE7LH", **keys_and_settings_of(here))
        async with outbox(tmp_path, **keys_and_settings_of(here)) as box:
            await box.until_all_are_done(2 * MANY)
    (message,) = [one for one in here.messages.values() if one["channel"] == "U024BE7LH"]
    said = text_of(message)
    named = set(REFERENCE.findall(said))
    assert said.startswith(f"{MANY} notices of calls\nUntil ") and len(named) > 5
    assert said.endswith(f"And {MANY - len(named)} more. The desk shows them:\n{GATEWAY_URL}/desk")
    assert said.count("Reference: ") == said.count("To open it decides nothing.") == len(named)


async def test_a_digest_that_was_refused_is_shorter_in_the_next_attempt(tmp_path: Path) -> None:
    """A server may take less than its service says; what comes later is not refused with it for ever."""
    async with ntfy(lambda number: 400 if number < 3 else 200) as taken:
        await calls_wait(tmp_path, taken.url)
        async with outbox(tmp_path) as box:
            await box.until_all_are_done(MANY)
    texts = [one["body"]["message"] for one in taken.requests]
    assert MOST >= len(texts[0].encode()) > len(texts[1].encode()) > len(texts[2].encode())
    assert all(text.endswith(f"more. The desk shows them:\n{GATEWAY_URL}/desk") for text in texts)


async def test_a_server_that_was_away_gets_the_digest_as_long_as_ever(tmp_path: Path) -> None:
    """It has refused nothing that the digest holds."""
    async with ntfy(lambda number: 503 if number < 3 else 200) as taken:
        await calls_wait(tmp_path, taken.url)
        async with outbox(tmp_path) as box:
            await box.until_all_are_done(MANY)
    counts = [len(set(REFERENCE.findall(one["body"]["message"]))) for one in taken.requests]
    assert len(set(counts)) == 1 and len(counts) == 3


async def test_where_no_notice_has_room_a_digest_says_how_many_there_are_and_where(tmp_path: Path) -> None:
    """As in a text message of a telephone."""
    async with ntfy(lambda number: 500) as taken:
        await calls_wait(tmp_path, taken.url)
        async with outbox(tmp_path) as box:
            await taken.asked(1)

            async def found() -> Any:
                return await box.store.database.read(letter_in_little_room)

            letter = await eventually(found)
    assert (letter.message.title, letter.message.text) == (
        f"{MANY} notices of calls",
        f"The desk shows them:\n{GATEWAY_URL}/desk",
    )


def letter_in_little_room(connection: Connection) -> Any:
    """What is sent where a message has a hundred bytes."""
    at = now() + timedelta(minutes=10)
    found = due(connection, at=at, without=(), process_id="p")
    if not found:
        return None
    said = {
        "at": at,
        "url": GATEWAY_URL,
        "is_for_program": False,
        "process_id": "p",
        "room": 100,
        "owners": {},
    }
    return letter_for(connection, found[0], **said)


@pytest.mark.parametrize(
    ("url", "most"),
    [
        ("ntfys://ntfy.example.com/topic", 4096),  # what is longer becomes a file
        ("mmosts://chat.example.com/abcdefghijklmnopqrstuvwxyz", 4000),
        ("discord://1234567890/abcdefghijklmnopqrstuvwxyz", 2000),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", 4096),
        ("clicksend://atlas:password@491701234567", 160),
    ],
)
def test_a_way_has_room_for_what_its_service_takes(url: str, most: int) -> None:
    """With a title above it."""
    way = Way("of a profile", "a", url, "anna")
    assert most // 2 < room_of(way) < most
