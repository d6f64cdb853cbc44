"""Modal as an assessor: each failure is a reason that a person reads, within the caller's deadline."""

import asyncio
import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pytest
from grpclib import Status
from modal_loopback import LoopbackModal, Raw
from modal_loopback.functions import answer, low
from modal_process import ModalProcess
from modal_proto import api_pb2
from pydantic import ValidationError

from atlas.assessors import DurableAssessor, ModelAnswer, Question, ToolFacts
from atlas.assessors.modal_function import ModalFunction, ModalName, parse_function_name
from atlas.errors import AssessorFailed

NAME = "nislam-mics/ATLAS-NIST-Measure"
TOKEN = {"ak-test": "as-test"}
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
PATIENT_SECONDS = 60.0  # what a busy machine may take
QUESTION = Question(
    tool=ToolFacts(name="modify_welfare_record", is_destructive=True),
    arguments={"amount": 900, "note": f"the key is {SECRET}"},
    principal="agent",
)
POWER = bytes.fromhex("c5821b00ffffffffffffff01")  # 2 to the power of 72057594037927935, in CBOR
RESULT = api_pb2.GenericResult


@pytest.fixture
async def modal(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopbackModal]:
    """A control plane on loopback that knows one token."""
    async with LoopbackModal(tokens=TOKEN) as running:
        monkeypatch.setenv("MODAL_SERVER_URL", running.url)
        yield running


@asynccontextmanager
async def assessor(name: str = NAME, **fields: Any) -> AsyncIterator[ModalFunction]:
    """An assessor with the right token, closed afterwards."""
    made = ModalFunction(function_name=name, **{"token_id": "ak-test", "token_secret": "as-test", **fields})
    try:
        yield made
    finally:
        await made.close()


async def judged(name: str = NAME, **fields: Any) -> Any:
    """The answer, or the reason why there is none."""
    async with assessor(name, **fields) as made:
        return await asyncio.wait_for(made.judge(QUESTION), PATIENT_SECONDS)


def register(modal: LoopbackModal, handler: Callable[..., Any], **fields: Any) -> None:
    app_name, _, name = NAME.partition("/")
    modal.register(app_name, name, handler, **fields)


async def eventually(condition: Callable[[], Any], seconds: float = PATIENT_SECONDS) -> None:
    """Wait until something is so, with an end."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never became so"
        await asyncio.sleep(0.02)


# --- names ---


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (NAME, ModalName("nislam-mics", "ATLAS-NIST-Measure")),
        (" app / fn ", ModalName("app", "fn")),
        ("app/Class.method", ModalName("app", "method", "Class")),
        ("staging/app/fn", ModalName("app", "fn", None, "staging")),
        ("staging/app/Class.method", ModalName("app", "method", "Class", "staging")),
    ],
)
def test_a_name_is_read_as_app_and_function(text: str, name: ModalName) -> None:
    """The forms that are documented."""
    assert parse_function_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",  # no function
        "app/",
        "/fn",
        "a/b/c/d",
        "a b/fn",
        "app/Class.method.more",
        "app/.method",
        "app/Class.",
        "app/fn()",
        "https://modal.com/apps/x",
        "ap-" + "a" * 22 + "/fn",  # the id of an app
        "a" * 65 + "/fn",
    ],
)
def test_a_name_that_names_no_function_is_refused_with_a_sentence(text: str) -> None:
    """At start, not at the first call."""
    with pytest.raises(ValueError, match=r"names no function|can be no") as raised:
        parse_function_name(text)
    assert len(str(raised.value).split()) > 5


# --- what works ---


async def test_a_function_judges_and_the_sdk_is_told_no_secret(modal: LoopbackModal) -> None:
    """The payload arrives as CBOR and masked; the answer is one that is accepted."""
    seen: list[Any] = []

    def measure(payload: dict[str, Any]) -> dict[str, Any]:
        seen.append(payload)
        return answer(42)

    register(modal, measure)
    async with assessor() as made:
        assert isinstance(made, DurableAssessor)
        assert ModelAnswer.model_validate(await made.judge(QUESTION)).risk_score == 42
    assert SECRET not in repr(seen)
    assert "modify_welfare_record" in repr(seen)
    formats = {item.proto.data_format for item in modal.state.inputs.values()}
    assert formats == {api_pb2.DATA_FORMAT_CBOR}


async def test_the_format_is_cbor_no_matter_what_the_environment_says(
    modal: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MODAL_PAYLOAD_FORMAT=pickle on the gateway changes nothing."""
    monkeypatch.setenv("MODAL_PAYLOAD_FORMAT", "pickle")
    register(modal, low)
    assert (await judged())["risk_score"] == 12
    assert {item.proto.data_format for item in modal.state.inputs.values()} == {api_pb2.DATA_FORMAT_CBOR}


