"""For whom a tool speaks: as the policy says, then the servers file, else carefully by its words."""

from pathlib import Path

import pytest
from fastmcp import FastMCP
from fastmcp.tools import Tool
from kept import database_of
from mcp.types import ToolAnnotations

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.grounds.present import as_it_is, facts_of, tool_facts
from atlas.models import TRUST_META, UPSTREAM_META
from atlas.origins.outside import is_outside, standing_of
from atlas.welfare import WelfareOffice, add_welfare_tools

# Every tool of AgentDojo's four suites. Those where one can be of two minds say why they stand where they do.
DOJO_OUTSIDE = """
    get_unread_emails get_received_emails search_emails get_draft_emails search_contacts_by_name
    search_contacts_by_email search_calendar_events get_day_calendar_events search_files_by_filename
    get_file_by_id list_files search_files read_file read_channel_messages read_inbox get_webpage
    get_rating_reviews_for_hotels get_rating_reviews_for_restaurants get_rating_reviews_for_car_rental
    get_most_recent_transactions get_scheduled_transactions get_contact_information_for_restaurants
    get_sent_emails
    delete_email delete_file cancel_calendar_event reschedule_calendar_event update_scheduled_transaction
    get_channels get_users_in_channel remove_user_from_slack
    get_all_hotels_in_city get_hotels_address get_all_restaurants_in_city get_restaurants_address
    get_cuisine_type_for_restaurants get_dietary_restrictions_for_all_restaurants
    get_all_car_rental_companies_in_city get_car_types_available get_car_fuel_options get_car_rental_address
"""
WHY_OUTSIDE = {
    "get_sent_emails": "an answer quotes the mail that it answers",
    "delete_file": "it can answer with what stood in the file; the same holds for the other changes",
    "get_channels": "any member names a channel",
    "get_users_in_channel": "people name themselves",
    "get_all_hotels_in_city": "hotels write their names and addresses themselves",
}
DOJO_INSIDE = """
    send_email create_calendar_event add_calendar_event_participants append_to_file create_file share_file
    reserve_hotel reserve_car_rental reserve_restaurant send_money schedule_transaction add_user_to_channel
    send_direct_message send_channel_message invite_user_to_slack post_webpage
    get_current_day get_iban get_balance get_user_info get_user_information update_password update_user_info
    get_hotels_prices get_price_for_restaurants get_car_price_per_day check_restaurant_opening_hours
    get_flight_information
"""
WHY_INSIDE = {
    "send_email": "it answers with what the agent gave; the same holds for the others that make something",
    "update_user_info": "the record is the user's own",
    "get_hotels_prices": "figures leave no room for a text",
    "get_flight_information": "times and prices; a timetable has no text of strangers",
}


@pytest.mark.parametrize("name", DOJO_OUTSIDE.split())
def test_a_tool_that_reads_what_others_write_speaks_for_third_parties(name: str) -> None:
    """By its name alone; in doubt it does."""
    assert is_outside(ToolFacts(name=name)), WHY_OUTSIDE.get(name)


@pytest.mark.parametrize("name", DOJO_INSIDE.split())
def test_a_tool_that_makes_or_counts_speaks_for_the_house(name: str) -> None:
    """Else every value that an agent sent once would come from outside."""
    assert not is_outside(ToolFacts(name=name)), WHY_INSIDE.get(name)


# Names out of the labelled sets, and some that are near to others.
@pytest.mark.parametrize(
    ("name", "description", "outside"),
    [
        ("GmailReadEmail", "", True),
        ("GitHubReadIssue", "", True),
        ("VenmoSearchTransactions", "", True),  # a payer writes what a payment is for
        ("VenmoSearchUsers", "", True),  # people name themselves
        ("GoogleSearchWebSearch", "", True),
        ("TerminalExecute", "", True),  # its output can be anything
        ("requests.get", "", True),
        ("database.query", "", True),  # what stands in the rows is unknown
        ("TwitterManagerPostTweet", "", False),
        ("get_latest_post", "", True),  # the same word is no verb here
        ("latest_post", "", True),
        ("create_or_get_page", "", True),
        ("http_post_form", "", True),  # the answer is the other side's
        ("transfer_history", "", True),
        ("get_order_details", "Get the status and details of an order.", False),
        ("get_order_details", "An order with the note that the customer left.", True),
        ("find_user_id_by_email", "", False),  # "by" says how it finds, not what it answers
        ("calculate_tax", "", False),
        ("get_current_time", "", False),
        ("TodoistDeleteTask", "Deletes a task.", False),
        ("archive_stuff", "Moves letters of citizens.", True),  # nothing is known of it
        ("ChaFod", "", True),
        ("", "", True),
    ],
)
def test_words_of_the_name_and_the_description_decide(name: str, description: str, outside: bool) -> None:
    """Each row could be taken for its opposite by a single word."""
    assert is_outside(ToolFacts(name=name, description=description)) is outside


