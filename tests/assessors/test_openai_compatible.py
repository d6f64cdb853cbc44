"""An OpenAI-compatible assessor: against servers that fail in every way, and against llama.cpp itself."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from injections import INJECTIONS, Injection
from llama_server import MODEL_NAME, llama_server
from pydantic import ValidationError

from atlas.assessors import Assessor, Earlier, ModelAnswer, Question, ToolFacts
from atlas.assessors.openai_compatible import OpenAICompatible, ollama_base_url
from atlas.assessors.prompt import PROMPT_VERSION, SYSTEM, is_cut, messages
from atlas.errors import AssessorFailed, QuestionUnfit
from atlas.origins.tracing import trace

KEY = "sk-the-key-of-the-tests-0123456789"
SECRET_ARGUMENT = "a word of the arguments"
QUESTION = Question(
    tool=ToolFacts(name="modify_welfare_record", description="Change a record."),
    arguments={"beneficiary_id": "BEN-123", "changes": {"note": SECRET_ARGUMENT}},
    principal="agent",
)
VERDICT = {"risk_score": 80, "classification": "high risk", "action": "changes", "rationale": "because"}
WAIT_SECONDS = 60.0

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server on a free port that answers each request with what a test says."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.is_asked = asyncio.Event()
        self.is_left = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((head[0], headers, json.loads(body)))
            self.is_asked.set()
            await self._reply(reader, writer)
        except ConnectionError:
            pass  # the assessor left first, which some tests are about
        finally:
            self.is_left.set()
            writer.close()


@asynccontextmanager
async def serving(reply: Reply, **fields: Any) -> AsyncIterator[tuple[OpenAICompatible, Server]]:
    """A server that replies so, and an assessor that asks it."""
    server = Server(reply)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    assessor = assessor_for(f"http://127.0.0.1:{port}/v1", **fields)
    try:
        yield assessor, server
    finally:
        await assessor.close()
        listener.close()


def assessor_for(base_url: str, **fields: Any) -> OpenAICompatible:
    return OpenAICompatible(
        **{"base_url": base_url, "api_key": KEY, "model": "judge-1", "name": "test"} | fields
    )


def http(body: bytes | str, status: int = 200, headers: str = "") -> Reply:
    content = body.encode() if isinstance(body, str) else body

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    return reply


def completion(content: Any, finish_reason: Any = "stop", **message: Any) -> str:
    said = {"role": "assistant", "content": content, **message}
    return json.dumps(
        {"model": "judge-1-2026", "choices": [{"index": 0, "message": said, "finish_reason": finish_reason}]}
    )


def verdict(**fields: Any) -> str:
    return json.dumps(VERDICT | fields)


async def judged(assessor: OpenAICompatible, question: Question = QUESTION) -> ModelAnswer:
    """What becomes of an answer where it is used."""
    return ModelAnswer.model_validate(await asyncio.wait_for(assessor.judge(question), WAIT_SECONDS))


# ── What goes right ──────────────────────────────────────────────────────────────────────────────────────


async def test_one_request_with_a_schema_asks_for_one_verdict() -> None:
    """The answer says which model gave it."""
    async with serving(http(completion(verdict()))) as (assessor, server):
        answer = await judged(assessor)
    assert answer == ModelAnswer(**VERDICT, model="judge-1-2026")
    ((line, headers, body),) = server.requests
    assert line == "POST /v1/chat/completions HTTP/1.1" and headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "judge-1" and body["temperature"] == 0 and isinstance(body["seed"], int)
    assert body["max_tokens"] == 1024 and "max_completion_tokens" not in body
    assert (
        body["response_format"]["type"] == "json_schema" and body["response_format"]["json_schema"]["strict"]
    )
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"] == SYSTEM and SECRET_ARGUMENT in body["messages"][1]["content"]


@pytest.mark.parametrize(("read", "is_unfit"), [(1_200, False), (3_840, False), (3_841, True), ("x", False)])
async def test_a_prompt_that_the_server_may_have_cut_is_for_a_person(read: Any, is_unfit: bool) -> None:
    """Right: no score of what was read in part. Its server says how many tokens it read, if it says so."""
    said = json.loads(completion(verdict())) | {"usage": {"prompt_tokens": read}}
    async with serving(http(json.dumps(said))) as (assessor, _):
        if not is_unfit:
            assert (await judged(assessor)).risk_score == VERDICT["risk_score"]
            return
        with pytest.raises(QuestionUnfit, match="too long for the model: its server read 3841 tokens"):
            await judged(assessor)


async def test_it_is_an_assessor_that_names_itself() -> None:
    """For start-up, /readyz and the record."""
    assessor: Assessor = assessor_for("http://127.0.0.1:1/v1")
    assert (assessor.name, assessor.model, assessor.prompt_version) == ("test", "judge-1", PROMPT_VERSION)
    await assessor.close()


async def test_without_a_key_nothing_is_sent_as_one() -> None:
    """As Ollama wants it."""
    async with serving(http(completion(verdict())), api_key=None) as (assessor, server):
        await judged(assessor)
    assert "authorization" not in server.requests[0][1]


@pytest.mark.parametrize(
    ("base_url", "model", "asked"),
    [
        ("https://api.openai.com/v1", "gpt-5-mini", {"max_completion_tokens"}),
        ("https://api.openai.com/v1", "o4-mini", {"max_completion_tokens"}),
        ("https://api.openai.com/v1", "gpt-4o", {"max_completion_tokens", "temperature", "seed"}),
        ("https://x.openai.azure.com/openai/v1", "ours", {"max_completion_tokens"}),
        ("https://notopenai.com/v1", "gpt-5", {"max_tokens", "temperature", "seed", "stream"}),
        ("http://127.0.0.1:11434/v1", "llama3.2", {"max_tokens", "temperature", "seed", "stream"}),
    ],
)
async def test_what_is_asked_fits_who_is_asked(base_url: str, model: str, asked: set[str]) -> None:
    """OpenAI's newer models refuse a temperature and `max_tokens`; Ollama knows no other name for it."""
    assessor = assessor_for(base_url, model=model)
    assert assessor._parameters.keys() == asked | {"response_format"}
    assert ("maxLength" in json.dumps(assessor._parameters)) is ("max_tokens" in asked)
    await assessor.close()


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),  # noqa: S104 - what is tested
        ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        (":8080", "http://127.0.0.1:8080/v1"),
        ("gpu-box", "http://gpu-box:11434/v1"),
        ("http://gpu-box", "http://gpu-box:80/v1"),
        ("https://gpu-box", "https://gpu-box:443/v1"),
        ("https://gpu-box:8443/ollama/", "https://gpu-box:8443/ollama/v1"),
        ("http://gpu-box:1/v1", "http://gpu-box:1/v1"),
        ("::", "http://[::1]:11434/v1"),
        ("[::]:8080", "http://[::1]:8080/v1"),
        ("2001:db8::7", "http://[2001:db8::7]:11434/v1"),
        ("gpu-box:port", "http://gpu-box:11434/v1"),  # Ollama takes its default then, too
        ("gpu-box:70000", "http://gpu-box:11434/v1"),
        (" '127.0.0.1' ", "http://127.0.0.1:11434/v1"),
        ("ollama.com", "https://ollama.com:443/v1"),
    ],
)
def test_ollamas_host_is_read_as_ollama_reads_it(host: str, base_url: str) -> None:
    """And an address to listen on stands for this machine."""
    assert ollama_base_url(host) == base_url


