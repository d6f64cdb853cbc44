"""Who is told of a call, by which ways and when: by real mail, and a server that speaks as ntfy."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from gateway_process import eventually
from outbox_of_test import GATEWAY_URL, Outbox, add_profile, outbox, waiting_case
from receivers import mail_server, ntfy, receiver, subject_of, words_of
from shifted_clock import ShiftedDatetime, set_clock
from store import approval, decisions, open_store

import atlas.instants
from atlas import ledger
from atlas.errors import PersonRefused
from atlas.instants import moment
from atlas.outbox import letters, times
from atlas.outbox.addresses import Way
from atlas.outbox.notices import Kind, put
from atlas.outbox.recipients import Notice
from atlas.outbox.tables import notices
from atlas.people.records.delegations import delegate
from atlas.people.records.keeping import change
from atlas.people.records.profiles import Profile
from atlas.people.tables import profiles


@pytest.fixture(autouse=True)
def mail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test but one about the order waits fifteen seconds for a mail."""
    monkeypatch.setattr(times, "MAIL_AFTER", timedelta(0))


async def test_a_mail_names_the_call_without_its_arguments_and_links_to_the_desk(tmp_path: Path) -> None:
    """Reference, tool, agent, score, time left; the mail says that to open the link decides nothing."""
    async with mail_server() as mailbox:
        url = f"mailto://127.0.0.1:{mailbox.port}?from=atlas@example.com&to=desk@example.com"
        async with outbox(tmp_path, atlas_notify_urls=url) as box:
            case = await box.waiting_case(score=83)
            ((recipients, mail),) = await mailbox.got(1)
            await box.until_all_are_done(1)
    said = words_of(mail)
    assert recipients == ["desk@example.com"]
    assert subject_of(mail) == "A call waits for your decision: modify_record"
    for part in (case.case_id, "Agent: agent", "Risk score: 83", "Time left: 1 h 59 min, until "):
        assert part in said
    assert f"{GATEWAY_URL}/desk/cases/{case.case_id}" in said and "To open it decides nothing." in said
    assert "of a person" not in said


async def test_only_those_are_told_who_may_decide(tmp_path: Path) -> None:
    """Not who is no reviewer of the rule, not the owner of the agent, not who has left: each has a way."""
    async with AsyncExitStack() as stack:
        mailbox = await stack.enter_async_context(mail_server())
        settings = {
            "atlas_notify_channels": f"mail=mailto://127.0.0.1:{mailbox.port}?from=a@example.com&to={{address}}",
            "atlas_agent_key": "agent:agent-key-of-the-tests",
            "atlas_reviewer_key": "reviewer-key-of-the-tests",
            "atlas_agent_owners": "agent:olga",
        }
        box = await stack.enter_async_context(outbox(tmp_path, **settings))
        await add_profile(box.store, "anna", "mail:anna@example.com", groups=["seniors"])
        await add_profile(box.store, "ben", "mail:ben@example.com")
        await add_profile(box.store, "carl", "mail:carl@example.com")
        await add_profile(box.store, "olga", "mail:olga@example.com", groups=["seniors"])
        left = datetime(2026, 1, 1, tzinfo=timezone.utc)
        await add_profile(box.store, "fred", "mail:fred@example.com", groups=["seniors"], ended_at=left)
        await box.waiting_case(reviewers=("group:seniors", "ben"))
        rows = await box.until_all_are_done(2)
        mails = await mailbox.got(2)
    assert {row.person for row in rows} == {"anna", "ben"}
    assert {to for recipients, _ in mails for to in recipients} == {"anna@example.com", "ben@example.com"}


