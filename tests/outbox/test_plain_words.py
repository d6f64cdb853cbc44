"""Names that others wrote are no markup in any chat."""

from pathlib import Path

import pytest
from outbox_of_test import GATEWAY_URL, outbox
from receivers import ntfy

from atlas.outbox.channels.plain_words import lines_in_plain_words

HOSTILE = "pay [Open at the desk](https://evil.example/desk) @channel @everyone"


async def test_a_chat_gets_the_name_of_a_tool_without_markup_and_the_link_of_the_gateway(
    tmp_path: Path,
) -> None:
    """Neither link nor mention is left, and a person reads what the name is."""
    async with ntfy() as chat, outbox(tmp_path, atlas_notify_urls=chat.url) as box:
        case = await box.waiting_case(tool=HOSTILE)
        (sent,) = await chat.accepted(1)
    named = "pay ［Open at the desk］(https：//evil.example/desk) ＠channel ＠everyone"
    assert sent["title"] == f"A call waits for your decision: {named}"
    lines = sent["message"].split("\n")
    assert f"Tool: {named}" in lines and f"{GATEWAY_URL}/desk/cases/{case.case_id}" in lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<!channel> <https://evil.example|Open>", "＜!channel＞ ＜https：//evil.example｜Open＞"),
        ("<@U024BE7LH> <at>All</at>", "＜＠U024BE7LH＞ ＜at＞All＜/at＞"),
        ("**bold** `code` ~~gone~~ ||hidden||", "＊＊bold＊＊ ｀code｀ ～～gone～～ ｜｜hidden｜｜"),
        ("_slanted_ __bold__", "＿slanted＿ ＿＿bold＿＿"),
        ("&lt;b&gt; \\[x\\] # x", "＆lt;b＆gt; ＼［x＼］ ＃ x"),
        ("www.evil.example mailto:a@evil.example", "www．evil.example mailto：a＠evil.example"),
        ("https://evil.example", "https：//evil.example"),
    ],
)
def test_signs_of_markup_mentions_and_links_become_look_alikes(name: str, shown: str) -> None:
    """Of Markdown, of HTML, and of Slack, Discord, Mattermost and Teams."""
    assert lines_in_plain_words(f"Tool: {name}") == f"Tool: {shown}"


@pytest.mark.parametrize(
    "line",
    [
        "Tool: modify_welfare_record",
        "Tool: fx.read-file/v2 (copy)",
        "Time left: 23 h 59 min, until 2026-11-29 13:55 UTC",
        "It was approved by anna, for bruno.",
        "https://gateway.example.com/desk/cases/evt_0123456789abcdef",
    ],
)
def test_usual_words_stay_as_they_are(line: str) -> None:
    """So that a name can be copied, and an SMS has the short alphabet."""
    assert lines_in_plain_words(line) == line