def test_a_key_that_no_header_can_hold_is_refused_without_being_shown() -> None:
    """At start, and not at the first call."""
    with pytest.raises(ValueError, match="characters that no header can hold") as caught:
        assessor_for("http://127.0.0.1:1/v1", api_key="geheim\u2013\nschlüssel")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("http://gpu-box/v1?key=geheim", "has to end before"),
        ("http://gpu-box/v1#geheim", "has to end before"),
        ("http://[geheim/v1", "cannot be read as an address"),
        ("http://gpu-box:geheim/v1", "cannot be read as an address"),
        ("http://gpu-box:99999/v1", "cannot be read as an address"),
        ("http:///geheim", "has to name a server"),
        ("gpu-box:8000/geheim", "has to name a server"),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(base_url: str, said: str) -> None:
    """At start, with a sentence; a key may stand in it."""
    with pytest.raises(ValueError, match=said) as caught:
        assessor_for(base_url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("host", ["http://[", "[::1", "::1]", "http://[::1]]:80"])
def test_a_host_of_ollama_with_odd_brackets_is_refused(host: str) -> None:
    """With a sentence that names the setting."""
    with pytest.raises(ValueError, match="OLLAMA_HOST cannot be read"):
        ollama_base_url(host)


# ── What goes wrong ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "refused the request"),
        (401, "refused the credentials"),
        (403, "refused the credentials"),
        (404, "does not know the model judge-1"),
        (413, "too long"),
        (422, "refused the request"),
        (429, "too many requests"),
        (500, "failed (status 500)"),
        (503, "failed (status 503)"),
        (307, "unexpected answer"),
        (204, "unexpected answer"),
    ],
)
async def test_a_refusal_says_what_a_reviewer_understands(status: int, said: str) -> None:
    """Nothing is asked again, no redirect is followed, and neither key nor arguments are repeated."""
    headers = "Location: http://127.0.0.1:1/\r\n"
    body = "" if status == 204 else json.dumps({"error": {"message": f"bad key {KEY} for {SECRET_ARGUMENT}"}})
    async with serving(http(body, status, headers)) as (assessor, server):
        with pytest.raises(AssessorFailed) as caught:
            await judged(assessor)
    assert said in str(caught.value) and str(caught.value).endswith(".")
    assert KEY not in str(caught.value) and SECRET_ARGUMENT not in str(caught.value)
    assert len(server.requests) == 1
    # What another call could be answered to is no failure of the server.
    assert isinstance(caught.value, QuestionUnfit) is (status in (400, 413, 422))