async def test_those_who_were_asked_hear_the_end_but_not_the_one_who_decided(tmp_path: Path) -> None:
    """By the way by which they were asked."""
    async with ntfy() as of_anna, ntfy() as of_ben, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", of_anna.url)
        await add_profile(box.store, "ben", of_ben.url)
        case = await box.waiting_case()
        await box.until_all_are_done(2)
        await decisions(box.store).record(case.case_id, approval("ben"))
        rows = await box.until_all_are_done(3)
    assert len(rows) == 3 and len(of_ben.bodies) == 1
    asked, told = of_anna.bodies
    assert asked["title"] == "A call waits for your decision: modify_record"
    assert told["title"] == "A call was decided: modify_record" and "approved by ben" in told["message"]


async def test_a_notice_to_a_name_goes_to_that_person_alone(tmp_path: Path) -> None:
    """The house's own addresses do not get it; the person who caused it does not either."""
    async with (
        ntfy() as house,
        ntfy() as of_anna,
        ntfy() as of_ben,
        outbox(tmp_path, atlas_notify_urls=house.url) as box,
    ):
        await add_profile(box.store, "anna", of_anna.url)
        await add_profile(box.store, "ben", of_ben.url)
        case = await box.waiting_case()
        await box.until_all_are_done(3)
        to = ["anna", "ben"]
        await box.store.database.write(
            lambda connection: put(connection, Kind.MENTIONED, case=case, to=to, by="ben")
        )
        await box.until_all_are_done(4)
    assert [len(one.bodies) for one in (house, of_anna, of_ben)] == [1, 2, 1]
    assert of_anna.bodies[1]["title"] == "You were named in a comment: modify_record"


@pytest.mark.parametrize("kind", [Kind.MENTIONED, Kind.ASSIGNED, Kind.ANSWERED])
async def test_who_is_named_is_told_where_the_policy_lets_others_decide(tmp_path: Path, kind: Kind) -> None:
    """Right: dora, who is in no group of the rule, gets one message. Wrong: the desk says that she is told.

    The owner of the agent gets none, nor does a person who has left or the one who caused it.
    """
    settings = {
        "atlas_agent_key": "agent:agent-key-of-the-tests",
        "atlas_reviewer_key": "reviewer-key-of-the-tests",
        "atlas_agent_owners": "agent:olga",
    }
    async with ntfy() as taken, outbox(tmp_path, **settings) as box:
        left = datetime(2026, 1, 1, tzinfo=timezone.utc)
        for name, ended_at in (("dora", None), ("olga", None), ("fred", left), ("ben", None)):
            await add_profile(box.store, name, taken.url, ended_at=ended_at)
        case = await box.waiting_case(reviewers=("group:seniors",))
        told = partial(put, kind=kind, case=case, to=["dora", "olga", "fred", "ben"], by="ben")
        await box.store.database.write(told)
        box.courier.wake()
        (body,) = await taken.accepted(1)
        (row,) = await box.until_all_are_done(1)
    assert row.person == "dora" and case.case_id in body["message"]


async def delegated(box: Outbox, *, by: str) -> datetime:
    """Until when ben decides for anna, of whom each has a mailbox."""
    for name in ("anna", "ben", "carol"):
        await add_profile(box.store, name, f"mail:{name}@example.com", groups=["seniors"])
    end = atlas.instants.now() + timedelta(days=3)
    work = partial(delegate, from_person="anna", to_person="ben", actor=by, ends_at=end, group_name="seniors")
    await box.store.database.write(work)
    box.courier.wake()
    return end


@pytest.mark.parametrize(("by", "told"), [("carol", {"anna", "ben"}), ("anna", {"ben"})])
async def test_a_delegation_is_told_to_both_with_all_that_it_says(
    tmp_path: Path, by: str, told: set[str]
) -> None:
    """Right: both read who decides for whom, for what and how long; who made it knows.

    Wrong: ben reads that “a person” lets him decide, and anna does not hear what carol did.
    """
    async with mail_server() as mailbox:
        channel = f"mail=mailto://127.0.0.1:{mailbox.port}?from=a@example.com&to={{address}}"
        async with outbox(tmp_path, atlas_notify_channels=channel) as box:
            end = await delegated(box, by=by)
            mails = await mailbox.got(len(told))
            await box.until_all_are_done(len(told))
    assert {to for recipients, _ in mails for to in recipients} == {f"{name}@example.com" for name in told}
    for _, mail in mails:
        said = words_of(mail)
        for part in ("ben decides for anna.", "the group seniors", f"Until: {moment(end)}", f"By: {by}"):
            assert part in said


