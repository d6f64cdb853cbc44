"""Bodies that are too large: what the process holds of them, and what their senders read."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from gateway_process import AGENT_KEY, REVIEWER_KEY, ROOT, GatewayProcess

HUGE = 300 * 2**20
LARGE = 32 * 2**20
PIECE = b"[]," * 2**14
MOST_GROWTH = 60 * 2**10  # KiB, of 300 MiB that are sent several times at once

DOORS = ("/webhook/approval", "/api/inngest", "/mcp", "/mcp/messages", "/mcp/messages/", "/mcp/sse", "/none")
WAIT_SECONDS = 60


def peak(process_id: int) -> int:
    """The most memory that a process ever held, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found is not None
    return int(found[1])


def headers_for(door: str, key: str | None) -> list[str]:
    """What a sender says, with a fresh time at the door where signatures are looked at."""
    said = [
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
    ]
    said += [f"Authorization: Bearer {key}"] if key else []
    said += [f"x-inngest-signature: t={int(time.time())}&s={'0' * 64}"] if door == "/api/inngest" else []
    return said


async def post_without_end(
    url: str, door: str, *, key: str | None = None, is_chunked: bool = False, more: str = ""
) -> tuple[str, int]:
    """Send 300 MB, read the answer when the gateway takes no more; the answer, and how much was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {HUGE}"
    head = [f"POST {door} HTTP/1.1", *headers_for(door, key), length, *([more] if more else [])]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
    piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE
    reading = asyncio.create_task(all_of(reader))
    sent = 0
    try:
        while sent < HUGE:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # the reader's turn
            sent += len(PIECE)
    except ConnectionError:
        pass  # it takes no more, which it has said before
    answer = await reading
    writer.transport.abort()
    return answer.decode(), sent


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What came before the end, or before a reset."""
    found = bytearray()
    try:
        while piece := await asyncio.wait_for(reader.read(2**16), WAIT_SECONDS):
            found += piece
    except ConnectionError:
        pass
    return bytes(found)


@pytest.fixture
async def signed(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with keys of its own everywhere."""
    process = GatewayProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
async def test_a_process_holds_little_of_bodies_of_300_megabytes(
    signed: GatewayProcess, is_chunked: bool
) -> None:
    """At every door, by strangers, agents and reviewers, three at once: issue 12, line 20."""
    await asyncio.gather(*(post_without_end(signed.url, door) for door in ("/none", "/")))
    before = peak(signed.process_id)
    for door in DOORS:
        answers = await asyncio.gather(
            *(
                post_without_end(signed.url, door, key=key, is_chunked=is_chunked)
                for key in (None, AGENT_KEY, REVIEWER_KEY)
            )
        )
        assert all(re.match(r"HTTP/1.1 4\d\d", answer) for answer, _ in answers), (door, answers)
    assert peak(signed.process_id) - before < MOST_GROWTH
    assert "Traceback" not in signed.newest_log()
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(f"{signed.url}/healthz")).status_code == 200


async def test_the_engine_alone_holds_little_of_them_too(tmp_path: Path) -> None:
    """With keys, and at each of its paths that takes a body."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.engine", "--port", "0", "--event-key", "event-key-of-the-tests"),
        *("--signing-key", "ab" * 32),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), WAIT_SECONDS)).decode().split()[-1]
        await post_without_end(url, "/none")
        before = peak(process.pid)
        for path in ("/e/event-key-of-the-tests", "/e/wrong", "/fn/register", "/v0/gql"):
            declared, chunked = await asyncio.gather(
                post_without_end(url, path), post_without_end(url, path, is_chunked=True)
            )
            assert declared[0].startswith("HTTP/1.1 413"), declared
            assert re.match(r"HTTP/1.1 4(01|13)", chunked[0]), chunked
        assert peak(process.pid) - before < MOST_GROWTH
    finally:
        process.kill()
        await process.wait()


