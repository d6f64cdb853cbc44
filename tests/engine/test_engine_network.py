"""Apps are reached over connections that are kept for a moment, and only an answer that is whole counts."""

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import itertools
import ssl

import h11
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from atlas.engine import network
from atlas.engine.calls import AnswerTooLarge, send
from atlas.engine.errors import AppUnreachable
from atlas.engine.network import AppTransport

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Peer:
    """A server by hand: it answers each request with the next of its answers, then closes."""

    def __init__(self, *answers):
        self.answers, self.connections, self.requests, self.ended = list(answers), 0, [], 0

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append((head, await reader.readexactly(4)))
                for part in self.answers.pop(0):
                    writer.write(part)
                    await writer.drain()
        writer.close()
        self.ended += 1

    @contextlib.asynccontextmanager
    async def running(self, context=None):
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context) as server:
            scheme = "https" if context else "http"
            self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/path?fnId=a"
            transport = AppTransport()
            try:
                yield transport
            finally:
                await transport.aclose()

    def request(self, *, seconds=5.0):
        timeouts = {"timeout": {"connect": seconds, "read": seconds}}
        return httpx.Request("POST", self.url, content=b"body", extensions=timeouts)


async def test_the_next_request_goes_over_the_same_connection():
    """Two requests after each other need one connection, two at once need two."""
    peer = Peer([OK], [OK], [OK], [OK])
    async with peer.running() as transport:
        for _ in range(2):
            assert (await send(transport, peer.request()))[0::2] == (200, b"ok")
        assert peer.connections == 1
        await asyncio.gather(*(send(transport, peer.request()) for _ in range(2)))
        assert peer.connections == 2
    assert peer.requests[0][0].startswith(b"POST /path?fnId=a HTTP/1.1\r\n")
    assert peer.requests[0][1] == b"body"


@pytest.mark.parametrize(
    "answer",
    [
        [OK],  # after which this peer closes without having said so
        [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\n\r\n", b"ok"],  # ends where the connection does
        [OK + OK],  # an answer that no one asked for
    ],
)
async def test_a_connection_that_is_spent_is_not_used_again(answer, until):
    """However an app ends or spoils a connection, the next request gets a new one."""
    peer = Peer(answer)
    async with peer.running() as transport:
        assert (await send(transport, peer.request()))[0::2] == (200, b"ok")
        await until(lambda: not any(kept.is_open() for kept in itertools.chain(*transport._kept.values())))
        peer.answers = [[OK]]
        assert (await send(transport, peer.request()))[0::2] == (200, b"ok")
        assert peer.connections == 2


@pytest.mark.parametrize(
    "late", [OK.replace(b"ok", b"un"), b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"]
)
@pytest.mark.parametrize("then_closes", [False, True])
async def test_an_answer_that_no_one_asked_for_is_never_that_to_the_next_request(late, then_closes, until):
    """What comes over a connection that is kept, and be it the timeout of a proxy, belongs to no request."""
    is_kept, has_come = asyncio.Event(), []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\nbody")
        writer.write(OK if has_come else OK.replace(b"ok", b"no"))
        if not has_come:
            await is_kept.wait()
            writer.write(late)
            has_come.append(late)
        if not then_closes:
            await reader.read()  # until the engine leaves: Python 3.12 waits for each connection
        writer.close()

    peer = Peer()
    peer.serve = serve
    async with peer.running() as transport:
        assert (await send(transport, peer.request()))[2] == b"no"
        (kept,) = itertools.chain(*transport._kept.values())
        is_kept.set()
        await until(lambda: has_come and kept._reader._buffer)
        assert (await send(transport, peer.request()))[0::2] == (200, b"ok")


async def test_an_answer_is_not_unpacked():
    """Packed answers are not asked for: a kilobyte could unfold to half a gigabyte."""
    packed = gzip.compress(gzip.compress(bytes(50_000_000)))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip, gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    peer = Peer([head + packed])
    async with peer.running() as transport:
        assert (await send(transport, peer.request()))[2] == packed


async def test_an_app_that_only_says_that_it_will_answer_is_left():
    """Informational responses without end do not keep the engine busy."""
    peer = Peer([b"HTTP/1.1 102 Processing\r\n\r\n" * 1000])
    async with peer.running() as transport:
        with pytest.raises(h11.RemoteProtocolError, match="no end"):
            await send(transport, peer.request())
        assert not any(transport._kept.values())


async def test_a_connection_is_kept_for_a_moment_only(monkeypatch, until):
    """What the app would close for idleness is closed first, so that no call meets the closing."""
    monkeypatch.setattr(network, "_KEPT_SECONDS", 0.05)
    peer = Peer([OK], [OK])
    async with peer.running() as transport:
        await send(transport, peer.request())
        await until(lambda: not any(kept.is_open() for kept in itertools.chain(*transport._kept.values())))
        await send(transport, peer.request())
        assert peer.connections == 2


async def test_an_answer_may_come_in_pieces_and_chunks():
    """Status, headers and body are put together from all that arrives."""
    chunks = [b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 206 Partial", b" Content\r\ntransfer-encoding: "]
    chunks += [b"chunked\r\nx-some: header\r\n\r\n2\r\nab\r\n", b"1\r", b"\nc\r\n0\r\n\r\n"]
    peer = Peer(chunks)
    async with peer.running() as transport:
        status, headers, body = await send(transport, peer.request())
    assert (status, headers["x-some"], body) == (206, "header", b"abc")


@pytest.mark.parametrize(
    "answer",
    [
        [],  # closed without an answer
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"],
        [b"this is no HTTP\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 100_000],
    ],
)
async def test_an_answer_that_is_cut_short_or_no_http_is_an_error(answer):
    """Nothing but a whole answer is taken for one, and its connection is not used again."""
    peer = Peer(answer)
    async with peer.running() as transport:
        with pytest.raises(Exception, match=r"."):
            await send(transport, peer.request())
        peer.answers = [[OK]]
        assert (await send(transport, peer.request()))[2] == b"ok"
        assert peer.connections == 2


async def test_an_answer_that_does_not_come_in_time_is_an_error():
    """The time that a request is given covers all of its answer."""
    peer = Peer([b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"], [OK])
    async with peer.running() as transport:
        with pytest.raises(Exception, match=r"."):
            await send(transport, peer.request(seconds=0.1))


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(until):
    """The connection of an endless answer is closed."""

    class Endless(Peer):
        async def serve(self, reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"x" * 2**16)
                    await writer.drain()
            self.ended += 1

    peer = Endless()
    async with peer.running() as transport:
        with pytest.raises(AnswerTooLarge):
            await send(transport, peer.request())
        await until(lambda: peer.ended == 1)


async def test_an_app_with_a_certificate_of_its_own_making_is_not_called(tmp_path):
    """TLS is checked as everywhere else: a self-signed app does not even get the request."""
    peer = Peer([OK])
    async with peer.running(self_signed(tmp_path / "app.pem")) as transport:
        with pytest.raises(AppUnreachable, match="certificate"):
            await send(transport, peer.request())
        assert peer.requests == []


def self_signed(path):
    """Returns a server's TLS context with a key and a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app")])
    moment = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(moment).not_valid_after(moment + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    forms = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key.private_bytes(*forms) + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context
