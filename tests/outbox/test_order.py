"""People and programs read what was done about a call in the order in which it was done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gateway_process import eventually
from outbox_of_test import Outbox, add_profile, let_age, outbox, without_courier
from receivers import Taken, ntfy, receiver
from store import approval, decisions, rejection

from atlas import ledger
from atlas.cases.endings import end_unknown
from atlas.cases.store import read_case, transition
from atlas.instants import now
from atlas.models import Case, Status
from atlas.outbox.notices import Kind, put
from atlas.outbox.tables import deliveries
from atlas.people.tables import profiles
from atlas.review_rules import ReviewRules

WITH_UNDO = ReviewRules(undo_seconds=600)


class Door:
    """Whether a receiver is there."""

    is_open = True

    def status(self, number: int) -> int:
        """What it answers."""
        return 200 if self.is_open else 503


@asynccontextmanager
async def one_asked(directory: Path, taken: Taken, **settings: Any) -> AsyncIterator[tuple[Outbox, Case]]:
    """A call that waits under a rule with `undo`, of which a receiver knows."""
    async with outbox(directory, **settings) as box:
        case = await box.waiting_case(review=WITH_UNDO)
        await taken.accepted(1)
        await box.until_all_are_done(1)
        yield box, case


async def decide(box: Outbox, case: Case, *votes: Any) -> None:
    """People decide, one after the other."""
    for vote in votes:
        await decisions(box.store, review=WITH_UNDO).record(case.case_id, vote)
    box.courier.wake()


async def approved_then_rejected(
    box: Outbox, case: Case, door: Door, taken: Taken
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a receiver reads that was down meanwhile, and had refused the approval a few times."""
    door.is_open = False
    await decide(box, case, approval("anna"))
    await taken.asked(4)
    await decide(box, case, rejection("bruno"))
    await taken.asked(5)
    door.is_open = True
    _, approved, rejected = await taken.accepted(3)
    return approved, rejected


async def test_an_approval_is_read_before_the_rejection_that_followed_it(tmp_path: Path) -> None:
    """In the order in which people decided."""
    door = Door()
    async with (
        ntfy(door.status) as chat,
        one_asked(tmp_path, chat, atlas_notify_urls=chat.url) as (box, case),
    ):
        approved, rejected = await approved_then_rejected(box, case, door, chat)
    assert "It was approved by anna." in approved["message"]
    assert approved["message"].endswith("The call was judged again after that.\n" + link_of(approved))
    assert "It was rejected by bruno." in rejected["message"]
    assert "judged again" not in rejected["message"]


def link_of(body: dict[str, Any]) -> str:
    """The last two lines of a message, which every notice of a case has."""
    return "\n".join(body["message"].split("\n")[-2:])


async def test_a_program_gets_each_decision_with_its_own_round_in_order(tmp_path: Path) -> None:
    """The approval was of the first round, and to reject began the second."""
    door = Door()
    async with (
        receiver(door.status) as hook,
        one_asked(tmp_path, hook, atlas_notify_url=hook.url) as (box, case),
    ):
        told = await approved_then_rejected(box, case, door, hook)
    assert [(one["decision"], one["round"]) for one in told] == [("APPROVED", 1), ("REJECTED", 2)]


async def test_a_stop_is_read_before_its_end(tmp_path: Path) -> None:
    """It is about no case."""
    door = Door()
    door.is_open = False
    stop = {"scope": "everything", "target": None, "stopped_by": "anna", "reason": "Wrong figures."}
    async with ntfy(door.status) as chat, outbox(tmp_path, atlas_notify_urls=chat.url) as box:
        for number, (kind, lifted_by) in enumerate(
            ((Kind.STOPPED, None), (Kind.STOP_LIFTED, "bruno")), start=1
        ):
            content = {"stop": stop | {"lifted_by": lifted_by, "lift_reason": "Right again."}}
            await box.store.database.write(lambda told, k=kind, c=content: put(told, k, content=c))
            box.courier.wake()
            await chat.asked(2 * number)
        door.is_open = True
        first, last = await chat.accepted(2)
    assert (first["title"], last["title"]) == ("Calls were stopped", "A stop was lifted")