async def test_one_client_and_one_handle_serve_every_call(modal: LoopbackModal) -> None:
    """The function is looked up once, also when the first calls come together."""
    register(modal, low)
    async with assessor() as made:
        await asyncio.gather(*(made.judge(QUESTION) for _ in range(8)))
        await made.judge(QUESTION)
    assert modal.state.rpcs["FunctionGet"] == 1
    assert modal.state.rpcs["FunctionMap"] == 9


async def test_a_handle_is_rebuilt_once_after_the_app_was_deployed_again(modal: LoopbackModal) -> None:
    """The id of the function is another one then."""
    register(modal, low)
    async with assessor() as made:
        await made.judge(QUESTION)
        register(modal, low)
        assert (await made.judge(QUESTION))["risk_score"] == 12
    assert modal.state.rpcs["FunctionGet"] == 2


async def test_an_environment_chooses_among_apps_of_one_name(modal: LoopbackModal) -> None:
    """In the name, or beside it."""
    modal.register("app", "fn", low)
    modal.register("app", "fn", lambda payload: answer(77), environment="staging")
    assert (await judged("app/fn"))["risk_score"] == 12
    assert (await judged("staging/app/fn"))["risk_score"] == 77
    assert (await judged("app/fn", environment="staging"))["risk_score"] == 77