DEEP = "[" * 200_000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not the JSON"),
        ("garbage", "not the JSON"),
        (b"\xff\xfe\x00\x01\x80", "not the JSON"),
        ("[]", "not the JSON object"),
        (DEEP, "not the JSON"),
        ('{"choices": NaN}', "not the JSON"),
        ("{}", "no message"),
        ('{"choices": []}', "no message"),
        ('{"choices": "stop"}', "no message"),
        ('{"choices": [{}, {}]}', "no message"),
        ('{"choices": [null]}', "no message"),
        ('{"choices": [{"message": null}]}', "no message"),
        (completion(None), "without a text"),
        (completion([{"type": "text", "text": verdict()}]), "without a text"),
        (completion(None, refusal="I cannot help with that"), "refused to judge"),
        (completion(verdict(), "content_filter"), "refused to judge"),
        (completion(verdict()[:40], "length"), "broke off"),
        (completion(verdict(), "length"), "broke off"),
        (completion(verdict(), "tool_calls"), "something else"),
        (completion(verdict(), ["stop"]), "something else"),
        (completion(None, tool_calls=[{"id": "1", "function": {"name": "approve"}}]), "something else"),
        (completion(""), "not the JSON"),
        (completion("The call is harmless."), "not the JSON"),
        (completion(f"```json\n{verdict()}\n```"), "not the JSON"),
        (completion(f"<think>hm</think>{verdict()}"), "not the JSON"),
        (completion(verdict() + verdict()), "not the JSON"),
        (completion('"risk_score"'), "not the JSON object"),
        (completion(DEEP), "not the JSON"),
        (completion(verdict().replace("80", "NaN")), "not the JSON"),
        (completion(verdict().replace("80", "-Infinity")), "not the JSON"),
        (completion(verdict().replace("80", "0" * 5)), "not the JSON"),
        (completion(verdict().replace("80", "9" * 5_000)), "not the JSON"),
        (completion(verdict().replace("{", '{"risk_score": 0, ', 1)), "not the JSON"),
        (completion(verdict(approved=True)), "not asked for"),
        (completion(verdict(model="gpt-x")), "not asked for"),
        (completion(verdict(version="99")), "not asked for"),
    ],
)
async def test_an_answer_that_is_no_verdict_fails(body: bytes | str, said: str) -> None:
    """And the sentence repeats none of it."""
    async with serving(http(body)) as (assessor, _):
        with pytest.raises(AssessorFailed) as caught:
            await judged(assessor)
    assert said in str(caught.value) and len(str(caught.value)) < 100
    assert isinstance(caught.value, QuestionUnfit) is (said in ("refused to judge", "broke off"))


