"""The shipped Modal app, deployed with the real CLI and called through Modal's own container runtime."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import output_of
from modal_loopback import LoopbackModal
from modal_loopback.state import Function

from atlas.assessors import Earlier, ModelAnswer, Question, ToolFacts
from atlas.assessors.guard import FAILURES_BEFORE_REST, Guard
from atlas.assessors.modal_function import ModalFunction, parse_function_name
from atlas.assessors.modal_wire import ModalWire
from atlas.assessors.prompt import PROMPT_VERSION, payload
from atlas.errors import AssessorFailed, QuestionUnfit

ROOT = Path(__file__).parents[2]
APP = "atlas/assessors/modal_app.py"
NAME = "nislam-mics/ATLAS-NIST-Measure"
TOKEN = {"ak-test": "as-test"}
PATIENT_SECONDS = 250.0  # what a busy machine may take
QUESTION = Question(
    tool=ToolFacts(name="request_payment_extension"), arguments={"days": 14}, principal="agent"
)

# Stands where vLLM's command would: its API for what the app uses of it, an answer chosen by the tool's name.
VLLM = f"""#!{sys.executable}
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = {{"risk_score": 31, "classification": "limited risk", "action": "extends", "rationale": "It fits."}}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply({{}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(os.environ["VLLM_LOG"], "a") as log:
            log.write(json.dumps([sys.argv[1:], self.path, body]) + "\\n")
        text = json.dumps(body.get("messages", ""))
        content = json.dumps(ANSWER | ({{"risk_score": 170}} if "beyond" in text else {{}}))
        finish = "length" if "endless" in text else "stop"
        content = "I think it is fine" if "chatty" in text else content
        if "oversized" in text:
            return self.send_error(400)
        if "crashing" in text:
            os.kill(os.getppid(), 9)
        self.reply({{"choices": [{{"finish_reason": finish, "message": {{"content": content}}}}]}})

    def reply(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
async def modal(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopbackModal]:
    """A control plane on loopback that knows one token."""
    async with LoopbackModal(tokens=TOKEN) as running:
        monkeypatch.setenv("MODAL_SERVER_URL", running.url)
        yield running
        print(logs(running))  # shown when the test failed


async def deploy(modal: LoopbackModal, *options: str, **environ: str) -> str:
    """Run `modal deploy`; answers its output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modal", "deploy", APP, *options),
        cwd=ROOT,
        env={
            **os.environ,
            "MODAL_SERVER_URL": modal.url,
            "MODAL_TOKEN_ID": "ak-test",
            "MODAL_TOKEN_SECRET": "as-test",
            **environ,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return await output_of(process, seconds=PATIENT_SECONDS)


def offer_vllm(modal: LoopbackModal, directory: Path) -> Path:
    """Put a command `vllm` on the PATH of containers; answers where it writes what it was asked."""
    command = directory / "vllm"
    command.write_text(VLLM)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    modal.state.container_environ |= {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "VLLM_LOG": str(directory / "vllm.log"),
    }
    return directory / "vllm.log"


def deployed(modal: LoopbackModal, name: str, environment: str = "main") -> Function:
    app = modal.state.find_app("nislam-mics", environment)
    return modal.state.functions[app.functions[name]]


def image_of(modal: LoopbackModal, function: Function) -> str:
    """Every line of the image of a function."""
    image_id, lines = function.definition.image_id, ""
    while image_id:
        image = modal.state.images[image_id]
        lines = "\n".join(image.dockerfile_commands) + "\n" + lines
        image_id = image.base_images[0].image_id if image.base_images else ""
    return lines


def logs(modal: LoopbackModal) -> str:
    return "\n".join(log.read_text(errors="replace")[-3000:] for log in modal.state.container_logs)


async def judged(modal: LoopbackModal, name: str = NAME, question: Question = QUESTION) -> Any:
    assessor = ModalFunction(function_name=name, token_id="ak-test", token_secret="as-test")
    try:
        return await asyncio.wait_for(assessor.judge(question), PATIENT_SECONDS)
    finally:
        await assessor.close()


async def test_what_is_deployed_is_what_the_documentation_says(modal: LoopbackModal) -> None:
    """GPU, weights, concurrency, scaling, snapshot, no network, no pickles, no secrets."""
    await deploy(modal)
    model = deployed(modal, "AtlasWelfare.*").definition
    assert model.resources.gpu_config.gpu_type == "L4"
    mounts = [modal.state.volumes[mount.volume_id] for mount in model.volume_mounts]
    assert mounts == ["atlas-welfare-weights"]
    assert (model.max_concurrent_inputs, model.target_concurrent_inputs) == (16, 8)
    assert model.autoscaler_settings.scaledown_window == 300
    assert model.autoscaler_settings.max_containers == 2
    assert (model.timeout_secs, model.startup_timeout_secs) == (60, 900)
    assert model.checkpointing_enabled
    assert not model.experimental_options
    assert model.block_network
    assert model.untrusted  # restrict_modal_access
    assert not model.secret_ids
    front = deployed(modal, "ATLAS-NIST-Measure").definition
    assert not front.resources.gpu_config.gpu_type
    assert front.resources.milli_cpu == 250
    for definition in (front, *model.method_definitions.values()):
        assert [int(item) for item in definition.supported_output_formats] == [4]  # CBOR alone


async def test_the_images_hold_pinned_packages_and_nothing_of_the_gateway(modal: LoopbackModal) -> None:
    """vLLM for the model alone; of this repository the six files that judging needs."""
    await deploy(modal)
    model, front = deployed(modal, "AtlasWelfare.*"), deployed(modal, "ATLAS-NIST-Measure")
    assert "vllm==0.33.0" in image_of(modal, model)
    assert "vllm" not in image_of(modal, front).replace("VLLM_SERVER_DEV_MODE", "")
    mounted = {
        file.filename
        for mount_id in model.definition.mount_ids
        for file in modal.state.mounts[mount_id]
        if "/atlas/" in file.filename
    }
    assert mounted == {
        f"/root/atlas/{path}"
        for path in (
            *("__init__.py", "frozen.py", "models.py", "review_rules.py", "traces.py"),
            *("assessors/__init__.py", "assessors/prompt.py"),
        )
    }


async def test_the_options_of_a_deployment(modal: LoopbackModal) -> None:
    """A GPU snapshot, which is alpha on Modal, and another GPU can be chosen, or no GPU at all."""
    await deploy(modal, ATLAS_SNAPSHOT="gpu", ATLAS_GPU="H100")
    model = deployed(modal, "AtlasWelfare.*").definition
    assert model.experimental_options["enable_gpu_snapshot"] == "True"
    assert model.resources.gpu_config.gpu_type == "H100"
    await deploy(modal, ATLAS_SCORER="cpu")
    model = deployed(modal, "AtlasWelfare.*").definition
    assert not model.resources.gpu_config.gpu_type
    assert not model.volume_mounts
    assert "xllamacpp==" in image_of(modal, deployed(modal, "AtlasWelfare.*"))


async def test_a_real_small_model_judges_a_call_through_modals_own_runtime(modal: LoopbackModal) -> None:
    """Deployed without a GPU; the answer says honestly which model made it."""
    await deploy(modal, ATLAS_SCORER="cpu")
    answer = ModelAnswer.model_validate(await judged(modal))
    assert answer.model == "SmolLM2-135M-Instruct with the prompt of atlas-welfare-v1"
    assert answer.version == PROMPT_VERSION


@pytest.mark.parametrize("snapshot", ["cpu", "gpu"])
async def test_the_app_asks_vllm_for_an_answer_of_the_schema(
    modal: LoopbackModal, tmp_path: Path, snapshot: str
) -> None:
    """Through Modal's runtime; with a GPU snapshot vLLM sleeps before and is woken after."""
    log = offer_vllm(modal, tmp_path)
    await deploy(modal, ATLAS_SNAPSHOT=snapshot)
    answer = ModelAnswer.model_validate(await judged(modal))
    assert (answer.risk_score, answer.version) == (31, PROMPT_VERSION)
    assert answer.model == "atlas-welfare-v1 on weights of the operator"
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    paths = [path for _, path, _ in asked]
    assert paths == (["/sleep?level=1", "/wake_up"] if snapshot == "gpu" else []) + ["/v1/chat/completions"]
    arguments, _, body = asked[-1]
    assert arguments[:2] == ["serve", "/weights/atlas-welfare-v1"]
    assert ("--enable-sleep-mode" in arguments) == (snapshot == "gpu")
    assert body["response_format"]["json_schema"]["strict"]
    assert body["temperature"] == 0
    assert "request_payment_extension" in str(body["messages"])
    assert '"session"' not in body["messages"][1]["content"]


@pytest.mark.parametrize("is_old", [False, True], ids=["told", "of an older gateway"])
async def test_the_app_tells_the_model_of_the_session_where_a_payload_has_one(
    modal: LoopbackModal, tmp_path: Path, is_old: bool
) -> None:
    """A gateway of atlas-welfare-v1/2 sends none: its calls are judged as before."""
    log = offer_vllm(modal, tmp_path)
    await deploy(modal)
    mail = Earlier(case_id="evt_1", tool_name="read_email", result="It is 14 days late.", is_outside=True)
    sent = payload(QUESTION.model_copy(update={"earlier": (mail,)}))
    if is_old:
        sent = {name: sent[name] for name in ("tool", "claims_of_the_agent", "arguments")}
        sent["prompt_version"] = "atlas-welfare-v1/2"
    wire = await ModalWire.open(parse_function_name(NAME), ("ak-test", "as-test"))
    try:
        answer = await asyncio.wait_for(wire.fetch(await wire.spawn(sent)), PATIENT_SECONDS)
        with pytest.raises(AssessorFailed, match="raised ValueError"):
            await asyncio.wait_for(wire.fetch(await wire.spawn(sent | {"session": "x"})), PATIENT_SECONDS)
    finally:
        await wire.close()
    assert (answer["risk_score"], answer["version"]) == (31, PROMPT_VERSION)
    [*_, (_, _, body)] = [json.loads(line) for line in log.read_text().splitlines()]
    assert ("It is 14 days late." in body["messages"][1]["content"]) is not is_old


async def test_what_is_no_judgement_is_a_failure_and_never_a_score(
    modal: LoopbackModal, tmp_path: Path
) -> None:
    """A class method, an environment, names that are not there, and models that answer badly or crash."""
    offer_vllm(modal, tmp_path)
    await deploy(modal, "--env", "staging")
    method = "staging/nislam-mics/AtlasWelfare.judge"
    assert (await judged(modal, method))["risk_score"] == 31
    assert (await judged(modal, f"staging/{NAME}"))["risk_score"] == 31
    with pytest.raises(AssessorFailed, match="knows no function"):
        await judged(modal, NAME)  # the default environment has none
    with pytest.raises(AssessorFailed, match="knows no method"):
        await judged(modal, "staging/nislam-mics/AtlasWelfare.missing")
    with pytest.raises(AssessorFailed, match="is a class"):
        await judged(modal, "staging/nislam-mics/AtlasWelfare")
    for tool, reason in [
        ("beyond", "raised ValueError"),  # a score of 170
        ("endless", "too long for the model"),  # cut off
        ("chatty", "raised ValueError"),  # no JSON
        ("crashing", "ended before it answered"),
    ]:
        question = QUESTION.model_copy(update={"tool": ToolFacts(name=tool)})
        with pytest.raises(AssessorFailed, match=reason):
            await judged(modal, method, question)


@pytest.mark.parametrize("name", [NAME, "nislam-mics/AtlasWelfare.judge"], ids=["front", "method"])
@pytest.mark.parametrize("tool", ["endless", "oversized"])
async def test_calls_that_are_too_long_for_the_model_do_not_put_it_to_rest(
    modal: LoopbackModal, tmp_path: Path, name: str, tool: str
) -> None:
    """Right: a person decides on each, and the next call is judged. Wrong: one agent stops it for all."""
    offer_vllm(modal, tmp_path)
    await deploy(modal)
    assessor = ModalFunction(function_name=name, token_id="ak-test", token_secret="as-test")
    guard = Guard(assessor, seconds=PATIENT_SECONDS)
    long = QUESTION.model_copy(update={"tool": ToolFacts(name=tool)})
    try:
        for _ in range(FAILURES_BEFORE_REST):
            with pytest.raises(QuestionUnfit, match="too long for the model on Modal"):
                await guard.judge(long)
        assert not guard.is_resting and guard.problem is None
        assert (await guard.judge(QUESTION)).risk_score == 31
    finally:
        await guard.close()


async def test_a_payload_that_is_none_never_reaches_the_model(modal: LoopbackModal, tmp_path: Path) -> None:
    """The front refuses it, before a GPU is started for it."""
    offer_vllm(modal, tmp_path)
    await deploy(modal)
    wire = await ModalWire.open(parse_function_name(NAME), ("ak-test", "as-test"))
    for wrong in (None, {}, {"tool": {"name": 5}, "arguments": {}}, {"tool": {"name": "t"}}):
        with pytest.raises(AssessorFailed, match="raised ValueError"):
            await asyncio.wait_for(wire.fetch(await wire.spawn(wrong)), PATIENT_SECONDS)
    await wire.close()
    assert deployed(modal, "AtlasWelfare.*").process is None