async def test_the_tools_of_the_built_in_office_speak_for_the_house() -> None:
    """They return records of the house, and say that their world is closed."""
    server = FastMCP("office")
    add_welfare_tools(server, WelfareOffice(database_of(Path())))
    facts = [await tool_facts(server, tool.name) for tool in await server.list_tools()]
    assert len(facts) == 4
    assert not [tool.name for tool in facts if is_outside(tool)]


def test_an_open_world_counts_for_any_name_and_a_closed_one_not_for_the_name_of_a_mail() -> None:
    """A server's hint can make a tool stricter; milder only where its name does not speak against it."""
    assert is_outside(ToolFacts(name="get_balance", is_open_world=True))
    assert is_outside(ToolFacts(name="read_email", upstream="mail", is_open_world=False))
    assert not is_outside(ToolFacts(name="read_setup", upstream="mail", is_open_world=False))


def test_the_servers_file_comes_before_the_words_and_the_policy_before_the_servers_file() -> None:
    """In that order, both ways."""
    mail = ToolFacts(name="read_email", trust="inside")
    balance = ToolFacts(name="get_balance", trust="outside", is_open_world=False)
    assert (is_outside(mail), is_outside(balance)) == (False, True)
    assert (is_outside(mail, by_policy="outside"), is_outside(balance, by_policy="inside")) == (True, False)
    assert standing_of(mail).because == 'the servers file says "trust": "inside"'


def test_facts_carry_what_the_servers_file_says_of_a_server_and_not_what_a_tool_says() -> None:
    """Only beside the name of a server, which the gateway sets, does the mark count."""

    def read_page() -> str:
        return ""

    hints = ToolAnnotations(open_world_hint=True)
    theirs = Tool.from_function(
        read_page, annotations=hints, meta={UPSTREAM_META: "crm", TRUST_META: "inside"}
    )
    alone = Tool.from_function(read_page, annotations=hints, meta={TRUST_META: "inside"})
    assert not is_outside(facts_of(as_it_is(theirs), "crm_read_page"))
    assert is_outside(facts_of(as_it_is(alone), "read_page"))
    assert (
        as_it_is(theirs).sha256 == as_it_is(theirs.model_copy(update={"meta": {UPSTREAM_META: "crm"}})).sha256
    )


def policy(tmp_path: Path, text: str) -> PolicyInForce:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return PolicyInForce(path, threshold=70)


def test_the_first_rule_that_gives_trust_holds(tmp_path: Path) -> None:
    """A special one stands above a general one, as with every key of which the first is taken."""
    said = policy(
        tmp_path,
        """
        [[rule]]
        tool = "crm_get_*"
        trust = "inside"
        [[rule]]
        tool = "crm_*"
        trust = "outside"
        """,
    )
    names = ("crm_get_page", "crm_find_page", "read_email")
    assert [said.trust_of(ToolFacts(name=name)) for name in names] == ["inside", "outside", None]


async def test_a_rule_that_only_marks_a_tool_changes_nothing_about_its_calls(tmp_path: Path) -> None:
    """Else the mark of a tool would take it out of the general rules."""
    question = Question(tool=ToolFacts(name="crm_get_page"), arguments={}, principal="agent")
    bare = 'unknown_tools = "general"\n[[rule]]\ntool = "other"\nscore = 1\n'
    marked = f'{bare}[[rule]]\ntool = "crm_get_page"\ntrust = "outside"\n'
    before, after = [await policy(tmp_path, text).rule(question) for text in (bare, marked)]
    assert before.model_copy(update={"policy_sha256": after.policy_sha256}) == after


def test_inside_holds_only_for_the_definition_that_a_rule_was_written_for(tmp_path: Path) -> None:
    """A tool that changed speaks for whom it spoke carefully; outside holds for every definition."""
    pinned = '[[rule]]\ntool = "read_mail"\nscore = 1\ndefinition = "sha256:{}"\ntrust = "{}"\n'
    here, there = ToolFacts(name="read_mail", definition_sha256="a" * 64), ToolFacts(name="read_mail")
    inside = policy(tmp_path, pinned.format("a" * 64, "inside"))
    assert (inside.trust_of(here), inside.trust_of(there)) == ("inside", None)
    outside = policy(tmp_path, pinned.format("a" * 64, "outside"))
    assert (outside.trust_of(here), outside.trust_of(there)) == ("outside", "outside")