async def test_a_slow_receiver_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """More calls wait than go to one at once; the other one has them all before the first answers."""
    async with (
        receiver(is_silent=True) as slow,
        ntfy() as quick,
        outbox(tmp_path, atlas_notify_url=slow.url, atlas_notify_urls=quick.url) as box,
    ):
        for _ in range(10):
            await box.waiting_case()
        await quick.accepted(10)
        open_at_slow = [row for row in await box.rows(channel="webhook") if row.sent_at is None]
        assert len(open_at_slow) == 10
        slow.gate.set()
        await box.until_all_are_done(20)
    assert len({one["headers"]["webhook-id"] for one in slow.requests}) == 10


async def test_an_address_that_left_the_settings_is_given_up(tmp_path: Path) -> None:
    """With an entry in the ledger; what is sent again goes to no address that was taken out."""
    async with ntfy(lambda number: 500) as down:
        async with outbox(tmp_path, atlas_notify_urls=down.url) as box:
            case = await box.waiting_case()
            await down.asked(1)
        asked = len(down.requests)
        async with outbox(tmp_path) as box:
            await box.until_all_are_done(1)
            given_up = await box.store.database.read(
                lambda connection: ledger.find(connection, case.case_id, ledger.Action.NOTICE_GIVEN_UP)
            )
    assert given_up is not None and "do not have it any more" in given_up[1]["error"]
    assert len(down.requests) == asked


async def test_what_a_receiver_says_is_kept_without_its_address(tmp_path: Path) -> None:
    """A URL of Apprise may hold a password."""
    async with ntfy(lambda number: 500) as down:
        url = down.url.replace("ntfy://", "ntfy://user:secret-word@")
        async with outbox(tmp_path, atlas_notify_urls=url) as box:
            await box.waiting_case()
            await down.asked(2)
            (row,) = await box.rows()
    assert row.last_error == "HTTP 500"
    assert "secret-word" not in repr(row) and "127.0.0.1" not in repr(row)


def profile(**fields: str) -> Profile:
    """A person who wants to be told in such a way."""
    return Profile(name="anna", **fields)


PUSH = Way("ntfys", "a", "ntfys://example.com/topic", "anna")
MAIL = Way("mail", "b", "mailtos://example.com?to=anna@example.com", "anna")
AT = datetime(2026, 11, 23, 22, 30, tzinfo=timezone.utc)  # a Monday


@pytest.mark.parametrize(
    ("kind", "way", "person", "due"),
    [
        (Kind.REVIEW_REQUESTED, PUSH, profile(), AT),
        (Kind.DECIDED, MAIL, profile(), AT),
        (Kind.REVIEW_REQUESTED, PUSH, profile(digest="1h"), AT + timedelta(minutes=30)),
        (Kind.REVIEW_REQUESTED, PUSH, profile(digest="15m"), AT + timedelta(minutes=15)),
        (Kind.REMINDED, PUSH, profile(digest="1h"), AT),  # it cannot wait
        (Kind.REVIEW_REQUESTED, PUSH, profile(digest="sometimes"), AT),
        (Kind.REVIEW_REQUESTED, PUSH, profile(quiet_hours="22:00-07:00"), AT + timedelta(hours=8.5)),
        (
            Kind.ESCALATED,  # an hour earlier there
            PUSH,
            profile(
                quiet_hours="mon-fri 18:00-08:00, sat 00:00-24:00, sun 00:00-24:00", zone="Europe/Berlin"
            ),
            AT + timedelta(hours=8.5),
        ),
        (Kind.REVIEW_REQUESTED, PUSH, profile(quiet_hours="00:00-24:00"), AT),  # never is no time
        (Kind.REVIEW_REQUESTED, PUSH, profile(quiet_hours="at night"), AT),
    ],
)
def test_when_a_notice_is_due(kind: Kind, way: Way, person: Profile, due: datetime) -> None:
    """At once, with the digest, or after the quiet hours of the person's zone."""
    assert times.due_at(kind, way, person, made_at=AT) == due


