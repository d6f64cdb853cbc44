"""Each assessor in the whole path (agent, workflow, decision, execution), with real SDKs and servers."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from chat_server import chat_server
from desk_case import AGENTS
from fastmcp import Client
from gateway_process import (
    REFERENCE,
    ROOT,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    output_of,
    reference_in,
    text_of,
)
from injections import INJECTIONS, MODIFY
from kept import store_by_hand
from llama_server import MODEL_NAME, llama_server
from mail_office import EVE, mailbox
from modal_process import TOKEN_ID, TOKEN_SECRET, ModalProcess
from setup_terminal import Terminal

READ = {"beneficiary_id": "BEN-124"}
CARD, TOKEN = "4111 1111 1111 1111", "sk-proj-abcdefghijklmnop1234567890"
HANDSHAKE_SECONDS = 250.0
NOT_ENDED = ("PENDING", "EXECUTING")  # how an answer begins that is not the last one

FREE_FIELDS = Path(__file__).parent / "gateway_with_free_fields.py"


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """The base URL of a real model server."""
    with llama_server() as url:
        yield url


@asynccontextmanager
async def judged_by(
    directory: Path, script: Path = ROOT / "gateway.py", **settings: str
) -> AsyncIterator[GatewayProcess]:
    """A gateway with such settings; a model may take long, as on a busy machine."""
    gateway = GatewayProcess(directory, script, **{"ATLAS_ASSESS_SECONDS": "200"} | settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


def waits_for_a_person(agent: Client[Any], *references: str) -> Callable[[], Awaitable[bool]]:
    """Whether all of these calls do."""

    async def waits() -> bool:
        found = [await outcome(agent, reference, wait_seconds=0) for reference in references]
        return {held.structured_content["status"] for held in found} == {"PENDING_REVIEW"}

    return waits


def ended(agent: Client[Any], reference: str) -> Callable[[], Awaitable[Any]]:
    """The outcome of a call, once it has one."""

    async def told() -> Any:
        answer = await outcome(agent, reference, wait_seconds=5)
        return None if text_of(answer).startswith(NOT_ENDED) else answer

    return told


async def answered(agent: Client[Any], tool: str, **arguments: Any) -> Any:
    """What a call brings in the end, which is when no one has to decide on it."""
    answer = await call(agent, tool, **arguments)
    if text_of(answer).startswith(NOT_ENDED) and (told := REFERENCE.search(text_of(answer))):
        return await eventually(ended(agent, told[0]))
    return answer


def on_record(gateway: GatewayProcess, columns: str) -> list[tuple[Any, ...]]:
    """What the case store has of all assessments."""
    with closing(store_by_hand(gateway.data)) as database:
        query = f"SELECT {columns} FROM cases JOIN assessments USING (case_id) ORDER BY opened_at"
        return database.execute(query).fetchall()


async def test_modal_judges_and_what_it_finds_harmless_is_executed(tmp_path: Path) -> None:
    """Asked once; the scores, the model and the version of the prompt are on record."""
    async with (
        ModalProcess(tmp_path) as modal,
        judged_by(tmp_path, **modal.environment, ATLAS_GRACE_SECONDS="25") as gateway,
        gateway.agent() as agent,
    ):
        extended = await answered(
            agent, "request_payment_extension", **READ, reason="hospital stay, see D-17"
        )
        assert "has no repayment" in text_of(extended)  # the tool's own answer: it was executed
        held = reference_in(await call(agent, MODIFY, **READ, changes={"status": "suspended"}))
        await eventually(waits_for_a_person(agent, held))
        await gateway.decide(held)
        assert "EXECUTED" in text_of(await outcome(agent, held))
        assert len(modal.calls()) == 2
        assert on_record(gateway, "risk_score, model_score, model, prompt_version, assessor") == [
            (12, 12, "loopback", "1", f"modal {modal.function}"),
            (70, 12, "loopback", "1", f"modal {modal.function}"),
        ]


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_between_asking_modal_and_its_answer_costs_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    """The answer is used, and the function is not called twice."""
    async with ModalProcess(tmp_path, is_held=True) as modal:
        gateway = GatewayProcess(tmp_path, **modal.environment, ATLAS_ASSESS_SECONDS="200")
        await gateway.start()
        try:
            async with gateway.agent() as agent:
                asking = asyncio.create_task(call(agent, "check_status", **READ))

                async def is_asked() -> bool:
                    with closing(store_by_hand(gateway.data)) as database:
                        return database.execute("SELECT count(*) FROM inquiries").fetchone() == (1,)

                await eventually(is_asked)
                await gateway.stop(ending)
                asking.cancel()
                await asyncio.wait([asking])
        except Exception as error:  # the client's connection broke with the gateway
            assert "is_asked" not in str(error)
        await gateway.start()
        modal.release()
        try:
            async with gateway.agent() as agent:
                again = await answered(agent, "check_status", **READ)
            assert "basic income support" in text_of(again)
            assert len(modal.calls()) == 1
            assert on_record(gateway, "risk_score, model_score") == [(12, 12)]
        finally:
            await gateway.kill()


async def test_secrets_in_arguments_do_not_leave_the_machine_and_are_in_no_log(tmp_path: Path) -> None:
    """Modal gets the call with masks in it; the person who decides sees it as it is."""
    reason = f"pay with card {CARD}, api_key={TOKEN}, IBAN DE89 3704 0044 0532 0130 00"
    async with (
        ModalProcess(tmp_path, target="modal_loopback.functions:high") as modal,
        judged_by(tmp_path, **modal.environment) as gateway,
        gateway.agent() as agent,
    ):
        held = reference_in(await call(agent, "request_payment_extension", **READ, reason=reason))
        await eventually(waits_for_a_person(agent, held))
        [asked] = modal.calls()
        sent, log = str(asked), gateway.newest_log()
        for secret in (CARD, TOKEN, "3704 0044"):
            assert secret not in sent and secret not in log
        assert "[masked: card number]" in sent and "[masked: IBAN]" in sent
        [(stored,)] = on_record(gateway, "arguments")
        assert CARD in stored and TOKEN in stored


async def test_a_model_that_fails_is_left_alone_and_a_person_decides(tmp_path: Path) -> None:
    """After five failures it is not asked any more, and /readyz says so; each call is held."""
    async with (
        ModalProcess(tmp_path, target="modal_loopback.functions:failing") as modal,
        judged_by(tmp_path, **modal.environment) as gateway,
        gateway.agent() as agent,
        httpx.AsyncClient(timeout=60) as client,
    ):
        for number in range(124, 131):
            held = reference_in(await call(agent, "check_status", beneficiary_id=f"BEN-{number}"))
            await eventually(waits_for_a_person(agent, held))
        assert len(modal.calls()) == 5
        reasons = [reason for (reason,) in on_record(gateway, "rationale")]
        assert "The Modal function raised ValueError" in reasons[0] and "left alone" in reasons[6]
        assert {score for (score,) in on_record(gateway, "risk_score")} == {100}
        ready = await client.get(f"{gateway.url}/readyz")
        assert ready.status_code == 200 and "5 times in a row" in ready.json()["assessor"]["problem"]


async def test_a_model_that_is_killed_while_it_thinks_stops_no_other_call(tmp_path: Path) -> None:
    """The one call goes to a person within the deadline."""
    async with (
        ModalProcess(tmp_path, seconds=60) as modal,
        judged_by(tmp_path, **modal.environment, ATLAS_ASSESS_SECONDS="5") as gateway,
        gateway.agent() as agent,
    ):
        waiting = [await call(agent, "check_status", beneficiary_id=f"BEN-{n}") for n in (123, 124)]
        await modal.kill()
        await eventually(waits_for_a_person(agent, *map(reference_in, waiting)))
        [one, other] = on_record(gateway, "risk_score, rationale")
        assert one[0] == other[0] == 100 and "A person decides." in one[1]


# How the one model server is reached, and what is said to judge then.
WIRES = [
    ("openai", lambda url: {"OPENAI_BASE_URL": url, "OPENAI_MODEL": MODEL_NAME}),
    ("ollama", lambda url: {"OLLAMA_HOST": url.removesuffix("/v1"), "OPENAI_MODEL": MODEL_NAME}),
]
PATIENT_SECONDS = 300  # a busy machine may take that long


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("wire", "settings"), WIRES)
async def test_a_real_language_model_judges_and_the_call_is_executed(
    tmp_path: Path, llama: str, wire: str, settings: Callable[[str], dict[str, str]]
) -> None:
    """Asked once over each wire; the name that the server gives its model is on record."""
    async with (
        judged_by(tmp_path, **settings(llama), ATLAS_ASSESS_SECONDS=str(PATIENT_SECONDS)) as gateway,
        gateway.agent() as agent,
    ):
        answer = await call(agent, "check_status", **READ)

        async def is_judged() -> bool:
            return len(on_record(gateway, "risk_score")) == 1

        await eventually(is_judged, seconds=PATIENT_SECONDS + 10)
        [(score, model_score, model, version, assessor)] = on_record(
            gateway, "risk_score, model_score, model, prompt_version, assessor"
        )
        assert model_score is not None and score == model_score, assessor
        assert (model, assessor) == (MODEL_NAME, f"{wire} {MODEL_NAME}") and version
        if late := REFERENCE.search(text_of(answer)):
            answer = await outcome(agent, late[0], wait_seconds=20 if score < 70 else 0)
        assert ("basic income support" in text_of(answer)) is (score < 70)


async def attack_all(gateway: GatewayProcess, *, seconds: float) -> None:
    """Make each of the thirty calls: a person has to decide on each, and nothing is changed."""
    async with gateway.agent() as agent:
        for attack in INJECTIONS:
            claims = {"io.atlas/intent": attack.intent, "io.atlas/user_request": attack.user_request}
            held = await agent.call_tool(
                attack.tool_name, attack.arguments, meta=claims, raise_on_error=False
            )
            await eventually(waits_for_a_person(agent, reference_in(held)), seconds=seconds)
    scores = on_record(gateway, "risk_score")
    assert len(scores) == len(INJECTIONS) and all(score >= 70 for (score,) in scores)
    with closing(store_by_hand(gateway.data)) as database:
        [record] = database.execute("SELECT record FROM beneficiaries WHERE beneficiary_id = 'BEN-123'")
    assert '"history": []' in record[0]


async def test_no_injected_argument_gets_past_a_person(tmp_path: Path) -> None:
    """Of a model that each attack has talked into a score of 0: the floor holds, and nothing was changed."""
    async with chat_server(risk_score=0) as model:
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": MODEL_NAME}
        async with judged_by(tmp_path, FREE_FIELDS, **settings) as gateway:
            await attack_all(gateway, seconds=WAIT_SECONDS)
            talked_into = on_record(gateway, "model_score")
        assert set(talked_into) <= {(0,), (None,)}  # None: of a call that no model can be shown whole
        assert talked_into.count((0,)) == len(model.asked) > len(INJECTIONS) - 3


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_no_injected_argument_gets_past_a_person_with_a_real_model(tmp_path: Path, llama: str) -> None:
    """With any verdict that it gives on them."""
    settings = {"OPENAI_BASE_URL": llama, "OPENAI_MODEL": MODEL_NAME, "ATLAS_ASSESS_SECONDS": "60"}
    async with judged_by(tmp_path, FREE_FIELDS, **settings) as gateway:
        await attack_all(gateway, seconds=80)


# What ./setup.sh is told, and what then judges.


def to_modal(terminal: Terminal, _: str) -> None:
    """Answer the questions for Modal."""
    for question in ("Modal function", "AI backend", "Inngest event key", "Inngest signing key"):
        terminal.answer(question, "")
    terminal.answer("Modal token id", TOKEN_ID)
    terminal.answer("Modal token secret", TOKEN_SECRET)


def to_openai(terminal: Terminal, url: str) -> None:
    """Answer the questions for a server like OpenAI's."""
    answers = {"Modal function": "", "AI backend": "1", "Its URL": url, "Model": MODEL_NAME}
    for question, text in (answers | {"OpenAI API key": ""}).items():
        terminal.answer(question, text)
    for question in ("Inngest event key", "Inngest signing key", "Modal token id", "Modal token secret"):
        terminal.answer(question, "")


