"""What the tests of the engine share: an app with real SDK functions, and ways to wait for what they do."""

import asyncio
import contextlib
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys

import fastapi
import httpx
import inngest
import inngest.fast_api
import pytest
import uvicorn

from atlas.engine import Engine, EngineKeys
from atlas.engine.history import MONTH

ROOT = pathlib.Path(__file__).parents[2]


async def until(condition, *, seconds=60):
    """Waits until the condition holds, and fails if it doesn't in time."""
    async with contextlib.AsyncExitStack():
        end = asyncio.get_running_loop().time() + seconds
        while not condition():
            assert asyncio.get_running_loop().time() < end, "waited in vain"
            await asyncio.sleep(0.005)


class App:
    """An app of its own name with SDK functions, which note in `log` what they did."""

    def __init__(self, *, base_url, keys, transport=None):
        self.name = f"app-{secrets.token_hex(4)}"
        self.log = []
        self.calls = []
        self.client = inngest.Inngest(
            app_id=self.name,
            is_production=keys is not None,
            event_key=keys.event_key if keys else None,
            signing_key=keys.signing_key if keys else None,
            api_base_url=base_url,
            event_api_base_url=base_url,
        )
        if transport is not None:
            self.client._http_client._http_client = _in_process(transport)
        self.functions = []
        self.web = fastapi.FastAPI()
        self.web.middleware("http")(self._note_call)

    async def _note_call(self, request, call_next):
        if request.method == "POST":
            self.calls.append((request.query_params["stepId"], await request.json(), dict(request.headers)))
        return await call_next(request)

    def event(self, name):
        return f"{self.name}/{name}"

    def function(self, name="run", *, trigger="go", **options):
        """Decorates the handler of a function that the event `trigger` starts."""
        if isinstance(trigger, str):
            trigger = inngest.TriggerEvent(event=self.event(trigger))

        def add(handler):
            made = self.client.create_function(fn_id=name, trigger=trigger, **options)(handler)
            self.functions.append(made)
            return made

        return add

    def serve(self):
        inngest.fast_api.serve(self.web, self.client, self.functions)
        return self.web

    async def send(self, name="go", data=None, **fields):
        """Sends an event and returns its id."""
        event = inngest.Event(name=self.event(name), data=data or {}, **fields)
        return (await self.client.send(event))[0]

    def step(self, value=None, *, note=None):
        """Returns a step that notes that it ran."""

        async def run():
            self.log.append(note if note is not None else value)
            return value

        return run

    async def until_logged(self, entry, *, seconds=60):
        await until(lambda: entry in self.log, seconds=seconds)


def _in_process(transport):
    # The SDK has no parameter for its transport; the class is kept, since it knows its thread.
    from inngest._internal.net import ThreadAwareAsyncHTTPClient

    return ThreadAwareAsyncHTTPClient(transport=transport).initialize()


