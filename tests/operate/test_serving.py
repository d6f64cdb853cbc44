"""Serving: what the log keeps to itself."""

import logging
import signal
import socket

import httpx
import pytest
from gateway_process import AGENT_KEY, WAIT_SECONDS, GatewayProcess

from atlas.operate.serving import WithoutTraceback


@pytest.mark.parametrize(
    ("name", "keeps"), [("fastmcp.server", False), ("mcp.server", False), ("atlas.workflow.courier", True)]
)
def test_the_errors_of_tools_are_logged_by_their_type_alone(name: str, keeps: bool) -> None:
    """An exception of a tool may repeat its arguments; our own are needed to find mistakes."""
    try:
        raise ValueError("cannot pay to the account of a person")
    except ValueError as error:
        record = logging.LogRecord(name, logging.ERROR, "", 0, "Error calling tool %r", ("pay",), None)
        record.exc_info = (type(error), error, error.__traceback__)
    assert WithoutTraceback().filter(record)
    text = logging.Formatter().format(record)
    assert "Error calling tool 'pay'" in text and "ValueError" in text
    assert ("account of a person" in text) is keeps


UNFINISHED = (
    "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\n"
    "Accept: application/json, text/event-stream\r\nContent-Length: 100\r\n\r\n{{"
)


async def test_a_stop_with_open_requests_is_no_error_in_the_log(gateway: GatewayProcess) -> None:
    """A stream that never ends by itself, and a request of which half has come."""
    key = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with (
        httpx.AsyncClient(timeout=WAIT_SECONDS) as client,
        client.stream("GET", f"{gateway.url}/mcp/sse", headers=key) as stream,
    ):
        assert stream.status_code == 200
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as half:
            half.sendall(UNFINISHED.format(key=AGENT_KEY).encode())
            assert (await client.get(f"{gateway.url}/healthz")).status_code == 200  # what came before is read
            await gateway.stop(signal.SIGTERM)
    log = gateway.newest_log()
    assert "Traceback" not in log and "ASGI callable" not in log and " ERROR " not in log
