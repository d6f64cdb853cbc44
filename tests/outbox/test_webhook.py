"""Notices at ATLAS_NOTIFY_URL: signed as Standard Webhooks, sent until they arrive, never with arguments."""

import json
from pathlib import Path

import pytest
from gateway_process import eventually
from outbox_of_test import GATEWAY_URL, outbox
from receivers import SECRET, receiver
from sqlalchemy.engine import Connection
from standardwebhooks import Webhook, WebhookVerificationError
from store import decisions, open_case, rejection, tool_call

from atlas import ledger
from atlas.cases.endings import end_unknown
from atlas.cases.store import read_case, transition
from atlas.models import Case, Status
from atlas.outbox.troubles import Trouble, troubles
from atlas.review_rules import ReviewRules


async def test_a_notice_is_signed_and_names_the_case_without_its_arguments(tmp_path: Path) -> None:
    """The library of Standard Webhooks takes it, and takes no other body for it."""
    async with receiver() as taken:
        keys = {"atlas_notify_url": taken.url, "atlas_notify_secret": SECRET}
        async with outbox(tmp_path, **keys) as box:
            case = await box.waiting_case()
            body = (await taken.accepted(1))[0]
            request = taken.requests[0]
    assert Webhook(SECRET).verify(request["raw"], request["headers"]) == body
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request["raw"] + b" ", request["headers"])
    assert (body["kind"], body["event_id"], body["round"]) == ("review_requested", case.case_id, 1)
    assert (body["tool_name"], body["principal"], body["risk_score"]) == ("modify_record", "agent", 80)
    assert body["link"] == f"{GATEWAY_URL}/desk/cases/{case.case_id}"
    assert "of a person" not in json.dumps(body)


async def test_without_a_secret_it_has_an_id_and_no_signature(tmp_path: Path) -> None:
    """The id is the delivery's, so that a receiver knows a copy."""
    async with receiver() as taken, outbox(tmp_path, atlas_notify_url=taken.url) as box:
        await box.waiting_case()
        await taken.accepted(1)
        (row,) = await box.until_all_are_done(1)
    headers = taken.requests[0]["headers"]
    assert headers["webhook-id"] == row.delivery_id and "webhook-signature" not in headers


async def test_a_notice_is_sent_again_with_the_same_id_until_it_is_taken(tmp_path: Path) -> None:
    """500, then 429, then 204; the store counts three attempts and keeps no error."""
    answers = {1: 500, 2: 429}
    async with (
        receiver(lambda number: answers.get(number, 204)) as taken,
        outbox(tmp_path, atlas_notify_url=taken.url) as box,
    ):
        await box.waiting_case()
        await taken.accepted(1)
        (row,) = await box.until_all_are_done(1)
    assert [one["status"] for one in taken.requests] == [500, 429, 204]
    assert len({one["headers"]["webhook-id"] for one in taken.requests}) == 1
    assert (row.attempts, row.last_error) == (3, None)


@pytest.mark.parametrize("status", [404, 410])
async def test_an_address_that_is_gone_is_given_up_with_an_entry_in_the_ledger(
    tmp_path: Path, status: int
) -> None:
    """One attempt, and the entry names the channel and no URL."""
    async with (
        receiver(lambda number: status) as taken,
        outbox(tmp_path, atlas_notify_url=taken.url + "?token=secret-path") as lost,
    ):
        case = await lost.waiting_case()
        (row,) = await lost.until_all_are_done(1)
        given_up = await lost.store.database.read(
            lambda connection: ledger.find(connection, case.case_id, ledger.Action.NOTICE_GIVEN_UP)
        )
    assert [one["status"] for one in taken.requests] == [status]
    assert given_up is not None and given_up[1]["channel"] == "webhook" and row.sent_at is None
    assert "secret-path" not in json.dumps(given_up[1]) and "127.0.0.1" not in json.dumps(given_up[1])


async def test_what_is_decided_before_it_could_be_sent_is_closed_and_its_end_is_told(tmp_path: Path) -> None:
    """No notice asks for a decision on a case that is decided; the receiver hears how it ended."""
    async with (
        receiver(lambda number: 503 if number < 3 else 204) as taken,
        outbox(tmp_path, atlas_notify_url=taken.url) as box,
    ):
        case = await box.waiting_case()
        await taken.asked(1)
        await decisions(box.store).record(case.case_id, rejection("ben"))
        await taken.accepted(1)
        rows = await box.until_all_are_done(2)
    (body,) = taken.bodies
    assert (body["kind"], body["decision"], body["by"]) == ("decided", "REJECTED", "ben")
    assert sorted(row.sent_at is not None for row in rows) == [False, True]


async def test_what_was_not_sent_goes_out_after_a_restart(tmp_path: Path) -> None:
    """The first courier only meets a receiver that is down."""
    async with receiver(lambda number: 500) as down, outbox(tmp_path, atlas_notify_url=down.url) as box:
        case = await box.waiting_case()
        await down.asked(1)
    async with receiver() as up, outbox(tmp_path, atlas_notify_url=up.url):
        (body,) = await up.accepted(1)
    assert body["event_id"] == case.case_id
    first, again = down.requests[0]["headers"]["webhook-id"], up.requests[0]["headers"]["webhook-id"]
    assert first == again


async def test_the_score_is_left_out_where_a_rule_hides_it(tmp_path: Path) -> None:
    """A person who chooses first must not read it in the notice."""
    async with receiver() as taken, outbox(tmp_path, atlas_notify_url=taken.url) as box:
        await box.waiting_case(score=83, review=ReviewRules(hides_score=True))
        (body,) = await taken.accepted(1)
    assert body["risk_score"] is None


async def test_an_unknown_outcome_is_told(tmp_path: Path) -> None:
    """A person has to find out what a tool did."""
    async with receiver() as taken, outbox(tmp_path, atlas_notify_url=taken.url) as box:
        case = await open_case(box.store, tool_call("pay"))

        def end(connection: Connection) -> Case:
            begun = read_case(connection, case.case_id)
            for status in (Status.AUTHORIZED, Status.EXECUTING):
                begun = transition(connection, begun, status)
            return end_unknown(connection, begun, "No answer came.")

        await box.store.change(case.case_id, end)
        (body,) = await taken.accepted(1)
    assert (body["kind"], body["event_id"]) == ("outcome_unknown", case.case_id)


async def test_what_cannot_be_sent_is_said_with_its_channel_and_error_and_without_its_address(
    tmp_path: Path,
) -> None:
    """While it is late, and for a day after it was given up; what was sent is no trouble."""
    answers = {1: 500, 2: 410}
    async with (
        receiver(lambda number: answers.get(number, 204)) as taken,
        outbox(tmp_path, atlas_notify_url=taken.url + "?token=secret-path") as box,
    ):
        await box.waiting_case()

        async def late() -> tuple[Trouble, ...]:
            return await box.store.database.read(troubles)

        (trouble,) = await eventually(late)
        assert (trouble.late, trouble.given_up, trouble.last_error) in (
            (1, 0, "HTTP 500"),
            (0, 1, "HTTP 410"),
        )
        await box.until_all_are_done(1)
        (trouble,) = await late()
        await box.waiting_case()
        await taken.accepted(1)
        await box.until_all_are_done(2)
        assert await late() == (trouble,)
    assert (trouble.late, trouble.given_up, trouble.last_error) == (0, 1, "HTTP 410")
    assert "secret-path" not in repr(trouble)
