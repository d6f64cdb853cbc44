"""Messages in a chat lose their buttons by time, by a new round, and after a restart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_process import eventually
from outbox_of_test import GATEWAY_URL, Outbox, add_profile, outbox
from slack import CHANNEL, Slack, keys_and_settings_of, slack, text_of
from sqlalchemy.engine import Connection
from store import approval, decisions, rejection

from atlas import ledger
from atlas.cases.endings import end_case, end_uncalled, end_unknown
from atlas.cases.store import read_case, transition
from atlas.grounds.reopening import reopen, send_back
from atlas.instants import now
from atlas.models import Case, Status
from atlas.outbox.channels.slack import SLACK_APP
from atlas.outbox.notices import Kind, put
from atlas.outbox.tables import deliveries
from atlas.review_rules import ReviewRules


@asynccontextmanager
async def chat(directory: Path, here: Slack) -> AsyncIterator[Outbox]:
    """An outbox that rewrites too."""
    async with outbox(directory, **keys_and_settings_of(here)) as box:
        rewriter = box.courier.rewriter
        assert rewriter is not None
        running = asyncio.create_task(rewriter.run())
        try:
            yield box
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def test_a_call_whose_time_is_over_has_no_buttons(tmp_path: Path) -> None:
    """No person decided."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, "waits for your decision", live=True)

        def expire(connection: Connection) -> Case:
            return end_case(connection, case, Status.EXPIRED, ledger.Action.EXPIRED, detail={})

        await box.store.change(case.case_id, expire)
        await here.shown(case.case_id, "The time to decide is over", live=False)


async def test_a_message_of_an_earlier_round_says_that_another_one_counts(tmp_path: Path) -> None:
    """The newer one has the buttons."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        first = await here.shown(case.case_id, "waits for your decision", live=True)

        def again(connection: Connection) -> Case:
            assert case.assessment is not None
            return send_back(
                connection, case, case.assessment, timedelta(hours=2), reason="The tool changed."
            )

        await box.store.change(case.case_id, again)
        box.courier.wake()
        newer = await here.shown(case.case_id, "was judged again, and waits for your decision", live=True)
        assert newer != first

        async def is_rewritten() -> bool:
            return "What counts is the newer message" in str(here.of_case(case.case_id)[0])

        await eventually(is_rewritten)


async def test_what_was_decided_while_it_was_down_is_rewritten_after_the_start(
    tmp_path: Path,
) -> None:
    """The store has what it takes, and not the process."""
    async with slack() as here:
        async with outbox(tmp_path, **keys_and_settings_of(here)) as box:
            case = await box.waiting_case()
            await here.shown(case.case_id, live=True)
            await box.until_all_are_done(1)
            await decisions(box.store).record(case.case_id, rejection("ben"))
        assert here.of_case(case.case_id)[0]["blocks"][-1]["type"] == "actions"
        async with chat(tmp_path, here) as box:
            await here.shown(case.case_id, "It was rejected by ben.", live=False)
            rows = await box.rows(channel=SLACK_APP)
    assert [row.case_id for row in rows] == [case.case_id]


async def test_a_message_that_is_gone_is_let_go(tmp_path: Path) -> None:
    """A person deleted it."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, live=True)
        await box.until_all_are_done(1)
        here.messages.clear()
        await decisions(box.store).record(case.case_id, rejection("ben"))

        async def is_let_go() -> bool:
            return all(row.receipt is None for row in await box.rows(channel=SLACK_APP))

        await eventually(is_let_go)
    assert [method for method, _ in here.asked].count("chat.update") == 1


async def test_a_person_is_told_in_a_conversation_of_their_own(tmp_path: Path) -> None:
    """By `slack-app:ID` in the profile, beside the channel of the house."""
    async with slack() as here, chat(tmp_path, here) as box:
        await add_profile(box.store, "anna", "slack-app:U024BE7LH")
        case = await box.waiting_case()
        await box.until_all_are_done(2)
        assert {one["channel"] for one in here.of_case(case.case_id)} == {CHANNEL, "U024BE7LH"}
        link = f"{GATEWAY_URL}/desk/cases/{case.case_id}"
        assert all(link in str(one) for one in here.of_case(case.case_id))


