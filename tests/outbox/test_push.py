"""Browsers are called without a word of the call, by a key that only its owner can read."""

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_process import eventually
from outbox_of_test import Outbox, add_profile, outbox
from push_service import PushService, push_service
from store import decisions, rejection

from atlas.errors import RequestInvalid
from atlas.outbox.subscriptions import end_subscription, is_of, subscribe, subscriptions_of
from atlas.outbox.vapid import KEY_FILE, PushKey
from atlas.settings.notices import PUSH_SERVICES


async def subscribed(box: Outbox, person: str, service: PushService, *, endpoint: str = "") -> None:
    """A browser of a person, as the page of the account keeps it."""
    said = json.dumps({"endpoint": endpoint or service.endpoint, "keys": {"p256dh": "x", "auth": "y"}})
    services = (service.origin,)
    await box.store.database.write(lambda connection: subscribe(connection, person, said, services=services))


async def browsers_of(box: Outbox, person: str) -> Any:
    """Those that are called."""
    return await box.store.database.read(lambda connection: subscriptions_of(connection, person))


async def test_a_browser_is_called_with_no_content(tmp_path: Path) -> None:
    """The service checks the signature and for whom it is; neither body nor header names the call."""
    async with push_service() as service, outbox(tmp_path) as box:
        await add_profile(box.store, "anna")
        await subscribed(box, "anna", service)
        case = await box.waiting_case()
        (call,) = await service.called()
        (row,) = await box.until_all_are_done(1)
        key = PushKey(tmp_path, box.store.database)
        await key.open()
    assert call["body"] == b"" and call["claims"]["aud"] == service.origin
    assert call["key"] == key.public
    assert call["headers"]["ttl"] == "14400" and "content-encoding" not in call["headers"]
    assert case.case_id not in json.dumps([call["path"], call["headers"], call["claims"]])
    assert (row.channel, row.person, row.last_error) == ("push", "anna", None)
    assert "a-secret-of-the-browser" not in row.address


async def test_a_push_says_nothing_of_an_end(tmp_path: Path) -> None:
    """Its one sentence would be false."""
    async with push_service() as service, outbox(tmp_path) as box:
        await add_profile(box.store, "anna")
        await subscribed(box, "anna", service)
        case = await box.waiting_case()
        await service.called()
        await box.until_all_are_done(1)
        await decisions(box.store).record(case.case_id, rejection("ben"))
        other = await box.waiting_case()
        await service.called(2)
        rows = await box.until_all_are_done(2)
    assert {row.case_id for row in rows} == {case.case_id, other.case_id} and len(service.calls) == 2


async def test_only_those_are_called_who_may_decide(tmp_path: Path) -> None:
    """Ben has a browser, and is no reviewer of the rule."""
    async with push_service() as service, outbox(tmp_path) as box:
        await add_profile(box.store, "anna")
        await add_profile(box.store, "ben")
        await subscribed(box, "anna", service)
        await subscribed(box, "ben", service, endpoint=f"{service.origin}/push/of-ben")
        await box.waiting_case(reviewers=("anna",))
        (row,) = await box.until_all_are_done(1)
    assert row.person == "anna" and [one["path"] for one in service.calls] == [
        "/push/a-secret-of-the-browser"
    ]


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_called_no_more(tmp_path: Path, status: int) -> None:
    """The push service says so."""
    async with push_service() as service, outbox(tmp_path) as box:
        service.status = status
        await add_profile(box.store, "anna")
        await subscribed(box, "anna", service)
        await box.waiting_case()

        async def has_none() -> bool:
            return not await browsers_of(box, "anna")

        await eventually(has_none)
        await box.waiting_case()
        await box.until_all_are_done(1)
    assert len(service.calls) == 1


async def test_a_browser_that_does_not_answer_now_is_called_again(tmp_path: Path) -> None:
    """429 and 500 end no subscription."""
    async with push_service() as service, outbox(tmp_path) as box:
        service.status = 429
        await add_profile(box.store, "anna")
        await subscribed(box, "anna", service)
        await box.waiting_case()
        await service.called()
        service.status = 201
        await service.called(2)
        (row,) = await box.until_all_are_done(1)
        assert len(await browsers_of(box, "anna")) == 1
    assert row.sent_at is not None


async def test_a_browser_belongs_to_the_person_who_subscribed_last(tmp_path: Path) -> None:
    """Two people at one browser; neither can end what is another's."""
    async with push_service() as service, outbox(tmp_path) as box:
        await subscribed(box, "anna", service)
        await subscribed(box, "ben", service)
        assert await browsers_of(box, "anna") == ()
        (one,) = await browsers_of(box, "ben")

        def end(connection: Any) -> None:
            end_subscription(connection, one.endpoint_sha256, person="anna")

        await box.store.database.write(end)
        assert await browsers_of(box, "ben") == (one,)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://fcm.googleapis.com/fcm/send/x",
        "https://169.254.169.254/latest",
        "https://localhost/x",
        "https://fcm.googleapis.com@evil.example/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evil.example/fcm.googleapis.com",
        "https://push.apple.com.evil.example/x",
        "https://evil.example/.push.apple.com",
        "https://fcm.googleapis.com:8443/x",
        "https://evil.example#.push.apple.com",
        "https://evil.example?.push.apple.com",
        "https://evil.example\\.push.apple.com/x",
        "https://fcm.googleapis.com:x/",
        "https://fcm.googleapis.com/" + "x" * 2_000,
        "fcm.googleapis.com",
        "",
    ],
)
async def test_the_gateway_posts_to_no_other_server(tmp_path: Path, endpoint: str) -> None:
    """A person cannot have it call an address inside of the network."""
    said = json.dumps({"endpoint": endpoint})
    async with outbox(tmp_path) as box:
        with pytest.raises(RequestInvalid, match="was not kept"):
            await box.store.database.write(
                lambda connection: subscribe(connection, "anna", said, services=PUSH_SERVICES)
            )
        assert await browsers_of(box, "anna") == ()


def test_the_services_of_the_known_browsers_are_the_usual_ones() -> None:
    """Chromium, Firefox, Safari, Edge."""
    for endpoint in (
        "https://fcm.googleapis.com/fcm/send/dQ",
        "https://updates.push.services.mozilla.com/wpush/v2/gA",
        "https://web.push.apple.com/QK",
        "https://wns2-par02p.notify.windows.com/w/?token=BQ",
    ):
        assert is_of(endpoint, PUSH_SERVICES), endpoint


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """A second gateway over the same directory signs with it too."""
    first, again = PushKey(tmp_path), PushKey(tmp_path)
    assert first.public == again.public == PushKey(tmp_path).public
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