async def test_a_payload_bigger_than_a_message_goes_as_a_blob(modal: LoopbackModal) -> None:
    """More than 8 KiB, which the payload of a question stays below today."""
    register(modal, lambda payload: answer(payload.get("text", "").count("word") // 100))
    async with assessor() as made:
        await made.ask(QUESTION)
        assert made._wire is not None
        reference = await made._wire.spawn({"text": "word " * 3000})
        assert (await made.fetch(reference))["risk_score"] == 30
    assert len(modal.state.blobs) == 1


def test_making_an_assessor_imports_and_opens_nothing() -> None:
    """A gateway whose calls need no model pays nothing for Modal."""
    code = (
        "import sys, atlas.assessors.modal_function as m;"
        f"m.ModalFunction(function_name={NAME!r}, token_id='a', token_secret='b');"
        "print('modal' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENT_SECONDS
    )
    assert done.stdout.strip() == "False", done.stderr


# --- the failure table ---


def raising(payload: dict[str, Any]) -> None:
    raise ValueError(f"the password is {TOKEN}")


def ending(status: Any) -> Callable[..., Any]:
    return lambda payload: Raw(status=status, exception="container exited with code 1")


async def hanging(payload: dict[str, Any]) -> None:
    await asyncio.sleep(3600)  # a test that waits for it is ended by pytest


@pytest.mark.parametrize(
    ("handler", "fields", "reason"),
    [
        (low, {"token_secret": "wrong"}, "did not accept MODAL_TOKEN_ID"),
        (low, {"token_id": " "}, "are not both set"),
        (low, {"name": "stranger/ATLAS-NIST-Measure"}, "no function ATLAS-NIST-Measure of app stranger"),
        (low, {"name": "nislam-mics/other"}, "read as app nislam-mics and function other"),
        (low, {"name": "nislam-mics/Klass"}, "is a class"),
        (low, {"name": "nislam-mics/Stranger.judge"}, "no method judge of class Stranger"),
        (low, {"environment": "staging"}, "in environment staging"),
        (raising, {}, "raised ValueError."),
        (hanging, {}, "longer than its own time limit"),
        (ending(RESULT.GENERIC_STATUS_FAILURE), {}, "ended before"),  # a crash
        (ending(RESULT.GENERIC_STATUS_INIT_FAILURE), {}, "did not start"),
        (ending(RESULT.GENERIC_STATUS_KERNEL_OOM_KILL), {}, "out of memory"),
        (ending(RESULT.GENERIC_STATUS_INTERNAL_FAILURE), {}, "internal failure"),
        (ending(RESULT.GENERIC_STATUS_TERMINATED), {}, "cancelled"),
        (lambda _: Raw(b"\xff\xff not cbor"), {}, "cannot be read as CBOR"),
        (lambda _: Raw(b"\x81" * 5000 + b"\x00"), {}, "cannot be read as CBOR"),  # nested 5000 deep
        (lambda _: Raw(POWER), {}, "cannot be read as CBOR"),
        (lambda _: answer(1) | {"model": Decimal("1.5")}, {}, "cannot be read as CBOR"),  # a tagged value
        (lambda _: "x" * 100_000, {}, "far too long"),
        (lambda _: "x" * 10_000_000, {}, "far too long"),  # comes as a blob, which is not fetched
        (lambda _: Raw(b"{}", api_pb2.DATA_FORMAT_ASGI), {}, "another format than CBOR"),
        (lambda _: Raw(b"{}", api_pb2.DATA_FORMAT_UNSPECIFIED), {}, "another format than CBOR"),
    ],
)
async def test_a_failure_is_a_reason_for_a_person(
    modal: LoopbackModal, handler: Callable[..., Any], fields: dict[str, Any], reason: str
) -> None:
    """Within the deadline, and without what the function or the token says."""
    register(modal, handler, timeout=1)
    modal.register_class("nislam-mics", "Klass")
    with pytest.raises(AssessorFailed, match=reason) as raised:
        await judged(**fields)
    assert "as-test" not in str(raised.value)
    assert "password" not in str(raised.value)
    assert modal.state.blob_reads == 0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "fine",
        [],
        {},
        answer(0) | {"risk_score": "70"},
        answer(0) | {"risk_score": 70.5},
        answer(0) | {"risk_score": -1},
        answer(0) | {"risk_score": 101},
        answer(0) | {"risk_score": float("nan")},
        answer(0) | {"risk_score": True},
        {"risk_score": 3},  # fields are missing
        answer(0) | {"approved": True},  # a field too many
    ],
)
async def test_what_is_no_answer_is_refused_where_answers_are_read(modal: LoopbackModal, value: Any) -> None:
    """The wire carries it; `ModelAnswer` does not let it in."""
    register(modal, lambda payload: value)
    received = await judged()
    with pytest.raises(ValidationError):
        ModelAnswer.model_validate(received)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize(
    ("status", "data_format"),
    [
        (RESULT.GENERIC_STATUS_SUCCESS, api_pb2.DATA_FORMAT_PICKLE),
        (RESULT.GENERIC_STATUS_FAILURE, api_pb2.DATA_FORMAT_PICKLE),
        (RESULT.GENERIC_STATUS_FAILURE, api_pb2.DATA_FORMAT_UNSPECIFIED),  # as of a container that crashed
    ],
)
async def test_a_pickled_answer_or_exception_runs_no_code_in_the_gateway(
    modal: LoopbackModal, tmp_path: Path, status: Any, data_format: Any
) -> None:
    """The SDK's own way to fetch runs it, as the last lines prove: the trap is one."""
    trap = Raw(pickle.dumps(Trap(tmp_path / "ran")), data_format, status, "ValueError()")
    register(modal, lambda payload: trap)
    from modal import FunctionCall

    async with assessor() as made:
        reference = await made.ask(QUESTION)
        with pytest.raises(AssessorFailed, match=r"which is not read|raised ValueError"):
            await made.fetch(reference)
        assert not (tmp_path / "ran").exists()
        assert made._wire is not None
        with contextlib.suppress(Exception):
            await FunctionCall.from_id(reference, client=made._wire._client).get.aio()
        assert (tmp_path / "ran").exists()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def connecting() -> list[str]:
    """The attempts to connect that go on in the SDK's thread."""
    from modal._utils.async_utils import synchronizer

    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks(synchronizer._loop)]
    return [name for name in names if "create_channel" in name]