async def test_a_message_that_was_on_its_way_while_a_person_decided_is_rewritten(tmp_path: Path) -> None:
    """Slack has it, and the gateway does not know yet by what to find it."""
    async with slack() as here, chat(tmp_path, here) as box:
        here.answers.clear()
        case = await box.waiting_case()
        await here.shown(case.case_id, "waits for your decision", live=True)
        await decisions(box.store).record(case.case_id, rejection("ben"))
        here.answers.set()
        await here.shown(case.case_id, "It was rejected by ben.", live=False)


WITH_UNDO = ReviewRules(undo_seconds=600)


async def test_what_is_rejected_after_an_approval_is_said_at_last(tmp_path: Path) -> None:
    """A rule has `undo`: the message said that it was approved, and the call has not begun."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case(review=WITH_UNDO)
        await here.shown(case.case_id, live=True)
        await decisions(box.store, review=WITH_UNDO).record(case.case_id, approval("anna"))
        await here.shown(case.case_id, "It was approved by anna.", live=False)
        await decisions(box.store, review=WITH_UNDO).record(case.case_id, rejection("bruno"))
        await here.shown(case.case_id, "It was rejected by bruno.", live=False)


async def test_what_is_rejected_before_an_approval_could_be_said_names_no_newer_message(
    tmp_path: Path,
) -> None:
    """To reject began another round, in which no one was asked."""
    async with slack() as here:
        async with outbox(tmp_path, **keys_and_settings_of(here)) as box:
            case = await box.waiting_case(review=WITH_UNDO)
            await box.until_all_are_done(1)
            for vote in (approval("anna"), rejection("bruno")):
                await decisions(box.store, review=WITH_UNDO).record(case.case_id, vote)
        async with chat(tmp_path, here):
            await here.shown(case.case_id, "It was rejected by bruno.", live=False)


def fail(connection: Connection, case: Case) -> Case:
    """The gateway could not call the tool."""
    return end_uncalled(connection, case, "The server is not there.")


def begin(connection: Connection, case: Case) -> Case:
    """The tool was called, and its answer was lost."""
    return end_unknown(connection, transition(connection, case, Status.EXECUTING), "No answer came.")


def refuse(connection: Connection, case: Case) -> Case:
    """Another policy denies it."""
    assert case.assessment is not None
    again = reopen(connection, case, case.assessment, reason="The policy changed.")
    return end_case(connection, again, Status.DENIED, ledger.Action.DENIED, detail={})


def expire_again(connection: Connection, case: Case) -> Case:
    """It was judged again, and no person decided in time."""
    assert case.assessment is not None
    again = send_back(connection, case, case.assessment, timedelta(hours=1), reason="The tool changed.")
    return end_case(connection, again, Status.EXPIRED, ledger.Action.EXPIRED, detail={})


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (fail, "It was approved by anna. The gateway could not call the tool."),
        (begin, "It was approved by anna. The tool was called, and its answer is not known."),
        (refuse, "The policy refuses it. The tool was not called."),
        (expire_again, "The time to decide is over. The tool was not called."),
    ],
)
async def test_a_message_ends_with_what_became_of_an_approved_call(
    tmp_path: Path, then: Callable[[Connection, Case], Case], words: str
) -> None:
    """And it is then let go."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, live=True)
        await decisions(box.store).record(case.case_id, approval("anna"))
        await here.shown(case.case_id, "It was approved by anna.", live=False)
        await box.store.change(case.case_id, lambda told: then(told, read_case(told, case.case_id)))

        async def is_said() -> bool:
            return words in text_of(here.of_case(case.case_id)[0])

        await eventually(is_said)

        async def is_let_go() -> bool:
            return all(row.receipt is None for row in await box.rows(channel=SLACK_APP, case_id=case.case_id))

        await eventually(is_let_go)


