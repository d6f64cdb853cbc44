"""Connections that are opened and left, or slow: they end, and those with a key do not notice."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gateway_process import (
    AGENT_KEY,
    REVIEWER_KEY,
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    text_of,
)

HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HALF_A_BODY = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nContent-Length: 1000\r\n"
    b"Authorization: Bearer %s\r\n\r\n{" % AGENT_KEY.encode()
)
SERVERS = {"httptools": "", "h11": "httptools uvloop"}
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=list(SERVERS))
async def hasty(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[GatewayProcess]:
    """A gateway that waits a second for headers and bodies, with either of uvicorn's protocols."""
    script = ROOT / "tests" / "operate" / "telling_gateway.py"
    process = GatewayProcess(
        tmp_path,
        script,
        ATLAS_HEAD_TIMEOUT="1s",
        ATLAS_BODY_TIMEOUT="1s",
        ATLAS_STRANGERS_PER_ADDRESS="50",
        ATLAS_STRANGERS="60",
        ATLAS_CONNECTIONS_PER_KEY="8",
        ATLAS_TEST_WITHOUT=SERVERS[request.param],
    )
    await process.start()
    yield process
    await process.kill()


async def connected(gateway: GatewayProcess, start: bytes = b"") -> Pair:
    """A connection on which a part of a request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(start)
    return reader, writer


async def said_at_the_end(reader: asyncio.StreamReader) -> bytes:
    """What the gateway says before it closes."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    return b""


