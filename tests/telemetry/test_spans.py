"""Spans, as a real receiver of OTLP gets them from a real gateway."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from acceptance.conformance_suite import configuration, fixture_server
from bad_receivers import ENOUGH, Answer, Bad, bad_receiver, drip_body, drip_head, flood, saying
from gateway_process import AGENT_KEY, GatewayProcess, call, outcome, reference_in, text_of
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, mcp_attributes
from opentelemetry.semconv.attributes import error_attributes
from otlp_receiver import QUICK, Receiver, otlp_receiver

from atlas.telemetry import names

READS, RISKY = "check_status", "modify_welfare_record"
AGENT = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "agent=any-text"}
OF_AGENT = ("a" * 32, "b" * 16)
FIRST, EXECUTION = f"tools/call {READS}", f"execute_tool {READS}"


@asynccontextmanager
async def started(directory: Path, receiver: Receiver, **environment: str) -> AsyncIterator[GatewayProcess]:
    """A gateway that sends its spans to a receiver."""
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url} | QUICK
    gateway = GatewayProcess(directory, **(told | environment))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def traced(agent: Any, tool: str, **arguments: Any) -> Any:
    """Call a tool within a trace of the agent's."""
    return await agent.call_tool(tool, arguments, meta=AGENT, raise_on_error=False)


def changes(number: int = 1) -> dict[str, object]:
    """What a person has to decide on."""
    return {"beneficiary_id": "BEN-124", "changes": {"monthly_amount_eur": number}}


async def test_a_call_is_a_span_with_one_for_each_stage_below_it(tmp_path: Path) -> None:
    """In a trace of the gateway's own, which points to the agent's; nothing of the arguments is sent."""
    async with otlp_receiver() as receiver, started(tmp_path, receiver) as gateway:
        async with gateway.agent() as agent:
            assert not (await traced(agent, READS, beneficiary_id="BEN-123")).is_error
        first, execution = await receiver.span(FIRST), await receiver.span(EXECUTION)
        stages = [await receiver.span(name) for name in ("admit", "assess", "decide")]
    assert first.kind == "SERVER" and first.parent_id == "" and first.trace_id != "a" * 32
    assert first.links == (OF_AGENT,)
    assert {one.parent_id for one in (*stages, execution)} == {first.span_id}
    assert {one.trace_id for one in (*stages, execution)} == {first.trace_id}
    assert first.attributes[names.MCP_METHOD] == "tools/call" and first.attributes[names.TOOL] == READS
    assert (
        first.attributes[names.OPERATION] == "execute_tool" and names.MCP_PROTOCOL_VERSION in first.attributes
    )
    assert execution.kind == "INTERNAL" and execution.attributes[names.OUTCOME] == "finished"
    assert stages[1].attributes[names.RISK_SCORE] < 70
    assert stages[2].attributes[names.DECIDED_BY] == "score"
    assert len({one.attributes[names.REFERENCE] for one in (*stages, execution)}) == 1
    assert not any(one.is_error for one in receiver.spans)
    assert receiver.resources[0]["service.name"] == "atlas-gateway"
    _holds_nothing(receiver, "BEN-123", "any-text", AGENT_KEY, "agent-key")


def _holds_nothing(receiver: Receiver, *texts: str) -> None:
    sent = b"".join(receiver.bodies)
    assert sent and not [text for text in texts if text.encode() in sent]


@pytest.mark.parametrize("far", ["continue", "through"])
async def test_the_trace_of_an_agent_goes_on_where_the_operator_allows_it(tmp_path: Path, far: str) -> None:
    """Then the span of the call is a child of the agent's."""
    async with otlp_receiver() as receiver, started(tmp_path, receiver, ATLAS_AGENT_TRACES=far) as gateway:
        async with gateway.agent() as agent:
            await traced(agent, READS, beneficiary_id="BEN-123")
            await call(agent, READS, beneficiary_id="BEN-124")
        first, other = await receiver.named(FIRST, 2)
        executions = await receiver.named(EXECUTION, 2)
    assert (first.trace_id, first.parent_id) == OF_AGENT and first.links == ()
    assert executions[0].trace_id == "a" * 32
    assert other.parent_id == "" and other.trace_id != "a" * 32, "this call had no trace of its agent's"


