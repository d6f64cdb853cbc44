"""The live stream of the desk: what it says, and when it ends."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from gateway_process import GatewayProcess, call, reference_in

WAIT_SECONDS = 60


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway in open mode."""
    process = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await process.start()
    yield process
    await process.kill()


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
async def listening(gateway: GatewayProcess) -> AsyncIterator[Listener]:
    """A browser's stream."""
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as client,
        client.stream("GET", "/desk/live") as answer,
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