def test_a_mail_that_asks_comes_fifteen_seconds_after_a_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is decided sooner costs no mail."""
    monkeypatch.undo()
    assert times.due_at(Kind.REVIEW_REQUESTED, MAIL, None, made_at=AT) == AT + timedelta(seconds=15)
    assert times.due_at(Kind.REVIEW_REQUESTED, PUSH, None, made_at=AT) == AT


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the clock of this process to so many minutes after a full hour."""
    path = tmp_path / "clock"
    monkeypatch.setenv("ATLAS_TEST_CLOCK", str(path))
    monkeypatch.setattr(atlas.instants, "datetime", ShiftedDatetime)
    started = datetime.now(timezone.utc)
    to_the_hour = (started.replace(minute=0, second=0, microsecond=0) - started).total_seconds()

    def set_to(*, minutes: int) -> None:
        set_clock(path, seconds=to_the_hour + 60 * minutes)

    set_to(minutes=0)
    return set_to


async def test_a_digest_is_one_message_of_all_that_still_waits(
    tmp_path: Path, clock: Callable[..., None]
) -> None:
    """Three calls wait; one is decided before the hour is full: the one message has the other two."""
    clock(minutes=10)
    async with ntfy() as taken, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", taken.url, digest="1h")
        cases = [await box.waiting_case(tool=f"tool_{number}") for number in range(3)]
        await eventually(lambda: has_rows(box, 3))
        await decisions(box.store).record(cases[0].case_id, approval("ben"))
        assert taken.requests == []
        clock(minutes=61)
        await box.until_all_are_done(3)
    (body,) = taken.bodies
    assert body["title"] == "2 notices of calls" and cases[0].case_id not in body["message"]
    assert cases[1].case_id in body["message"] and cases[2].case_id in body["message"]


async def test_a_url_that_is_none_keeps_no_notice_from_others(tmp_path: Path) -> None:
    """A person whose profile has half of an address is not told; the others are."""
    async with ntfy() as of_ben, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", "ntfy://[::1/topic", "ntfys://[x")
        await add_profile(box.store, "ben", of_ben.url)
        case = await box.waiting_case()
        (body,) = await of_ben.accepted(1)
        with pytest.raises(PersonRefused, match="one of the URLs is none"):
            await box.store.database.write(
                lambda connection: change(connection, "ben", {"channels": ["ntfy://[::1"]}, actor="operator")
            )
    assert case.case_id in body["message"]


async def test_in_quiet_hours_nothing_comes_and_what_still_waits_comes_after_them(
    tmp_path: Path, clock: Callable[..., None]
) -> None:
    """The person of the desk without quiet hours gets it at once."""
    clock(minutes=10)
    hour = atlas.instants.now().hour
    quiet = f"{hour:02}:00-{(hour + 1) % 24:02}:00"
    async with ntfy() as of_anna, ntfy() as of_ben, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", of_anna.url, quiet_hours=quiet)
        await add_profile(box.store, "ben", of_ben.url)
        case = await box.waiting_case()
        await of_ben.accepted(1)
        assert of_anna.requests == []
        clock(minutes=61)
        (body,) = await of_anna.accepted(1)
    assert case.case_id in body["message"]


