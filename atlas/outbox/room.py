"""How much text one message may have by a way: what a service cuts off or refuses, no person reads."""

import html

from atlas.outbox.addresses import Way
from atlas.outbox.channels.apprise_urls import service_of
from atlas.outbox.channels.plain_words import lines_in_plain_words
from atlas.outbox.channels.push import PUSH
from atlas.outbox.channels.slack import LONGEST_TEXT, SLACK_APP

MOST = 3_800  # ntfy makes a file of more than 4,096 bytes, and servers are set to less than they can
MOST_OF_MAIL = 30_000
FOR_TITLE = 60  # which many services put above the text
SHORTEST = 4  # parts of it: what is left after refusals


def room_of(way: Way) -> int:
    """How many bytes a text may have; it may import Apprise, which takes a second."""
    if way.channel in (SLACK_APP, PUSH):
        return LONGEST_TEXT
    service = service_of(way.url)
    longest = int(service.body_maxlen) if service is not None else MOST
    return min(longest, MOST_OF_MAIL if way.is_mail else MOST) - FOR_TITLE


def room_after(room: int, refusals: int) -> int:
    """What is left of it after refusals: a server may take less than its service says."""
    return room // min(refusals + 1, SHORTEST)


def weight_of(text: str) -> int:
    """The bytes of a text as the services write it that need most: those of HTML, or with wide signs."""
    return max(len(html.escape(said).encode()) for said in (text, lines_in_plain_words(text)))
