"""The live stream of the desk: what it says, and when it ends."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
from desk_office import KEYS, office
from gateway_process import GatewayProcess, call, eventually, reference_in
from kept import store_by_hand

from atlas.instants import instant_text, now

WAIT_SECONDS = 60


class Listener:
    """Reads the messages of one stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; fails when the stream has ended."""
        with anyio.fail_after(WAIT_SECONDS):
            found = None
            async for line in self._lines:
                if line.startswith("event: "):
                    found = line.removeprefix("event: ")
                if line.startswith("data: ") and found == kind:
                    return dict(json.loads(line.removeprefix("data: ")))
        raise AssertionError("the stream has ended")

    async def ended(self, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the stream has ended, properly."""
        with anyio.fail_after(seconds):
            async for _ in self._lines:
                pass


@asynccontextmanager
async def listening(gateway: GatewayProcess, cookies: Any = None) -> AsyncIterator[Listener]:
    """A browser's stream, as an EventSource asks for it."""
    accept = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=60, cookies=cookies) as client,
        client.stream("GET", "/desk/live", headers=accept) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(answer.aiter_lines())


async def ask(gateway: GatewayProcess, *, days: int = 30) -> str:
    """The reference of a call that waits for a person."""
    async with gateway.agent(None) as agent:
        answer = await call(agent, "request_extension", beneficiary_id="BEN-123", days=days, reason="illness")
    return reference_in(answer)


async def test_the_stream_says_only_which_case_is_at_which_version(gateway: GatewayProcess) -> None:
    """And that it waits; nothing of what is in it. The version is the number of its newest entry."""
    async with listening(gateway) as listener:
        hello = await listener.next("hello")
        reference = await ask(gateway)
        news = await listener.next("news")
        while reference not in news.get("waits", ()):
            news = await listener.next("news")
        assert set(news) <= {"after", "at", "cases", "waits"}
        assert news["cases"][reference] == news["at"] > hello["at"]
        await gateway.decide(reference, key=None)
        decided = await listener.next("news")
        assert decided["cases"][reference] > news["cases"][reference]
        assert "waits" not in decided


async def test_a_case_that_does_not_exist_is_looked_at_by_no_one(gateway: GatewayProcess) -> None:
    """Right: 404, and no one hears of it. Wrong: each made-up reference is kept in memory, and is told."""
    reference = await ask(gateway)
    looked_at: set[str] = set()
    async with listening(gateway) as listener, httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        await listener.next("hello")
        for ref, status in (("evt_made_up", 404), ("x" * 2000, 404), (reference, 200)):
            assert (await client.get(f"/desk/cases/{ref}/looking")).status_code == status
        while reference not in looked_at:
            looked_at.update((await listener.next("news")).get("looks", ()))
    assert looked_at == {reference}


async def test_what_concerns_no_page_is_not_told_and_parts_no_messages(gateway: GatewayProcess) -> None:
    """A call that its score approves is in the ledger; the next message covers it, so no page asks for it."""
    async with listening(gateway) as listener:
        hello = await listener.next("hello")
        async with gateway.agent(None) as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
        reference = await ask(gateway)
        news = await listener.next("news")
        assert news["after"] == hello["at"]
        assert set(news["cases"]) == {reference}


async def test_a_page_that_was_away_asks_for_what_it_missed(gateway: GatewayProcess) -> None:
    """The gateway is killed in between; what a page has is older than all that happened."""
    reference = await ask(gateway)
    async with listening(gateway) as listener:
        at = (await listener.next("hello"))["at"]
    await gateway.decide(reference, key=None)
    other = await ask(gateway, days=31)
    await gateway.kill()
    await gateway.start()
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
        newer = (await client.get("/desk/live/newer", params={"after": at})).json()
        assert set(newer["cases"]) == {reference, other} and newer["waits"] == [other]
        nothing = (await client.get("/desk/live/newer", params={"after": newer["at"]})).json()
        assert "cases" not in nothing or set(nothing["cases"]) <= {reference, other}
        assert (await client.get("/desk/live/newer", params={"after": 10**6})).json()["all"] is True
        for wrong in (-1, -(10**30)):  # SQLite counts no further than 2**63
            assert (await client.get("/desk/live/newer", params={"after": wrong})).status_code == 422