async def test_a_large_body_with_a_wrong_signature_is_not_parsed(gateway: GatewayProcess) -> None:
    """Eight megabytes of `[],` would be 180 MB of lists; a small body is left to the SDK."""
    before = peak(gateway.process_id)
    url = f"{gateway.url}/api/inngest"
    said = dict(line.split(": ", 1) for line in headers_for("/api/inngest", None))
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        many = b"[" + b"[]," * (2**23 // 3 - 2) + b"0]"
        answers = await asyncio.gather(*(client.post(url, content=many, headers=said) for _ in range(3)))
        assert {answer.status_code for answer in answers} <= {401, 503}
        assert "WronglySigned" in {answer.json()["error"] for answer in answers}
        small = await client.post(url, content=b"{}", headers=said)
        assert small.status_code == 401 and "error" not in small.json()
    assert peak(gateway.process_id) - before < MOST_GROWTH


@pytest.mark.parametrize("more", ["Content-Encoding: gzip", "Content-Encoding: br"])
async def test_packed_bodies_are_refused_before_they_are_read(gateway: GatewayProcess, more: str) -> None:
    """What is small here may be large unpacked, and no client of these paths packs."""
    for door in ("/webhook/approval", "/api/inngest", "/mcp", "/mcp/messages"):
        answer, _ = await post_without_end(gateway.url, door, key=REVIEWER_KEY, more=more)
        assert answer.startswith("HTTP/1.1 415") and '"error": "BodyPacked"' in answer


@pytest.mark.parametrize(
    ("door", "key", "size", "status"),
    [
        ("/webhook/approval", REVIEWER_KEY, 2**16, 422),  # it is read, and is no decision
        ("/webhook/approval", REVIEWER_KEY, 2**16 + 1, 413),
        ("/webhook/approval", AGENT_KEY, 2**16, 403),
        ("/webhook/approval", None, 2**16, 401),
        ("/api/inngest", None, 2**23 + 1, 413),
        ("/mcp", AGENT_KEY, 2**22, 400),
        ("/mcp", AGENT_KEY, 2**22 + 1, 413),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
async def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(
    gateway: GatewayProcess, door: str, key: str | None, size: int, status: int, is_chunked: bool
) -> None:
    """With an ordinary client, which sends all before it reads; the sentence names the limit in bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * size

    said = dict(line.split(": ", 1) for line in headers_for(door, key))
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        content = pieces() if is_chunked else b"x" * size
        answer = await client.post(gateway.url + door, content=content, headers=said)
    assert answer.status_code == status, answer.text
    if status == 413:
        assert answer.json()["error"] == "BodyTooLarge" and f"{size - 1} bytes" in answer.json()["detail"]


async def test_an_ordinary_client_reads_why_while_it_still_sends(gateway: GatewayProcess) -> None:
    """httpx sends all before it reads; curl reads while it sends."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(LARGE // len(PIECE)):
            yield PIECE

    url = f"{gateway.url}/webhook/approval"
    bearer = {"Authorization": f"Bearer {REVIEWER_KEY}"}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.post(url, content=pieces(), headers=bearer)
        assert answer.status_code == 413
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-H", f"Authorization: Bearer {REVIEWER_KEY}", "-T", "-", "-X", "POST", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(curl.communicate(PIECE * (LARGE // len(PIECE))), WAIT_SECONDS)
    assert b'"error": "BodyTooLarge"' in output


async def test_headers_without_end_are_cut(gateway: GatewayProcess) -> None:
    """One header, many headers, and fields behind a body in chunks: httptools bounds none of them."""
    before = peak(gateway.process_id)
    port = int(gateway.url.rpartition(":")[2])
    line = b"x-%d: " + b"y" * 2**12 + b"\r\n"
    for start, piece in (
        (b"GET / HTTP/1.1\r\nx-long: ", b"y" * 2**16),
        (b"GET /", b"y" * 2**16),
        (b"GET / HTTP/1.1\r\n", line),
        (b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", line),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        reading, sent = asyncio.create_task(all_of(reader)), 0
        try:
            while sent < HUGE // 4:
                writer.write(piece.replace(b"%d", b"%d" % sent))
                await writer.drain()
                await asyncio.sleep(0)  # the reader's turn
                sent += len(piece)
        except ConnectionError:
            pass
        answer = await reading
        assert re.match(rb"HTTP/1.1 4(00|01|31)", answer), (start, answer)
        writer.transport.abort()
    assert peak(gateway.process_id) - before < MOST_GROWTH