def connect_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK go on connecting until pytest ends the test, where it gives up after a minute."""
    from modal._utils import async_utils, grpc_utils

    connect = grpc_utils.create_channel_with_fallbacks.__wrapped__  # type: ignore[attr-defined]
    again = async_utils.retry(n_attempts=10_000, base_delay=0.1, max_delay=5.0, attempt_timeout=3600)
    monkeypatch.setattr(grpc_utils, "create_channel_with_fallbacks", again(connect))


async def test_a_server_that_is_never_up_keeps_nothing_beyond_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller is free at its deadline, nothing goes on connecting behind it, and it can come up later."""
    port = unused_port()
    monkeypatch.setenv("MODAL_SERVER_URL", f"http://127.0.0.1:{port}")
    threads = threading.active_count()
    connect_for_ever(monkeypatch)
    async with assessor() as made:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(made.judge(QUESTION), 1)
        await eventually(lambda: not connecting())
        assert threading.active_count() <= threads + 2  # the SDK's own thread, and a pool's
        async with LoopbackModal(port=port, tokens=TOKEN) as modal:
            register(modal, low)
            assert (await asyncio.wait_for(made.judge(QUESTION), PATIENT_SECONDS))["risk_score"] == 12


async def test_a_server_that_accepts_and_says_nothing_ends_with_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As behind a firewall that lets a connection in and drops what follows."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    monkeypatch.setenv("MODAL_SERVER_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with assessor() as made:
        with pytest.raises(asyncio.TimeoutError):  # the SDK itself waits until pytest ends the test
            await asyncio.wait_for(made.judge(QUESTION), 1)
    server.close()


async def test_a_server_that_is_killed_is_a_reason_and_serves_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with SIGKILL while an answer is awaited."""
    port = unused_port()
    monkeypatch.setenv("MODAL_SERVER_URL", f"http://127.0.0.1:{port}")
    async with assessor() as made:
        async with ModalProcess(tmp_path, port=port, seconds=60) as modal:
            waiting = asyncio.create_task(made.judge(QUESTION))
            await eventually(modal.calls)
            await modal.kill()
            with pytest.raises(AssessorFailed, match="could not be reached"):
                await asyncio.wait_for(waiting, PATIENT_SECONDS)
        async with ModalProcess(tmp_path, port=port):
            assert (await asyncio.wait_for(made.judge(QUESTION), PATIENT_SECONDS))["risk_score"] == 12


async def test_throttling_is_bounded(modal: LoopbackModal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would come again for ever; here it gives up, or ends with the caller."""
    register(modal, low)
    modal.state.throttled.add("FunctionMap")
    async with assessor() as made:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(made.judge(QUESTION), 1)
        monkeypatch.setenv("MODAL_MAX_THROTTLE_WAIT", "1")
        with pytest.raises(AssessorFailed, match="accepts no more calls"):
            await asyncio.wait_for(made.judge(QUESTION), PATIENT_SECONDS)
    from modal.config import config

    monkeypatch.delenv("MODAL_MAX_THROTTLE_WAIT")
    assert config["max_throttle_wait"] == 10


@pytest.mark.parametrize("status", [Status.PERMISSION_DENIED, Status.INTERNAL, Status.UNIMPLEMENTED])
async def test_an_rpc_that_modal_refuses_is_a_reason(modal: LoopbackModal, status: Status) -> None:
    """Each with a sentence."""
    register(modal, low)
    modal.state.refused["FunctionMap"] = status
    with pytest.raises(AssessorFailed) as raised:
        await judged()
    assert str(raised.value).endswith(".")
    assert "refused by this test" not in str(raised.value)


async def test_a_failing_call_stops_no_other(modal: LoopbackModal) -> None:
    """A hanging, a raising, a huge and a good one at once."""
    modal.register("app", "hang", hanging)
    modal.register("app", "raise", raising)
    modal.register("app", "huge", lambda payload: "x" * 10_000_000)
    modal.register("app", "good", low)

    hanging_one = asyncio.create_task(judged("app/hang"))
    names = ["raise", "huge", *["good"] * 5]
    results = await asyncio.gather(*(judged(f"app/{name}") for name in names), return_exceptions=True)
    assert all(isinstance(result, AssessorFailed) for result in results[:2])
    assert [result["risk_score"] for result in results[2:]] == [12] * 5
    assert not hanging_one.done()
    hanging_one.cancel()
    await asyncio.wait([hanging_one])