async def test_what_waits_for_a_digest_keeps_nothing_back(tmp_path: Path) -> None:
    """An outcome that is not known comes at once, before the digest that has the decision."""
    async with ntfy() as chat, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", chat.url)
        case = await box.waiting_case()
        await chat.accepted(1)
        await box.until_all_are_done(1)
        await set_digest(box, "1d")
        await decisions(box.store).record(case.case_id, approval("ben"))

        def lose(connection: Any) -> Case:
            begun = transition(connection, read_case(connection, case.case_id), Status.EXECUTING)
            return end_unknown(connection, begun, "No answer came.")

        await box.store.change(case.case_id, lose)
        box.courier.wake()
        _, unknown = await chat.accepted(2)
        rows = await box.rows(case_id=case.case_id)
    assert unknown["title"] == "The outcome of a call is unknown: modify_record"
    assert sorted(row.sent_at is not None for row in rows) == [False, True, True]


async def set_digest(box: Outbox, digest: str) -> None:
    """Have people want one message in a while."""
    statement = profiles.update().values(digest=digest)
    await box.store.database.write(lambda connection: connection.execute(statement).rowcount)


async def test_a_notice_that_comes_late_says_when_it_was_done(tmp_path: Path) -> None:
    """And one that comes at once does not."""
    async with ntfy() as chat:
        async with one_asked(tmp_path, chat, atlas_notify_urls=chat.url):
            pass
        async with without_courier(tmp_path) as box:
            (row,) = await box.rows()
            case = await box.store.database.read(lambda connection: read_case(connection, row.case_id))
            await decide(box, case, approval("anna"))
            await let_age(box.store, timedelta(hours=30))
        async with outbox(tmp_path, atlas_notify_urls=chat.url) as box:
            _, late = await chat.accepted(2)
            await decide(box, case, rejection("bruno"))
            *_, at_once = await chat.accepted(3)
    done_at = now() - timedelta(hours=30)
    assert f"It was approved by anna.\nThat was at {done_at:%Y-%m-%d} " in late["message"]
    assert "That was at" not in at_once["message"]


async def test_a_decision_of_days_ago_is_tried_more_than_once(tmp_path: Path) -> None:
    """The gateway was down for four days, or a digest is as long; the receiver fails once."""
    async with receiver(lambda number: 500 if number == 2 else 204) as hook:
        async with one_asked(tmp_path, hook, atlas_notify_url=hook.url):
            pass
        async with without_courier(tmp_path, atlas_notify_url=hook.url) as box:
            (row,) = await box.rows()
            case = await box.store.database.read(lambda connection: read_case(connection, row.case_id))
            await decide(box, case, rejection("ben"))
            await let_age(box.store, timedelta(days=4))
        async with outbox(tmp_path, atlas_notify_url=hook.url) as box:
            _, told = await hook.accepted(2)
            rows = await box.until_all_are_done(2)
    assert told["decision"] == "REJECTED"
    assert all(row.sent_at and row.failing_since is None for row in rows)


async def test_a_decision_that_a_receiver_refuses_for_three_days_is_given_up(tmp_path: Path) -> None:
    """Since the first attempt that failed; the ledger says so."""
    door = Door()
    async with (
        receiver(door.status) as hook,
        one_asked(tmp_path, hook, atlas_notify_url=hook.url) as (box, case),
    ):
        door.is_open = False
        await decide(box, case, rejection("ben"))
        await hook.asked(2)
        since = deliveries.update().values(failing_since=now() - timedelta(days=4))
        await box.store.database.write(lambda connection: connection.execute(since).rowcount)
        await box.until_all_are_done(2)
        given_up = await box.store.database.read(
            lambda connection: ledger.find(connection, case.case_id, ledger.Action.NOTICE_GIVEN_UP)
        )
    assert given_up is not None and given_up[1]["error"] == "HTTP 503"


async def test_a_request_for_a_decision_does_not_wait_for_a_deed_that_is_refused(tmp_path: Path) -> None:
    """Else its review could be over before anyone is asked."""
    async with (
        receiver(lambda number: 204 if number == 1 else 400) as hook,
        outbox(tmp_path, atlas_notify_url=hook.url) as box,
    ):
        case = await box.waiting_case()
        await hook.accepted(1)
        for kind in (Kind.MENTIONED, Kind.ESCALATED):
            told = partial(put, kind=kind, case=case, to=["anna"], by="ben")
            await box.store.database.write(told)
        box.courier.wake()

        async def is_asked() -> bool:
            return "escalated" in {one["body"]["kind"] for one in hook.requests}

        await eventually(is_asked)
