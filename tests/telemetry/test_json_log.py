"""The log as JSON: each line of a gateway, and one for each change of state of a call."""

import asyncio
import json
import logging
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from documentation import page
from gateway_process import (
    AGENT_KEY,
    REVIEWER_KEY,
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    outcome,
    reference_in,
)
from otlp_receiver import QUICK, otlp_receiver

from atlas.ledger import Action
from atlas.models import Status
from atlas.telemetry.json_lines import FIELDS, JsonLines
from atlas.telemetry.state_log import SAID, STATES

JSON = {"ATLAS_LOG": "json"}
RISKY = "modify_welfare_record"
TRACE = re.compile(r"[0-9a-f]{32}")


def lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Every line since the last start; fails on one that is no JSON object."""
    found = [json.loads(line) for line in gateway.newest_log().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    return found


def states(gateway: GatewayProcess, ref: str) -> list[tuple[str, str, str]]:
    """The states of a call, in order, with stage and outcome."""
    return [
        (line["status"], line["stage"], line["outcome"])
        for line in lines(gateway)
        if line["message"] == SAID and line["ref"] == ref
    ]


async def test_each_change_of_state_is_one_line_with_the_same_trace(tmp_path: Path) -> None:
    """Of a call that its score approves, and of one that a person approves after a restart."""
    gateway = GatewayProcess(tmp_path, **JSON)
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
            changes = {"monthly_amount_eur": 4321}
            ref = reference_in(await call(agent, RISKY, beneficiary_id="BEN-124", changes=changes))
            quick = next(line["ref"] for line in lines(gateway) if line.get("ref", ref) != ref)
        assert states(gateway, quick) == [
            ("QUEUED", "admit", "queued"),
            ("AUTHORIZED", "decide", "auto_approved"),
            ("EXECUTING", "execute", "started"),
            ("EXECUTED", "execute", "finished"),
        ]
        assert states(gateway, ref) == [
            ("QUEUED", "admit", "queued"),
            ("PENDING_REVIEW", "decide", "review_requested"),
        ]
        said = [line for line in lines(gateway) if line.get("ref") == ref]
        traces = {line["trace_id"] for line in said}
        assert said[0]["tool"] == RISKY and said[0]["agent"] == "agent"
        await gateway.kill()
        await gateway.start()
        await gateway.decide(ref, reviewer="anna")
        async with gateway.agent() as agent:
            await outcome(agent, ref)
        approved = [line for line in lines(gateway) if line.get("outcome") == "approved"]
        assert [state[0] for state in states(gateway, ref)] == ["AUTHORIZED", "EXECUTING", "EXECUTED"]
        traces |= {line["trace_id"] for line in lines(gateway) if line.get("ref") == ref}
        assert len(traces) == 1 and TRACE.fullmatch(traces.pop())
    finally:
        await gateway.kill()
    page_line = next(
        one for one in page("docs/how-to/watch.md").blocks if one.noted("checked") == "state-line"
    )
    assert json.loads(page_line.text).keys() == approved[0].keys()
    whole = gateway.log.read_text()
    for secret in ("4321", "BEN-124", "anna", AGENT_KEY, REVIEWER_KEY):
        assert secret not in whole


async def test_the_trace_of_a_line_is_that_of_the_spans(tmp_path: Path) -> None:
    """So that one leads to the other."""
    async with otlp_receiver() as receiver:
        gateway = GatewayProcess(tmp_path, **JSON, **QUICK, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        await gateway.start()
        try:
            async with gateway.agent() as agent:
                await call(agent, "check_status", beneficiary_id="BEN-123")
            span = await receiver.span("tools/call check_status")
            assert {line["trace_id"] for line in lines(gateway) if "ref" in line} == {span.trace_id}
        finally:
            await gateway.kill()


async def test_start_stop_and_what_uvicorn_says_are_json_too(tmp_path: Path) -> None:
    """A stream that is open at the stop makes uvicorn speak."""
    gateway = GatewayProcess(tmp_path, **JSON)
    await gateway.start()
    key = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with (
        httpx.AsyncClient(timeout=WAIT_SECONDS) as client,
        client.stream("GET", f"{gateway.url}/mcp/sse", headers=key) as stream,
    ):
        assert stream.status_code == 200
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as half:
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            assert (await client.get(f"{gateway.url}/healthz")).status_code == 200
            await gateway.stop(signal.SIGTERM)
    found = lines(gateway)
    assert any("ATLAS Governance Gateway" in line["message"] for line in found)
    assert not [line for line in found if line["level"] == "ERROR"]


async def test_a_gateway_that_does_not_start_says_so_in_json(tmp_path: Path) -> None:
    """Its data directory is held by another one."""
    first = GatewayProcess(tmp_path, **JSON)
    await first.start()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "gateway.py")),
            cwd=tmp_path,
            env=first.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    finally:
        await first.kill()
    found = [json.loads(line) for line in output.decode().splitlines()]
    assert any("does not start" in line["message"] for line in found if line["level"] == "ERROR")


async def test_without_the_setting_the_log_has_no_lines_about_states(gateway: GatewayProcess) -> None:
    """The ledger has them."""
    async with gateway.agent() as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
    assert SAID not in gateway.newest_log() and not gateway.newest_log().startswith("{")


def test_each_state_has_an_act_that_leads_to_it() -> None:
    """So that no change of state is left out."""
    assert set(STATES.values()) == set(Status)
    assert all(
        action.value.partition(".")[0] in ("admit", "decide", "execute", "report") for action in STATES
    )
    assert Action.ASSESSED not in STATES


@pytest.mark.parametrize("text", ["two\nlines", 'quoted "text"', "\x1b[31mred", "ä € 𝄞", "\u2028"])
def test_a_record_is_one_line_with_all_that_it_says(text: str) -> None:
    """Errors too, with their traceback, and what stands beside the sentence."""
    try:
        raise ValueError(text)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "", 0, "said %s", (text,), info)
    setattr(record, FIELDS, {"ref": text})
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == f"said {text}" and told["ref"] == text and "ValueError" in told["exception"]
