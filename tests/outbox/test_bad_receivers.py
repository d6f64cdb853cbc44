"""A receiver can refuse a notice. It cannot harm the gateway by a long or slow answer, or by a redirect."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from bad_receivers import ENOUGH, Answer, Bad, bad_receiver, drip_body, drip_head, flood, repeat, saying
from gateway_process import GatewayProcess, call, eventually
from outbox_of_test import Outbox, add_profile, outbox
from slack import CHANNEL, TOKEN

from atlas.outbox.channels import apprise_urls
from atlas.outbox.subscriptions import subscribe
from atlas.outbox.troubles import troubles
from atlas.outside import adapter, answers

WAYS = ("webhook", "ntfy", "push", "slack-app")
MOST_WRITTEN = 32 * 1024 * 1024  # what the buffers of both ends take is far less


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as the gateway does."""
    monkeypatch.setattr(answers, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(answers, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(adapter, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(apprise_urls, "TIMEOUT_SECONDS", 2.0)


def settings(way: str, place: str) -> dict[str, Any]:
    """Settings by which the house is told by one way, whose URL has a secret."""
    return {
        "webhook": {"atlas_notify_url": f"http://{place}/secret-path"},
        "ntfy": {"atlas_notify_urls": f"ntfy://{place}/secret-path"},
        "push": {},
        "slack-app": {
            "atlas_slack_url": f"http://{place}/secret-path",
            "atlas_slack_bot_token": TOKEN,
            "atlas_slack_channel": CHANNEL,
        },
    }[way]


async def notice_by(way: str, here: Bad, box: Outbox) -> None:
    """Something of which one receiver is told by this way."""
    if way == "push":
        await browser_at(f"http://{here.place}", box)
    await box.waiting_case()


async def browser_at(origin: str, box: Outbox) -> None:
    """A person whose browser is called by a push service."""
    said = json.dumps({"endpoint": f"{origin}/secret-path", "keys": {"p256dh": "x", "auth": "y"}})
    await add_profile(box.store, "anna")
    await box.store.database.write(lambda connection: subscribe(connection, "anna", said, services=(origin,)))


async def failed(box: Outbox) -> Any:
    """Wait until an attempt has failed; what the store has of it."""

    async def has_failed() -> Any:
        rows = await box.rows()
        return rows[0] if rows and rows[0].attempts else None

    return await eventually(has_failed)


@pytest.mark.parametrize("answer", [flood, drip_body], ids=["endless", "slow"])
@pytest.mark.parametrize("way", ["webhook", "ntfy", "push"])
async def test_of_a_body_that_is_too_long_or_too_slow_only_the_status_counts(
    tmp_path: Path, way: str, answer: Answer
) -> None:
    """The receiver said 200: it has the notice, and is not told once more."""
    async with bad_receiver(answer) as here, outbox(tmp_path, **settings(way, here.place)) as box:
        await notice_by(way, here, box)
        (row,) = await box.until_all_are_done(1)
        await here.was_left()
    assert (row.attempts, row.last_error, row.given_up_at) == (1, None, None)
    assert len(here.asked) == 1 and here.written < MOST_WRITTEN


@pytest.mark.parametrize(
    "answer",
    [flood, drip_body, saying("200 OK", body=b"[" * 60_000), saying("200 OK", body=b'{"error": []}')],
    ids=["endless", "slow", "brackets", "no_word"],
)
async def test_an_answer_of_slack_that_cannot_be_read_is_a_failed_attempt(
    tmp_path: Path, answer: Answer
) -> None:
    """It is noted and tried again later."""
    async with bad_receiver(answer) as here, outbox(tmp_path, **settings("slack-app", here.place)) as box:
        await notice_by("slack-app", here, box)
        row = await failed(box)
    assert row.last_error and row.sent_at is None and here.written < MOST_WRITTEN


@pytest.mark.parametrize("way", WAYS)
async def test_a_head_that_comes_drop_by_drop_is_a_failed_attempt(tmp_path: Path, way: str) -> None:
    """The connection is ended, and no thread stays with it."""
    async with bad_receiver(drip_head) as here, outbox(tmp_path, **settings(way, here.place)) as box:
        await notice_by(way, here, box)
        row = await failed(box)
        await here.was_left()
        await eventually(no_thread_of_apprise)
    assert row.last_error and row.sent_at is None


async def no_thread_of_apprise() -> bool:
    """Whether what was sent in threads has ended."""
    names = [thread.name for thread in threading.enumerate()]
    return not [name for name in names if name in ("apprise", "watch-attempt")]


@pytest.mark.parametrize("drops", [b"250-no end\r\n" * 6_000, b"2"], ids=["endless", "slow"])
async def test_a_mail_server_without_end_is_a_failed_attempt(tmp_path: Path, drops: bytes) -> None:
    """Its lines do not fill the memory, and no thread waits for the last of them."""

    async def greet(here: Bad, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await repeat(here, reader, writer, drops)

    async with bad_receiver(greet, first=b"") as here:
        url = f"mailto://{here.place}?from=atlas@example.com&to=desk@example.com"
        async with outbox(tmp_path, atlas_notify_urls=url) as box:
            await box.waiting_case()
            row = await failed(box)
            await here.was_left()
            await eventually(no_thread_of_apprise)
    assert row.last_error == "no answer, or a refusal" and row.sent_at is None
    assert here.written < ENOUGH / 2


@pytest.mark.parametrize("location", ["http://{place}/internal", "mailto:admin@example.com", "http://[half"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_redirect_is_a_failed_attempt_and_leads_nowhere(
    tmp_path: Path, way: str, location: str
) -> None:
    """No other address is asked, over HTTP or otherwise."""
    answer = saying("302 Found", head=f"Location: {location}")
    async with bad_receiver(answer) as here, outbox(tmp_path, **settings(way, here.place)) as box:
        await notice_by(way, here, box)
        row = await failed(box)
    assert (row.last_error, row.sent_at) == ("HTTP 302", None)
    assert all(line.startswith("POST /") and "internal" not in line for line in here.asked)


async def test_a_url_of_apprise_that_asks_for_redirects_gets_none(tmp_path: Path) -> None:
    """Also where the URL says `redirect=yes`."""
    answer = saying("307 Temporary Redirect", head="Location: http://{place}/internal")
    async with bad_receiver(answer) as here:
        url = f"ntfy://{here.place}/topic?redirect=yes"
        async with outbox(tmp_path, atlas_notify_urls=url) as box:
            await box.waiting_case()
            row = await failed(box)
    assert row.last_error == "HTTP 307"
    assert not [line for line in here.asked if "internal" in line]


async def test_a_fault_of_a_channel_is_noted_and_tried_again_as_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy of the environment has become unusable: `/readyz` says so, without any part of a URL."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://user:hidden@proxy.example")
    async with outbox(tmp_path) as box:
        await browser_at("https://push.example", box)
        await box.waiting_case()
        row = await failed(box)
        (trouble,) = await box.store.database.read(troubles)
    assert row.last_error.startswith("a fault of the gateway: ProxyUnusable in proxies.py:")
    assert (trouble.channel, trouble.late, trouble.last_error) == ("push", 1, row.last_error)
    assert not [part for part in ("secret", "example", "hidden") if part in row.last_error]


async def test_a_gateway_ends_while_a_receiver_holds_its_notice(tmp_path: Path) -> None:
    """No thread that reads from a chat is waited for."""
    async with bad_receiver(drip_head) as here:
        gateway = GatewayProcess(tmp_path, ATLAS_NOTIFY_URLS=f"ntfy://{here.place}/topic")
        await gateway.start()
        try:
            async with gateway.agent() as agent:
                changes = {"monthly_amount_eur": 700}
                await call(agent, "modify_welfare_record", beneficiary_id="BEN-125", changes=changes)
            await here.was_asked()
            assert await gateway.stop() == 0
        finally:
            await gateway.kill()
