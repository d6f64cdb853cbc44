"""The TypeScript SDK runs on the engine as the Python one does: steps, retries, waits, invocations."""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import httpx
import pytest
from acceptance.npm_clients import INSTALL_SECONDS, NODE, NODE_ENVIRONMENT, NPM, NpmClients

PACKAGE = "inngest@4.24.0"
SCRIPT = pathlib.Path(__file__).with_name("typescript_app.mjs")
pytestmark = [pytest.mark.npm, pytest.mark.soak]  # the package brings 200 MB of others


@pytest.fixture(scope="module")
def script():
    """The app beside the modules that it imports."""
    directory = NpmClients.directory() / "inngest"
    directory.mkdir(parents=True, exist_ok=True)
    command = [NODE, NPM, "install", "--no-audit", "--no-fund", "--prefix", directory, PACKAGE]
    environment = os.environ | NODE_ENVIRONMENT
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS, env=environment)
    return shutil.copy(SCRIPT, directory)


@contextlib.asynccontextmanager
async def running(script, server, keys):
    """Runs the app and yields a function that waits for the next thing it says."""
    settings = {"INNGEST_DEV": server.url}
    if keys is not None:
        settings = {
            "INNGEST_DEV": "0",
            "INNGEST_BASE_URL": server.url,
            "INNGEST_EVENT_KEY": keys.event_key,
            "INNGEST_SIGNING_KEY": f"signkey-test-{keys.signing_key}",
        }
    process = await asyncio.create_subprocess_exec(
        NODE, script, env=os.environ | settings, stdout=asyncio.subprocess.PIPE
    )

    async def hear(word):
        while True:
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            assert line, "the app has ended"
            if line.startswith(b"[") and (said := json.loads(line))[0] == word:
                return said[1:]

    try:
        yield hear
    finally:
        process.kill()
        await process.wait()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "unsigned"])
async def test_the_typescript_sdk_runs_on_the_engine(script, start_server, draw_keys, is_signed):
    keys = draw_keys() if is_signed else None
    server = start_server(keys=keys)
    async with running(script, server, keys) as hear, httpx.AsyncClient(timeout=60) as http:
        [port] = await hear("listening")
        synced = await http.put(f"http://127.0.0.1:{port}/api/inngest")
        assert "Successfully registered" in synced.text
        send = f"{server.url}/e/{keys.event_key if keys else 'dev'}"
        await http.post(send, json={"name": "typescript/go", "data": {"n": 1}})
        assert await hear("flaky") == [0]
        assert await hear("flaky") == [1]
        await hear("waiting")
        decided = {"name": "typescript/decided", "data": {"n": 1, "decision": "yes"}}
        received = asyncio.create_task(hear("end"))
        while not received.done():  # nothing tells the app that its wait is kept
            await http.post(send, json=decided)
            await asyncio.wait([received], timeout=0.2)
    assert received.result() == [{"n": 2}, "done", [1, 2], decided["data"], None, "boom", 8]