# --- deadline, cancelling, restart ---


async def test_a_judge_that_is_cancelled_returns_at_once_and_cancels_the_function(
    modal: LoopbackModal,
) -> None:
    """The input would run on and be billed otherwise."""
    register(modal, hanging)
    async with assessor() as made:
        waiting = asyncio.create_task(made.judge(QUESTION))
        await eventually(lambda: modal.state.rpcs["FunctionGetOutputs"])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: modal.state.cancelled == list(modal.state.calls))


@pytest.mark.parametrize("secret", ["as-test", "wrong"])
async def test_closing_leaves_no_connection(modal: LoopbackModal, secret: str) -> None:
    """After an answer, and right after a failure."""
    register(modal, low)
    with contextlib.suppress(AssessorFailed):
        await judged(token_secret=secret)
    await eventually(lambda: modal.connections == 0)


async def test_many_abandoned_calls_leave_no_thread_and_no_poll(modal: LoopbackModal) -> None:
    """Fifty that have reached Modal when their callers give up."""
    register(modal, hanging)
    async with assessor() as made:
        waiting = [asyncio.create_task(made.judge(QUESTION)) for _ in range(50)]
        await eventually(lambda: modal.state.rpcs["FunctionGetOutputs"] == 50)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        await eventually(lambda: len(modal.state.cancelled) == len(modal.state.calls) == 50)
        threads = threading.active_count()
        register(modal, low)
        assert (await made.judge(QUESTION))["risk_score"] == 12
        assert threading.active_count() <= threads


async def test_a_cancelled_call_is_a_reason(modal: LoopbackModal) -> None:
    """Cancelled by one who has the reference, while another waits."""
    register(modal, hanging)
    async with assessor() as made:
        reference = await made.ask(QUESTION)
        waiting = asyncio.create_task(made.fetch(reference))
        await eventually(lambda: modal.state.rpcs["FunctionGetOutputs"])
        await made.cancel(reference)
        with pytest.raises(AssessorFailed, match="was cancelled"):
            await asyncio.wait_for(waiting, PATIENT_SECONDS)


@pytest.mark.parametrize("use", ["fetch", "cancel"])
async def test_an_unknown_call_is_a_reason(modal: LoopbackModal, use: str) -> None:
    """As after the days for which Modal keeps answers."""
    async with assessor() as made:
        act: Callable[[str], Awaitable[Any]] = getattr(made, use)
        with pytest.raises(AssessorFailed, match="not know this call"):
            await asyncio.wait_for(act("fc-unknown"), PATIENT_SECONDS)


async def test_an_answer_can_be_fetched_again(modal: LoopbackModal) -> None:
    """A gateway that dies between the answer and its transaction asks for it a second time."""
    register(modal, low)
    async with assessor() as made:
        reference = await made.ask(QUESTION)
        assert await made.fetch(reference) == await made.fetch(reference) == answer(12)


ASK = """
import asyncio, sys
from atlas.assessors import Question, ToolFacts
from atlas.assessors.modal_function import ModalFunction
async def main():
    made = ModalFunction(function_name=sys.argv[1], token_id="ak-test", token_secret="as-test")
    print(await made.ask(Question(tool=ToolFacts(name="t"), arguments={}, principal="a")), flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_the_answer_outlives_the_process_that_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked in a process that is killed, fetched in this one; the function was called once."""
    async with ModalProcess(tmp_path, function=NAME, is_held=True) as modal:
        monkeypatch.setenv("MODAL_SERVER_URL", modal.url)
        asking = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ASK, NAME, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        assert asking.stdout is not None
        reference = (await asyncio.wait_for(asking.stdout.readline(), PATIENT_SECONDS)).decode().strip()
        asking.kill()
        await asking.wait()
        modal.release()
        async with assessor() as made:
            assert await asyncio.wait_for(made.fetch(reference), PATIENT_SECONDS) == answer(12)
        assert len(modal.calls()) == 1


def test_cbor_of_an_answer_is_small() -> None:
    """The longest answer that `ModelAnswer` takes fits the limit of the wire many times."""
    longest = answer(100) | {"rationale": "é" * 4000, "classification": "c" * 200, "action": "a" * 200}
    assert len(cbor2.dumps(longest)) < 10_000