async def dribble(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, as long as the gateway takes it."""
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)  # the slow client itself, not a wait of the test


def answer_to_dribble(port: int, start: bytes) -> bytes:
    """Send the start, then a byte now and then, and return what the gateway says before it closes.

    On a socket of its own: asyncio throws an answer away that has come when a write fails behind it.
    """
    answer, deadline = b"", time.monotonic() + WAIT_SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as client:
        client.sendall(start)
        while time.monotonic() < deadline:
            try:
                piece = client.recv(2**16)
            except TimeoutError:
                with contextlib.suppress(OSError):
                    client.send(b"x")
                continue
            except ConnectionError:
                return answer
            if not piece:
                return answer
            answer += piece
    raise AssertionError("The gateway waits on.")


def open_files(gateway: GatewayProcess) -> int:
    """How many files and connections the process holds."""
    return len(list(Path(f"/proc/{gateway.process_id}/fd").iterdir()))


async def test_what_does_not_arrive_in_time_is_not_waited_for(hasty: GatewayProcess) -> None:
    """No header, half a header, half a body; also where a byte comes now and then."""
    reader, _ = await connected(hasty)
    assert b"HeadLate" in await said_at_the_end(reader)
    for start, error in ((HALF_A_HEAD, b"HeadLate"), (HALF_A_BODY, b"BodyLate")):
        answer = await asyncio.to_thread(answer_to_dribble, int(hasty.url.rpartition(":")[2]), start)
        assert error in answer and b"HTTP/1.1 408" in answer, answer
    assert "Traceback" not in hasty.newest_log()


async def test_a_second_request_is_held_to_the_time_of_the_first(hasty: GatewayProcess) -> None:
    """A whole request buys no time for half a request behind it."""
    whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    reader, writer = await connected(hasty, whole)
    assert b"200 OK" in await reader.readuntil(b"\r\n")
    writer.write(HALF_A_HEAD)
    await dribble(writer)
    assert b"HeadLate" in await said_at_the_end(reader) or writer.is_closing()


@pytest.mark.parametrize("hasty", ["httptools"], indirect=True)  # h11 reads no request behind another
async def test_a_late_body_writes_nothing_into_the_answer_before_it(hasty: GatewayProcess) -> None:
    """Right: a stream is still being answered, and a refusal in its midst would be read as a part of it."""
    key = AGENT_KEY.encode()
    stream = b"GET /mcp/sse HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n" % key
    reader, _ = await connected(hasty, stream)
    begun = await asyncio.wait_for(reader.readuntil(b"event: endpoint"), WAIT_SECONDS)
    assert b"200 OK" in begun
    reader, _ = await connected(hasty, stream + HALF_A_BODY)
    answer = await said_at_the_end(reader)
    assert b"event: endpoint" in answer and answer.count(b"HTTP/1.1 ") == 1, answer
    assert b"BodyLate" not in answer and b"408" not in answer.partition(b"\r\n")[0]


async def test_strangers_make_room_for_each_other(hasty: GatewayProcess) -> None:
    """Three hundred halves of a header hold no more connections than one address may have."""
    before = open_files(hasty)
    halves = [await connected(hasty, HALF_A_HEAD) for _ in range(300)]
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        assert (await client.get(f"{hasty.url}/healthz")).status_code == 200  # a stranger that does not wait

    async def is_few() -> bool:
        return open_files(hasty) - before <= 60

    await eventually(is_few)
    for _, writer in halves:
        writer.transport.abort()


async def test_one_key_opens_so_many_connections_and_no_more(hasty: GatewayProcess) -> None:
    """It is told so; a place that is given back can be taken; a quiet stream is not given up."""
    async with contextlib.AsyncExitStack() as stack:
        bearer = {"Authorization": f"Bearer {AGENT_KEY}"}
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=WAIT_SECONDS, headers=bearer))
        for _ in range(7):
            stream = await stack.enter_async_context(client.stream("GET", f"{hasty.url}/mcp/sse"))
            assert stream.status_code == 200
        last = contextlib.AsyncExitStack()
        eighth = await last.enter_async_context(client.stream("GET", f"{hasty.url}/mcp/sse"))
        assert eighth.status_code == 200
        over = await client.get(f"{hasty.url}/mcp/sse")
        assert over.status_code == 503 and over.json()["error"] == "TooManyConnections"
        assert over.headers["retry-after"] == "1"
        await last.aclose()

        async def is_let_in() -> bool:
            return (await client.post(f"{hasty.url}/mcp", content=b"{")).status_code == 400

        await eventually(is_let_in)


async def test_a_quiet_stream_stays_beside_slow_clients(hasty: GatewayProcess) -> None:
    """It is older than every time-out when its agent uses it; a call beside it does what it should."""
    async with hasty.agent(sse=True) as agent:
        halves = [await connected(hasty, HALF_A_HEAD) for _ in range(200)]
        reader, _ = await connected(hasty, HALF_A_HEAD)
        await said_at_the_end(reader)  # so the time-out has passed, for the stream too
        answer = await call(agent, "check_status", beneficiary_id="BEN-123")
        assert not answer.is_error, text_of(answer)
        for _, writer in halves:
            writer.transport.abort()


async def test_fifty_open_desks_behind_one_address_stay_open(tmp_path: Path) -> None:
    """With the limits that are shipped, and other browsers coming and going at the same address meanwhile."""
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    try:
        async with contextlib.AsyncExitStack() as stack:
            desks = []
            for name in ("anna", "ben", "eve", "ida", "sarah"):
                client = httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_SECONDS)
                await stack.enter_async_context(client)
                fields = {"way": "key", "key": REVIEWER_KEY, "claimed": name}
                assert (await client.post("/desk/sign-in", data=fields)).status_code == 303
                for _ in range(10):
                    desks.append(await stack.enter_async_context(client.stream("GET", "/desk/live")))
            halves = [await connected(gateway, HALF_A_HEAD) for _ in range(200)]
            answers = await asyncio.gather(*(client.get("/desk/account") for _ in range(50)))
            assert {answer.status_code for answer in (*desks, *answers)} == {200}
            for desk in desks:
                assert await anext(desk.aiter_bytes())
                assert not desk.is_closed
            for _, writer in halves:
                writer.transport.abort()
    finally:
        await gateway.kill()


@pytest.mark.soak
async def test_calls_succeed_beside_two_thousand_slow_clients(tmp_path: Path) -> None:
    """With the limits that are shipped: twenty calls are answered, and strangers hold few connections."""
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    before = open_files(gateway)
    halves = [await connected(gateway, HALF_A_HEAD) for _ in range(2000)]
    slow = [asyncio.create_task(dribble(writer)) for _, writer in halves]
    try:
        async with gateway.agent() as agent:
            for _ in range(20):
                answer = await call(agent, "check_status", beneficiary_id="BEN-123")
                assert not answer.is_error, text_of(answer)
                assert open_files(gateway) - before <= 200
    finally:
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        await gateway.kill()