async def test_open_streams_do_not_keep_the_gateway_from_stopping(gateway: GatewayProcess) -> None:
    """They end by themselves; no request has to be cut off."""
    async with listening(gateway) as one, listening(gateway) as other:
        await one.next("hello")
        await other.next("hello")
        with anyio.fail_after(WAIT_SECONDS):
            assert await gateway.stop() == 0
        await one.ended()
        await other.ended()
    assert "still open" not in gateway.newest_log()


async def test_a_person_has_a_bounded_number_of_streams(gateway: GatewayProcess) -> None:
    """One too many is refused; when one ends there is room again."""
    async with httpx.AsyncClient(
        base_url=gateway.url, limits=httpx.Limits(max_connections=50), timeout=60
    ) as client:
        opened = [
            await client.send(client.build_request("GET", "/desk/live"), stream=True) for _ in range(20)
        ]
        assert {answer.status_code for answer in opened} == {200}
        refused = await client.get("/desk/live")
        assert refused.status_code == 503
        await opened[0].aclose()
        with anyio.fail_after(WAIT_SECONDS):
            while (
                again := await client.send(client.build_request("GET", "/desk/live"), stream=True)
            ).status_code != 200:
                await again.aclose()
        for answer in (*opened[1:], again):
            await answer.aclose()


@asynccontextmanager
async def signed_in(tmp_path: Path) -> AsyncIterator[tuple[GatewayProcess, httpx.AsyncClient, str]]:
    """A gateway with keys, a browser of anna, and the token of its forms."""
    gateway = office(tmp_path)
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            form = {"way": "key", "key": KEYS["anna"]}
            assert (await client.post("/desk/sign-in", data=form)).status_code == 303
            token = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/desk")).text)
            assert token is not None
            yield gateway, client, token[1]
    finally:
        await gateway.kill()


async def test_a_stream_ends_soon_after_the_sign_out(tmp_path: Path) -> None:
    """And no other one is let in with the cookie."""
    async with signed_in(tmp_path) as (gateway, client, token):
        cookies = dict(client.cookies)
        async with listening(gateway, cookies) as listener:
            await listener.next("hello")
            assert (await client.post("/desk/sign-out", data={"form_token": token})).status_code == 303
            await listener.ended()
        async with httpx.AsyncClient(base_url=gateway.url, cookies=cookies, timeout=60) as other:
            for path in ("/desk/live", "/desk/live/newer"):
                answer = await other.get(path, headers={"Accept": "text/event-stream"})
                assert answer.status_code == 401


async def test_neither_a_stream_nor_what_a_page_asks_by_itself_keeps_a_session_alive(tmp_path: Path) -> None:
    """What a person asks for does."""
    async with signed_in(tmp_path) as (gateway, client, _):
        last_seen = idle_for(gateway, minutes=5)
        async with listening(gateway, dict(client.cookies)) as listener:
            await listener.next("hello")
            answer = await client.get("/desk/counts", headers={"Desk-Automatic": "true"})
            assert answer.status_code == 200
            assert seen_at(gateway) == last_seen
            await client.get("/desk")
            await eventually(lambda: is_true(seen_at(gateway) > last_seen))
            idle_for(gateway, minutes=31)
            await listener.ended()


async def is_true(fact: bool) -> bool:
    """A fact, to be waited for."""
    return fact


def seen_at(gateway: GatewayProcess) -> str:
    """When the one session was seen last."""
    with closing(store_by_hand(gateway.data)) as connection:
        return str(connection.execute("SELECT last_seen_at FROM desk_sessions").fetchone()[0])


def idle_for(gateway: GatewayProcess, *, minutes: int) -> str:
    """Put the moment back at which it was seen last."""
    at = instant_text(now() - timedelta(minutes=minutes))
    with closing(store_by_hand(gateway.data)) as connection:
        connection.execute("UPDATE desk_sessions SET last_seen_at = ?", (at,))
        connection.commit()
    return at