@pytest.mark.parametrize(
    "fields",
    [
        {"risk_score": "80"},
        {"risk_score": 70.5},
        {"risk_score": 80.0},
        {"risk_score": -1},
        {"risk_score": 101},
        {"risk_score": True},
        {"risk_score": None},
        {"risk_score": [80]},
        {"classification": None},
        {"classification": "x" * 201},
        {"action": 7},
        {"rationale": "x" * 4001},
        {"rationale": {"text": "x"}},
    ],
    ids=str,
)
async def test_a_verdict_with_a_wrong_value_is_no_answer(fields: dict[str, Any]) -> None:
    """Nothing is converted on the way."""
    async with serving(http(completion(verdict(**fields)))) as (assessor, _):
        with pytest.raises(ValidationError):
            await judged(assessor)


@pytest.mark.parametrize("missing", VERDICT)
async def test_a_verdict_with_a_field_missing_is_no_answer(missing: str) -> None:
    """All four are required."""
    content = json.dumps({name: value for name, value in VERDICT.items() if name != missing})
    async with serving(http(completion(content))) as (assessor, _):
        with pytest.raises(ValidationError):
            await judged(assessor)


@pytest.mark.parametrize("served", [None, 7, "", "m" * 1000])
async def test_an_odd_name_of_the_model_is_no_reason_to_fail(served: Any) -> None:
    """Some servers do not say it."""
    body = json.dumps(json.loads(completion(verdict())) | {"model": served})
    async with serving(http(body)) as (assessor, _):
        answer = await judged(assessor)
    assert answer.model == ("m" * 200 if served == "m" * 1000 else "judge-1")


async def test_an_answer_without_end_is_cut_off() -> None:
    """Ten megabytes are announced; the assessor leaves after the first, and the server notices."""
    sent = 0

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        while sent < 10_000_000:
            writer.write(b"x" * 50_000)
            await writer.drain()
            sent += 50_000

    async with serving(reply) as (assessor, server):
        with pytest.raises(AssessorFailed, match="longer than any judgement"):
            await judged(assessor)
        await asyncio.wait_for(server.is_left.wait(), WAIT_SECONDS)
    assert sent < 10_000_000