class Lab:
    """An engine and an app in one process, over ASGI, as in the gateway."""

    def __init__(self, path, *, keys):
        self.path, self.keys = path, keys
        self.app = App(
            base_url="http://engine.test", keys=keys, transport=httpx.ASGITransport(app=self._answer_sdk)
        )
        self.log, self.function, self.send, self.step = (
            self.app.log,
            self.app.function,
            self.app.send,
            self.app.step,
        )
        self.until_logged, self.event = self.app.until_logged, self.app.event
        self.engine = None
        self.retention = MONTH

    async def _answer_sdk(self, scope, receive, send):
        await self.engine.app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self):
        """Runs the engine, the app synced with it."""
        if self.engine is None:
            self.app.serve()
        transport = httpx.ASGITransport(app=self.app.web)
        self.engine = Engine(self.path, keys=self.keys, transport=transport, retention=self.retention)
        async with self.engine:
            await self.engine.sync("http://app.test/api/inngest")
            yield self

    def http(self):
        """Returns a client of the engine's API."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.engine.app), base_url="http://engine.test"
        )

    def rows(self, statement, *values):
        return self.engine.store.reader.execute(statement, values).fetchall()

    def statuses(self):
        return [status for (status,) in self.rows("SELECT status FROM runs ORDER BY run_id")]

    async def until_ended(self, count=1):
        await until(lambda: len(self.statuses()) >= count and "RUNNING" not in self.statuses())

    def output(self):
        ((output,),) = self.rows("SELECT output FROM runs")
        return output


class Server:
    """`python -m atlas.engine` as a process that can be killed and started again on the same port."""

    def __init__(self, directory, *arguments, keys=None):
        self.directory, self.arguments, self.keys = directory, list(arguments), keys
        if keys is not None:
            # A key may begin with a dash.
            self.arguments += [f"--event-key={keys.event_key}", f"--signing-key={keys.signing_key}"]
        self.port, self.process = 0, None

    def start(self):
        command = [sys.executable, "-m", "atlas.engine", "--port", str(self.port)]
        command += ["--data-dir", str(self.directory), *self.arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = re.fullmatch(r"listening on (http://127\.0\.0\.1:(\d+))\n", line)[1]
        self.port = int(self.url.rpartition(":")[2])
        return self

    def kill(self):
        self._end(signal.SIGKILL)

    def stop(self):
        self._end(signal.SIGTERM)

    def _end(self, number):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)
        if self.process is not None:
            self.process.stdout.close()


@contextlib.asynccontextmanager
async def served(web):
    """Serves an app on a free loopback port and yields its URL."""
    config = uvicorn.Config(web, port=0, log_config=None, lifespan="off")
    config.load()
    # Not server.serve(): it looks ten times a second whether it should end, and then takes as long again.
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=0.5)


@pytest.fixture(name="until")
def until_fixture():
    return until


@pytest.fixture(name="served")
def served_fixture():
    return served


@pytest.fixture
def draw_keys(tmp_path):
    return lambda: EngineKeys.load_or_draw(tmp_path / "none.json")


@pytest.fixture(params=["unsigned", "signed"])
def lab(request, tmp_path, draw_keys):
    return Lab(tmp_path / "engine.db", keys=draw_keys() if request.param == "signed" else None)


@pytest.fixture
def signed_lab(tmp_path, draw_keys):
    return Lab(tmp_path / "engine.db", keys=draw_keys())


@pytest.fixture
def dev_lab(tmp_path):
    return Lab(tmp_path / "engine.db", keys=None)


@pytest.fixture
def start_server(tmp_path):
    """Starts engine processes, which end with the test."""
    servers = []

    def start(*arguments, keys=None):
        servers.append(Server(tmp_path / "data", *arguments, keys=keys))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def make_app():
    return App


@pytest.fixture(scope="session")
def inngest_server(tmp_path_factory):
    """An Inngest server: (base URL, keys or None); ours, unless ATLAS_TEST_INNGEST_URL names another."""
    if url := os.environ.get("ATLAS_TEST_INNGEST_URL"):
        event_key = os.environ.get("ATLAS_TEST_INNGEST_EVENT_KEY")
        signing_key = os.environ.get("ATLAS_TEST_INNGEST_SIGNING_KEY")
        yield url, EngineKeys(event_key=event_key, signing_key=signing_key) if event_key else None
        return
    directory = tmp_path_factory.mktemp("inngest")
    keys = EngineKeys.load_or_draw(directory / "none.json")
    server = Server(directory, keys=keys).start()
    yield server.url, keys
    server.stop()


@pytest.fixture(scope="session")
def open_server(inngest_server, tmp_path_factory):
    """The base URL of an Inngest server without keys, as for development."""
    url, keys = inngest_server
    if keys is None:
        yield url
    elif os.environ.get("ATLAS_TEST_INNGEST_URL"):
        pytest.skip("the server under test has keys")
    else:
        server = Server(tmp_path_factory.mktemp("open")).start()
        yield server.url
        server.stop()


@pytest.fixture
def play(inngest_server):
    """An app to add functions to; `async with play.running()` serves and syncs it."""
    url, keys = inngest_server
    app = App(base_url=url, keys=keys)
    app.base_url = url

    @contextlib.asynccontextmanager
    async def running():
        async with served(app.serve()) as app_url, httpx.AsyncClient(timeout=60) as http:
            answer = await http.put(f"{app_url}/api/inngest")
            assert answer.status_code == 200, answer.text
            yield app

    app.running = running
    return app
