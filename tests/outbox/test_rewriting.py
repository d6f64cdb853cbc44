"""Messages in a chat lose their buttons by time, by a new round, and after a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway_process import eventually
from outbox_of_test import GATEWAY_URL, Outbox, add_profile, outbox
from slack import CHANNEL, Slack, settings_of, slack
from sqlalchemy.engine import Connection
from store import decisions, rejection

from atlas import ledger
from atlas.cases.endings import end_case
from atlas.grounds.reopening import send_back
from atlas.models import Case, Status
from atlas.outbox.channels.slack import SLACK_APP


def settings(here: Slack) -> dict[str, Any]:
    """Those of Slack, and the keys without which people of a system could not be told from agents."""
    keys = {"atlas_agent_key": "agent-key-of-the-tests", "atlas_reviewer_key": "reviewer-key-of-the-tests"}
    return keys | {name.lower(): value for name, value in settings_of(here).items()}


@asynccontextmanager
async def chat(directory: Path, here: Slack) -> AsyncIterator[Outbox]:
    """An outbox that rewrites too."""
    async with outbox(directory, **settings(here)) as box:
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
        async with outbox(tmp_path, **settings(here)) as box:
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