async def test_what_a_person_decides_after_a_restart_points_to_the_call(tmp_path: Path) -> None:
    """The wait is no span: decision and execution are another trace, with a link to the first."""
    async with otlp_receiver() as receiver, started(tmp_path, receiver) as gateway:
        async with gateway.agent() as agent:
            ref = reference_in(await traced(agent, RISKY, **changes()))
        first = await receiver.span(f"tools/call {RISKY}")
        await gateway.kill()
        await gateway.start()
        assert (await gateway.decide(ref)).is_success
        async with gateway.agent() as agent:
            assert "EXECUTED" in text_of(await outcome(agent, ref))
        execution = await receiver.span(f"execute_tool {RISKY}")
        decided = [
            one for one in await receiver.named("decide", 2) if one.attributes[names.OUTCOME] == "approved"
        ]
    assert decided[0].trace_id != first.trace_id and decided[0].parent_id == ""
    assert decided[0].links == ((first.trace_id, first.span_id),)
    assert (
        decided[0].attributes[names.WAITED_SECONDS] > 0
        and decided[0].attributes[names.DECIDED_BY] == "person"
    )
    assert (execution.trace_id, execution.parent_id) == (decided[0].trace_id, decided[0].span_id)
    assert execution.attributes[names.REFERENCE] == ref
    assert first.seconds < 60, "it ended with the reference, and not with the decision"


async def test_an_execution_whose_decision_another_process_heard_of_points_to_the_call(
    tmp_path: Path,
) -> None:
    """An approval that can be taken back begins after a restart: the decision's own trace is gone."""
    (tmp_path / "policy.toml").write_text(f'[[rule]]\ntool = "{RISKY}"\nscore = 90\nundo = "3s"\n')
    own = {"ATLAS_POLICY": str(tmp_path / "policy.toml")}
    async with otlp_receiver() as receiver, started(tmp_path, receiver, **own) as gateway:
        async with gateway.agent() as agent:
            ref = reference_in(await traced(agent, RISKY, **changes()))
        first = await receiver.span(f"tools/call {RISKY}")
        assert (await gateway.decide(ref)).is_success
        await gateway.kill()
        await gateway.start()
        execution = await receiver.span(f"execute_tool {RISKY}")
    assert execution.parent_id == "" and execution.trace_id != first.trace_id
    assert execution.links == ((first.trace_id, first.span_id),)


async def test_what_a_tool_refuses_is_an_error_without_its_words(tmp_path: Path) -> None:
    """They may repeat arguments."""
    async with otlp_receiver() as receiver, started(tmp_path, receiver) as gateway:
        async with gateway.agent() as agent:
            assert (await call(agent, READS, beneficiary_id="BEN-999")).is_error
            assert (await call(agent, "no_such_tool_of_anyone", secret="hidden")).is_error
        execution, first = await receiver.span(EXECUTION), await receiver.span(FIRST)
        unknown = await receiver.span("tools/call")
    for span in (execution, first):
        assert span.is_error and span.message == "" and span.attributes[names.ERROR_TYPE] == "tool_error"
    assert unknown.is_error and unknown.attributes[names.ERROR_TYPE] == "unknown_tool"
    _holds_nothing(receiver, "BEN-999", "no_such_tool_of_anyone", "hidden")


