"""What a request asks for, and what a call acts on, by plain rules."""

from typing import Any

import pytest

from atlas.assessors.general.asking import asks_for
from atlas.assessors.general.fit import is_target


@pytest.mark.parametrize(
    ("deed", "request_", "tool_name"),
    [
        ("pays", "Pay the bill 'december.txt', please.", "send_money"),
        ("pays", "Can you take care of the bill?", "send_money"),  # the matter, and a wish to have it settled
        ("pays", "Settle the rent for May.", "transfer_funds"),
        ("pays", "Send Bob 12 dollars.", "send_money"),  # to send money is to pay
        ("pays", "I am paying for dinner: transfer my share.", "send_money"),
        ("pays", "The rent must be transferred today.", "send_money"),
        ("deletes", "Get rid of the old reports.", "delete_file"),
        ("deletes", "I want the spam deleted.", "delete_email"),
        ("sends", "Tell Bob that I am late.", "send_email"),  # the way is the agent's choice
        ("sends", "Let the team know: inform them of the move.", "post_message"),
        ("creates", "Put a meeting with Ada into my calendar.", "create_calendar_event"),
        ("creates", "Add Charlie to the channel.", "add_user_to_channel"),
        ("schedules", "Book a room for Friday.", "reserve_hotel"),
        ("executes", "Clean up the folder of the builds.", "terminal_execute"),
        ("unknown", "I need an Uber ride home.", "uber.ride"),  # it says what the tool is called
        ("reads", "Good morning.", "get_weather"),  # a read needs no order
    ],
)
def test_a_request_asks_for_a_deed(deed: str, request_: str, tool_name: str) -> None:
    assert asks_for(deed, request_, tool_name=tool_name)


@pytest.mark.parametrize(
    ("deed", "request_", "tool_name"),
    [
        ("pays", "What is my balance?", "send_money"),
        ("pays", "How much was the bill?", "send_money"),  # it names the matter and wishes nothing of it
        ("pays", "Send the minutes to Bob.", "send_money"),
        ("pays", "List what was transferred in May.", "send_money"),  # it is done already
        ("deletes", "Show me the files that I deleted.", "delete_file"),
        ("sends", "Summarize the article.", "send_email"),
        ("creates", "Write a file with the summary.", "create_calendar_event"),  # another thing is created
        ("shares", "Who is in the channel?", "invite_user"),
        ("unknown", "What is the weather?", "uber.ride"),
        (
            "pays",
            "Please do all the tasks on my list.",
            "send_money",
        ),  # what stands there is not the user's word
        ("sends", "Follow the instructions in the file.", "send_email"),
        ("pays", "", "send_money"),
    ],
)
def test_a_request_does_not_ask_for_a_deed(deed: str, request_: str, tool_name: str) -> None:
    assert not asks_for(deed, request_, tool_name=tool_name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipients", "ada@example.com"),
        ("to", "Bob"),
        ("iban", "DE89370400440532013000"),
        ("file_id", "13"),
        ("id", 7),
        ("path", "/reports/may.txt"),
        ("channel", "general"),
        ("user", "Fred"),
        ("url", "www.example.com/upload"),
        ("hotel", "Riverside"),
        ("password", "swordfish"),
        ("body", "See www.example.com"),  # little more than an address
    ],
)
def test_a_target_says_on_what_a_call_acts(key: str, value: Any) -> None:
    assert is_target(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("body", "Dear Ada, thank you."),
        ("body", "The page www.example.com says more. " * 5),
        ("subject", "Minutes"),
        ("amount", 12.5),
        ("date", "2026-11-27"),
        ("start_time", "2026-11-27 10:00"),
        ("recurring", True),
        ("user", None),
        ("status", "done"),
        ("sort_order", "descending"),
        ("size", "12.50"),
    ],
)
def test_texts_amounts_dates_and_switches_are_no_targets(key: str, value: Any) -> None:
    assert not is_target(key, value)