async def test_a_call_that_begins_and_ends_well_is_told_to_slack_once(tmp_path: Path) -> None:
    """Its message says the same of both."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, live=True)
        await decisions(box.store).record(case.case_id, approval("anna"))
        await here.shown(case.case_id, "It was approved by anna.", live=False)

        def execute(connection: Connection) -> Case:
            begun = transition(connection, read_case(connection, case.case_id), Status.EXECUTING)
            return end_case(connection, begun, Status.EXECUTED, ledger.Action.EXECUTED, detail={})

        await box.store.change(case.case_id, execute)

        async def is_let_go() -> bool:
            return all(row.receipt is None for row in await box.rows(channel=SLACK_APP))

        await eventually(is_let_go)
    assert [method for method, _ in here.asked].count("chat.update") == 1


async def test_a_message_of_days_ago_is_rewritten_until_slack_takes_it(tmp_path: Path) -> None:
    """For three days since the first attempt that failed, and not since the message was sent."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, live=True)
        await box.until_all_are_done(1)
        await set_all(box, sent_at=now() - timedelta(days=4))
        here.fails += ["ratelimited", "internal_error"]
        await decisions(box.store).record(case.case_id, rejection("ben"))
        await here.shown(case.case_id, "It was rejected by ben.", live=False)


async def test_a_rewrite_that_has_failed_for_three_days_is_let_go(tmp_path: Path) -> None:
    """Slack does not take it any more."""
    async with slack() as here, chat(tmp_path, here) as box:
        case = await box.waiting_case()
        await here.shown(case.case_id, live=True)
        await box.until_all_are_done(1)
        await set_all(box, failing_since=now() - timedelta(days=4))
        here.fails += ["internal_error"]
        await decisions(box.store).record(case.case_id, rejection("ben"))

        async def is_let_go() -> bool:
            return all(row.receipt is None for row in await box.rows(channel=SLACK_APP))

        await eventually(is_let_go)
    assert [method for method, _ in here.asked].count("chat.update") == 1


async def set_all(box: Outbox, **values: Any) -> None:
    """Change all deliveries by hand."""
    await box.store.database.write(
        lambda connection: connection.execute(deliveries.update().values(values)).rowcount
    )


async def test_a_message_whose_answer_was_lost_is_posted_once(tmp_path: Path) -> None:
    """The gateway ended before Slack answered; the next attempt has the same id of its client."""
    async with slack() as here:
        here.answers.clear()
        async with outbox(tmp_path, **keys_and_settings_of(here)) as box:
            case = await box.waiting_case()
            await here.shown(case.case_id, "waits for your decision", live=True)
        here.answers.set()
        async with chat(tmp_path, here) as box:
            await box.until_all_are_done(1)
            await decisions(box.store).record(case.case_id, rejection("ben"))
            await here.shown(case.case_id, "It was rejected by ben.", live=False)
    assert [method for method, _ in here.asked].count("chat.postMessage") == 2
    assert len(here.of_case(case.case_id)) == 1


async def test_a_text_that_slack_cuts_ends_with_a_whole_word_and_says_so(tmp_path: Path) -> None:
    """As of a stop, whose reason may have very many words."""
    stop = {"scope": "everything", "target": None, "stopped_by": "anna", "reason": "wrong figures " * 300}
    content = {"stop": stop | {"lifted_by": None}}
    async with slack() as here, chat(tmp_path, here) as box:
        await box.store.database.write(lambda told: put(told, Kind.STOPPED, content=content))
        box.courier.wake()
        await box.until_all_are_done(1)
    (message,) = here.messages.values()
    assert len(text_of(message)) < 3000
    assert text_of(message).endswith(
        ("wrong … The rest is at the desk.", "figures … The rest is at the desk.")
    )