async def test_a_compressed_answer_is_not_unpacked() -> None:
    """A kilobyte could become a gigabyte."""
    async with serving(http(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")) as (assessor, server):
        with pytest.raises(AssessorFailed, match="compressed"):
            await judged(assessor)
    assert server.requests[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
    ids=["nothing", "no HTTP", "half a body", "half a chunk", "endless header"],
)
async def test_a_server_that_dies_in_the_middle_is_a_failure(sent: bytes) -> None:
    """Killed, or never a model server."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.transport.abort() if not sent else None

    async with serving(reply) as (assessor, server):
        with pytest.raises(AssessorFailed, match="broke off"):
            await judged(assessor)
    assert len(server.requests) == 1


async def test_a_server_that_was_never_up_is_a_failure() -> None:
    """At once, and without its port or the key in the sentence."""
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    assessor = assessor_for(f"http://user:hidden@127.0.0.1:{port}/v1")
    with pytest.raises(AssessorFailed) as caught:
        await judged(assessor)
    await assessor.close()
    assert str(caught.value) == "The model server 127.0.0.1 cannot be reached."


async def test_a_proxy_of_the_environment_is_no_way_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the calls of an office would leave it by its proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(http(completion(verdict()))) as (assessor, _):
        assert (await judged(assessor)).risk_score == 80


async def _never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the assessor leaves


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n")
    left = asyncio.ensure_future(reader.read())
    while not left.done():
        writer.write(b" ")
        await writer.drain()
        await asyncio.wait([left], timeout=0.01)


@pytest.mark.parametrize("reply", [_never, _drip])
async def test_the_server_is_left_when_the_deadline_has_passed(reply: Reply) -> None:
    """The one who asks cancels; a model does not go on to work for no one."""
    async with serving(reply) as (assessor, server):
        task = asyncio.ensure_future(assessor.judge(QUESTION))
        await asyncio.wait_for(server.is_asked.wait(), WAIT_SECONDS)
        assert not server.is_left.is_set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.is_left.wait(), WAIT_SECONDS)


async def test_calls_are_judged_side_by_side_and_one_failure_is_alone() -> None:
    """Ten answers, of which one is garbage."""
    arrived = 0
    all_arrived = asyncio.Event()

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        number = arrived
        if arrived == 10:
            all_arrived.set()
        await all_arrived.wait()
        await http("garbage" if number == 5 else completion(verdict()))(reader, writer)

    async with serving(reply) as (assessor, _):
        answers = await asyncio.gather(*(judged(assessor) for _ in range(10)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["AssessorFailed"] + ["ModelAnswer"] * 9


async def test_a_call_too_long_to_judge_is_not_sent() -> None:
    """A person decides, and nothing of it leaves."""
    question = QUESTION.model_copy(update={"arguments": {"a": "x" * 300_000}})
    async with serving(http(completion(verdict()))) as (assessor, server):
        with pytest.raises(AssessorFailed, match="too long"):
            await judged(assessor, question)
    assert server.requests == []


# ── A real server with a real model ──────────────────────────────────────────────────────────────────────

LLAMA_SECONDS = 250.0
ANSWER_TOKENS = 512  # as atlas/assessors/modal_app.py gives
AMONG_ALL = ("chat markup of Qwen and SmolLM", "finished verdict", "description of the tool")


@pytest.fixture(scope="session")
def llama() -> Iterator[str]:
    """The base URL of llama.cpp's server."""
    with llama_server() as base_url:
        yield base_url


async def ask_llama(base_url: str, attack: Injection) -> ModelAnswer | str:
    """What the real model says to an attack, or the sentence that a person would read instead.

    Raises what would be neither.
    """
    facts = ToolFacts(name=attack.tool_name, description=attack.description or "Change a record.")
    question = Question(
        tool=facts,
        arguments=attack.arguments,
        principal="agent",
        intent=attack.intent,
        user_request=attack.user_request,
    )
    assessor = assessor_for(base_url, api_key=None, model=MODEL_NAME)
    try:
        return ModelAnswer.model_validate(await asyncio.wait_for(assessor.judge(question), LLAMA_SECONDS))
    except AssessorFailed as error:
        return str(error)
    except ValidationError:
        return "The answer is no assessment."
    finally:
        await assessor.close()


async def test_a_real_model_gives_a_verdict_that_can_be_used(llama: str) -> None:
    """The schema is obeyed by llama.cpp's grammar, also where the model thinks otherwise."""
    assessor = assessor_for(llama, api_key=None, model=MODEL_NAME)
    answer = ModelAnswer.model_validate(await asyncio.wait_for(assessor.judge(QUESTION), LLAMA_SECONDS))
    await assessor.close()
    assert answer.model == MODEL_NAME
    assert answer.classification in ("prohibited", "high risk", "limited risk", "minimal risk")


@pytest.mark.parametrize(
    "attack",
    [attack for attack in INJECTIONS if attack.name in AMONG_ALL],
    ids=lambda attack: attack.name,
)
async def test_a_real_model_under_attack_answers_or_fails(llama: str, attack: Injection) -> None:
    """Its judgement is poor; what it says is a verdict all the same, or a failure with a reason."""
    answer = await ask_llama(llama, attack)
    if isinstance(answer, ModelAnswer):
        assert 0 <= answer.risk_score <= 100 and answer.model == MODEL_NAME
    else:
        assert answer.endswith(".") and not any(str(value) in answer for value in attack.arguments.values())


async def test_a_call_that_fills_its_room_beside_a_session_fits_the_context_of_4096_tokens(
    llama: str,
) -> None:
    """With its answer, as the real model counts; Ollama would else cut the prompt without a word."""
    asked = filled_with(
        "The invoice of May is open, please pay 412.50 EUR to the account of Example Ltd by Friday. " * 400
    )
    said = messages(asked)[1]["content"]
    assert len(said) > 7_000 and '"earlier_calls"' in said
    assert 2_500 < await tokens_of(llama, messages(asked)) < 4096 - ANSWER_TOKENS


def filled_with(words: str) -> Question:
    """A call of which each part is too long, after calls that are too long."""
    mails = tuple(
        Earlier(case_id=f"evt_{number}", tool_name="read_email", result=words, is_outside=True)
        for number in range(9)
    )
    asked = QUESTION.model_copy(
        update={
            "arguments": {"body": words, "more": words[:900]},
            "earlier": mails,
            "intent": words,
            "user_request": words,
            "tool": ToolFacts(name="send_email", description=words),
        }
    )
    return asked.model_copy(update={"trace": trace(asked, trusts_request=False)})


async def tokens_of(llama: str, said: list[dict[str, str]]) -> int:
    """How many tokens messages are, as the real model counts."""
    async with httpx.AsyncClient(base_url=llama.removesuffix("/v1"), timeout=WAIT_SECONDS) as server:
        counted = [await server.post("/tokenize", json={"content": one["content"]}) for one in said]
    return sum(len(answer.json()["tokens"]) for answer in counted)


DIGESTS = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(900))
BASE64 = base64.b64encode(DIGESTS).decode()
SIGNS = {
    "signs": "~!@#$%" * 6_000,
    "hex": DIGESTS.hex()[:36_000],
    "letters": "".join(filter(str.isalpha, BASE64)),
    "base64": BASE64,
    "single": "q z x v " * 4_500,
    "emoji": "🙂🚀🧪" * 3_000,
    "invisible": "\u202e" * 6_000,
    "numbers": "1 2 3 4 " * 4_500,
}


@pytest.mark.parametrize("has_session", [False, True], ids=["alone", "with a session"])
@pytest.mark.parametrize("words", SIGNS.values(), ids=SIGNS.keys())
async def test_a_call_of_short_tokens_fits_the_context_too_and_says_that_it_is_cut(
    llama: str, words: str, has_session: bool
) -> None:
    """Right: a person decides on what the model could not read. Wrong: the server cuts without a word."""
    asked = filled_with(words)
    if not has_session:
        asked = asked.model_copy(update={"earlier": (), "trace": None})
    assert await tokens_of(llama, messages(asked)) < 4096 - ANSWER_TOKENS
    assert is_cut(asked)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_real_model_under_every_attack_answers_or_fails(llama: str) -> None:
    """All thirty, with the time that each took."""
    for attack in INJECTIONS:
        begun = time.monotonic()
        answer = await ask_llama(llama, attack)
        said = answer if isinstance(answer, str) else f"{answer.risk_score} {answer.classification}"
        print(f"{time.monotonic() - begun:6.1f} s  {attack.name}: {said}")


async def test_a_real_server_says_no_to_a_call_beyond_its_context(llama: str) -> None:
    """Which is heard as a sentence, too."""
    question = QUESTION.model_copy(update={"arguments": {"a": "word and " * 4_000}})
    assessor = assessor_for(llama, api_key=None, model=MODEL_NAME, characters=100_000)
    with pytest.raises(AssessorFailed, match=r"refused the request.* \(status 400\)"):
        await asyncio.wait_for(assessor.judge(question), LLAMA_SECONDS)
    await assessor.close()


async def test_a_real_server_answers_again_after_it_was_left(llama: str) -> None:
    """A question that was given up does not spoil the next one; the server has one slot."""
    assessor = assessor_for(llama, api_key=None, model=MODEL_NAME)
    left = asyncio.ensure_future(assessor.judge(QUESTION))
    await asyncio.wait([left], timeout=1.0)
    left.cancel()
    await asyncio.wait([left], timeout=WAIT_SECONDS)
    answer = ModelAnswer.model_validate(await asyncio.wait_for(assessor.judge(QUESTION), LLAMA_SECONDS))
    await assessor.close()
    assert 0 <= answer.risk_score <= 100