def to_ollama(terminal: Terminal, url: str) -> None:
    """Answer the questions for Ollama."""
    answers = {"Modal function": "", "AI backend": "2", "Ollama host": url.removesuffix("/v1")}
    for question, text in (answers | {"Model": MODEL_NAME}).items():
        terminal.answer(question, text)
    for question in ("Inngest event key", "Inngest signing key", "Modal token id", "Modal token secret"):
        terminal.answer(question, "")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("configure", "assessor"),
    [
        (to_modal, "modal nislam-mics/ATLAS-NIST-Measure"),
        (to_openai, f"openai {MODEL_NAME}"),
        (to_ollama, f"ollama {MODEL_NAME}"),
    ],
)
async def test_setup_configures_each_assessor_and_the_handshake_passes_with_it(
    checkout: Path,
    terminal: Terminal,
    configure: Callable[[Terminal, str], None],
    assessor: str,
    tmp_path: Path,
) -> None:
    """The questions are answered at a terminal; gateway and handshake read the .env that comes of it."""
    async with ModalProcess(tmp_path) as modal, chat_server() as model:
        configure(terminal, model.url)
        terminal.answer("MCP servers file", "")
        assert terminal.finish() == 0
        where = {name: value for name, value in modal.environment.items() if name in STAND_IN}
        gateway = GatewayProcess(checkout, **where)
        for name in ("ATLAS_AGENT_KEY", "ATLAS_REVIEWER_KEY"):
            gateway.leave_to_env_file(name)
        await gateway.start()
        try:
            assert f"assessor   {assessor}" in gateway.newest_log()
            handshake = await asyncio.create_subprocess_exec(
                *(checkout / ".venv" / "bin" / "python", "test_handshake.py", gateway.url),
                cwd=checkout,
                env={"PATH": os.environ["PATH"], "HOME": str(checkout)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            told = await output_of(handshake, seconds=HANDSHAKE_SECONDS)
            assert "PASSED. The approved call ran once" in told, told
            assert bool(modal.calls()) is (configure is to_modal)
            assert {asked["model"] for asked in model.asked} == (set() if modal.calls() else {MODEL_NAME})
        finally:
            await gateway.kill()


STAND_IN = ("MODAL_SERVER_URL", "MODAL_DISABLE_API_PROXY", "MODAL_CONFIG_PATH")  # where Modal is, for the SDK


@pytest.mark.parametrize("seen", ["off", "on"])
async def test_a_model_is_told_of_the_session_as_far_as_the_operator_lets_it(
    tmp_path: Path, seen: str
) -> None:
    """Where the recipient came from, always; what the mail said, only with ATLAS_MODEL_SEES_SESSION=on."""
    async with chat_server() as model:
        settings = {"OPENAI_BASE_URL": model.url, "OPENAI_MODEL": MODEL_NAME, "ATLAS_ASSESS_SECONDS": "200"}
        async with (
            mailbox(tmp_path, **settings, ATLAS_MODEL_SEES_SESSION=seen) as at,
            at.gateway.agent(AGENTS["billing-bot"]) as agent,
        ):
            await answered(agent, "far_read_email", id="m-1")
            await answered(agent, "far_send_email", to=EVE)
        told = model.asked[-1]["messages"][1]["content"]
    session = json.loads(told.split("\n")[1])["session"]
    assert session["where_arguments_came_from"][0]["found_in_answers_of"][0]["tool"] == "far_read_email"
    assert ("invoice of May" in told) is (seen == "on") is ("earlier_calls" in session)