async def test_a_retry_and_a_late_start_keep_the_quiet_hours(
    tmp_path: Path, clock: Callable[..., None]
) -> None:
    """The server was down when the call came. It is there again in the quiet hours, and gets it later."""
    clock(minutes=10)
    hour = (atlas.instants.now().hour + 1) % 24
    quiet = f"{hour:02}:00-{(hour + 1) % 24:02}:00"
    down = [True]
    async with ntfy(lambda number: 500 if down[0] else 200) as of_anna, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", of_anna.url, quiet_hours=quiet)
        case = await box.waiting_case()
        await of_anna.asked(1)
        clock(minutes=70)
        (row,) = await eventually(partial(waits_until_after, box, minutes=100))
        down[0] = False
        asked = len(of_anna.requests)
        clock(minutes=119)
        box.courier.wake()
        assert row.attempts == asked and len(of_anna.requests) == asked
        clock(minutes=121)
        (body,) = await of_anna.accepted(1)
    assert case.case_id in body["message"]


async def test_a_notice_that_cannot_be_written_is_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again with pauses, and others are sent meanwhile."""
    written = letters.text_of

    def faulty(notice: Notice, *rest: Any, **named: Any) -> str:
        if notice.case_id == broken[0]:
            raise KeyError("a fault of ours")
        return written(notice, *rest, **named)

    monkeypatch.setattr(letters, "text_of", faulty)
    async with open_store(tmp_path) as store:
        broken = [(await waiting_case(store)).case_id]
    async with ntfy() as taken, outbox(tmp_path, atlas_notify_urls=taken.url) as box:
        whole = await box.waiting_case()
        (body,) = await taken.accepted(1)
        (row,) = await eventually(lambda: tried_twice(box, broken[0]))
    assert whole.case_id in body["message"] and row.sent_at is None
    assert row.last_error.startswith("a fault of the gateway: KeyError in test_people.py:")


async def tried_twice(box: Outbox, case_id: str) -> list[Any]:
    """The deliveries of a case, once two attempts have failed."""
    return [row for row in await box.rows(case_id=case_id) if row.attempts >= 2]


async def waits_until_after(box: Outbox, *, minutes: int) -> list[Any]:
    """The deliveries, if all of them are due so much later than the call came."""
    end = atlas.instants.now() - timedelta(minutes=70) + timedelta(minutes=minutes)
    rows = await box.rows()
    return rows if all(row.next_at > end for row in rows) else []


@pytest.mark.parametrize("change_of", ["ended", "left the group"])
async def test_a_person_who_may_not_decide_any_more_is_not_told(tmp_path: Path, change_of: str) -> None:
    """The server was down; meanwhile the person's access ended, or a group was taken away."""
    down = [True]
    async with ntfy(lambda number: 500 if down[0] else 200) as taken, outbox(tmp_path) as box:
        await add_profile(box.store, "anna", taken.url, groups=["seniors"])
        await box.waiting_case(reviewers=("group:seniors",))
        await taken.asked(1)
        values = {"ended_at": atlas.instants.now()} if change_of == "ended" else {"groups": "[]"}
        await box.store.database.write(
            lambda connection: connection.execute(profiles.update().values(values)).rowcount
        )
        asked = len(taken.requests)
        down[0] = False
        (row,) = await box.until_all_are_done(1)
    assert row.sent_at is None and row.last_error is None and len(taken.requests) <= asked + 1
    assert not [one for one in taken.bodies if one]


async def test_a_call_whose_time_is_over_is_not_asked_for(tmp_path: Path, clock: Callable[..., None]) -> None:
    """No gateway ran meanwhile; its end is told when it is written."""
    async with ntfy() as taken:
        async with open_store(tmp_path) as store:
            await add_profile(store, "anna", taken.url)
            await waiting_case(store)
        clock(minutes=121)
        async with outbox(tmp_path) as box:
            await eventually(partial(is_spread, box))
            assert await box.rows() == []
    assert taken.requests == []


async def is_spread(box: Outbox) -> bool:
    """Whether the courier has looked at every notice."""
    query = sa.select(sa.func.count()).where(notices.c.spread_at.is_(None))
    return not await box.store.database.read(lambda connection: connection.scalar(query))


async def has_rows(box: Outbox, count: int) -> bool:
    """Whether the notices were spread."""
    return len(await box.rows()) == count