async def test_arguments_are_sent_where_they_are_asked_for_and_secrets_stay(tmp_path: Path) -> None:
    """As they are masked for a model; what is longer than 4 KB is told by its length."""
    own = {"ATLAS_TRACE_ARGUMENTS": "on", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20of-collector"}
    secret = "sk-proj-" + "Zq8" * 16
    async with otlp_receiver() as receiver, started(tmp_path, receiver, **own) as gateway:
        async with gateway.agent() as agent:
            await call(
                agent, "request_payment_extension", beneficiary_id="BEN-123", reason=f"My key is {secret}"
            )
            ref = reference_in(await call(agent, RISKY, **changes(77)))
            await gateway.decide(ref)
            await outcome(agent, ref)
        execution = await receiver.span(f"execute_tool {RISKY}")
    assert json.loads(execution.attributes[names.ARGUMENTS]) == changes(77)
    assert receiver.headers[0]["authorization"] == "Bearer of-collector"
    _holds_nothing(receiver, secret)


POLICY_OF_TWO = """
[[rule]]
tool = "fx_tell_meta"
score = {score}
"""


@pytest.mark.parametrize(("far", "score"), [("link", 5), ("continue", 5), ("through", 5), ("through", 90)])
async def test_a_server_behind_the_gateway_is_told_of_the_trace_where_the_operator_allows_it(
    tmp_path: Path, far: str, score: int
) -> None:
    """Of the gateway's own span, and nothing else that the agent said; after a wait, of the new trace."""
    async with otlp_receiver() as receiver, fixture_server(tmp_path, "http") as url:
        settings = configuration(tmp_path, url, prefix="fx") | {"ATLAS_AGENT_TRACES": far}
        policy = tmp_path / "policy.toml"
        policy.write_text(POLICY_OF_TWO.format(score=score) + policy.read_text().partition("\n\n")[2])
        async with started(tmp_path, receiver, **settings) as gateway:
            async with gateway.agent() as agent:
                answer = await agent.call_tool("fx_tell_meta", {}, meta=AGENT, raise_on_error=False)
                if score > 70:
                    await gateway.decide(ref := reference_in(answer))
                    answer = await outcome(agent, ref)
            found = [
                one for one in await receiver.named("tools/call fx_tell_meta", 2) if one.kind == "CLIENT"
            ]
    said = text_of(answer)
    told = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert found[0].attributes[names.SERVER] == "fixture"
    assert "tracestate" not in told
    if far != "through":
        assert "traceparent" not in told
        return
    assert told["traceparent"].startswith(f"00-{found[0].trace_id}-{found[0].span_id}-")
    assert (found[0].trace_id == "a" * 32) is (score < 70)


async def test_a_collector_that_is_gone_holds_up_neither_calls_nor_the_stop(tmp_path: Path) -> None:
    """What it does not take is lost, and nothing else."""
    async with started(tmp_path, Receiver(url="http://127.0.0.1:9")) as gateway:
        async with gateway.agent() as agent:
            assert not (await call(agent, READS, beneficiary_id="BEN-123")).is_error
        assert await gateway.stop() == 0
    assert "Traceback" not in gateway.newest_log()


def refused_by(here: Bad, directory: Path) -> AbstractAsyncContextManager[GatewayProcess]:
    """A gateway whose collector is a bad one."""
    return started(directory, Receiver(url=f"http://{here.place}"))


@pytest.mark.parametrize("answer", [flood, drip_body, drip_head], ids=["endless", "slow", "slow_head"])
async def test_a_collector_that_answers_without_end_is_left_alone(tmp_path: Path, answer: Answer) -> None:
    """It takes no memory, and the gateway ends."""
    async with bad_receiver(answer) as here, refused_by(here, tmp_path) as gateway:
        async with gateway.agent() as agent:
            assert not (await call(agent, READS, beneficiary_id="BEN-123")).is_error
        await here.was_left()
        assert await gateway.stop() == 0
    assert here.written < ENOUGH


async def test_a_collector_that_names_another_place_sends_the_spans_nowhere(tmp_path: Path) -> None:
    """Neither they nor the key for the collector go there."""
    answer = saying("307 Temporary Redirect", head="Location: http://{place}/internal")
    async with bad_receiver(answer) as here, refused_by(here, tmp_path) as gateway:
        async with gateway.agent() as agent:
            await call(agent, READS, beneficiary_id="BEN-123")
        await here.was_asked()
        assert await gateway.stop() == 0
    assert {line.split()[1] for line in here.asked} == {"/v1/traces"}


def test_the_names_are_those_of_the_conventions() -> None:
    """As OpenTelemetry's own package has them, which says when one is renamed."""
    assert names.MCP_METHOD == mcp_attributes.MCP_METHOD_NAME
    assert names.MCP_PROTOCOL_VERSION == mcp_attributes.MCP_PROTOCOL_VERSION
    assert mcp_attributes.McpMethodNameValues.TOOLS_CALL.value == names.TOOLS_CALL
    assert names.OPERATION == gen_ai_attributes.GEN_AI_OPERATION_NAME
    assert gen_ai_attributes.GenAiOperationNameValues.EXECUTE_TOOL.value == names.EXECUTE_TOOL
    assert names.TOOL == gen_ai_attributes.GEN_AI_TOOL_NAME
    assert names.ARGUMENTS == gen_ai_attributes.GEN_AI_TOOL_CALL_ARGUMENTS
    assert names.ERROR_TYPE == error_attributes.ERROR_TYPE
