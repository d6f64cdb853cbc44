"""An app without an SDK: it answers calls with what a test says, however wrong."""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import secrets
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclasses.dataclass(frozen=True)
class Call:
    """What the server asked of the app."""

    function_id: str
    step_id: str
    body: dict
    headers: dict
    text: bytes


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer; `body` is sent as it is where it is bytes, and signed unless `is_signed` says otherwise."""

    status: int
    body: object = None
    headers: dict = dataclasses.field(default_factory=dict)
    is_signed: bool = True

    def to_bytes(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


SDK = {"x-inngest-sdk": "inngest-raw:v1.0.0", "x-inngest-req-version": "2", "x-inngest-sdk-handled": "true"}


def step_id(name):
    """Returns the id of a step, as SDKs make it of its name."""
    return hashlib.new("sha1", name.encode()).hexdigest()  # noqa: S324


def step(name, /, *, op="StepRun", **fields):
    """Returns an opcode."""
    named = {"id": step_id(name), "name": name, "displayName": name}
    return {"op": op, **named, "opts": None, **fields}


def done(value="done"):
    """Returns the answer with which a function ends."""
    return Reply(200, value, SDK)


def steps(*opcodes, **headers):
    """Returns an answer of opcodes."""
    return Reply(206, list(opcodes), {**SDK, **headers})


def error(message="boom", **headers):
    """Returns the answer of a function that raised."""
    return Reply(
        500, {"name": "Error", "message": message, "stack": "", "code": "unknown"}, {**SDK, **headers}
    )


def unlike_before():
    """Returns a parameter that makes an address new: Inngest's server keeps answers for 15 seconds."""
    return {"at": time.time_ns()}


def skip_without_graphql(answer):
    """Skips a case where the server has no such address, as with `--no-ui`."""
    if answer.status_code == 404:
        pytest.skip("GraphQL needs a server that was started without --no-ui")


STEPS = "query($id: String!) { run(runID: $id) { trace { childrenSpans { name status outputID } } } }"
TLS = httpx.create_ssl_context()  # one for all: to make one takes 30 ms


class RawApp:
    """An app with one function, `run`, that the event `go` starts; `answer` gets each call."""

    def __init__(self, base_url, keys):
        self.base_url, self.keys = base_url, keys
        self.name = f"raw-{secrets.token_hex(4)}"
        self.calls = []
        self.answer = lambda call: done()
        self.web = Starlette(routes=[Route("/api/inngest", self._receive, methods=["POST"])])
        self.http = httpx.AsyncClient(base_url=base_url, headers=self.bearer(), timeout=60, verify=TLS)

    def bearer(self):
        if self.keys is None:
            return {}
        hashed = hashlib.sha256(bytes.fromhex(self.keys.signing_key)).hexdigest()
        return {"authorization": f"Bearer {hashed}"}

    async def _receive(self, request: Request) -> Response:
        text = await request.body()
        asked = request.query_params
        call = Call(asked["fnId"], asked["stepId"], json.loads(text), dict(request.headers), text)
        self.calls.append(call)
        reply = self.answer(call)
        if asyncio.iscoroutine(reply):
            reply = await reply
        body, headers = reply.to_bytes(), dict(reply.headers)
        if self.keys is not None and reply.is_signed:
            headers["x-inngest-signature"] = self.keys.sign(body)
        return Response(body, reply.status, headers=headers)

    def event(self, name):
        return f"{self.name}/{name}"

    def configuration(self, url, *, name="run", retries=1, **overrides):
        """Returns the configuration of the function, as SDKs send it; None leaves a field out."""
        runtime = {"type": "http", "url": f"{url}/api/inngest?fnId={self.name}-{name}&stepId=step"}
        configuration = {
            "id": f"{self.name}-{name}",
            "name": name,
            "triggers": [{"event": self.event("go")}],
            "steps": {
                "step": {"id": "step", "name": "step", "retries": {"attempts": retries}, "runtime": runtime}
            },
        }
        return {key: value for key, value in {**configuration, **overrides}.items() if value is not None}

    async def register(self, url, *, headers=None, functions=None, **overrides):
        """Registers the function and returns what the server answered."""
        body = {
            "url": f"{url}/api/inngest",
            "v": "0.1",
            "deploy_type": "ping",
            "sdk": "raw:v1.0.0",
            "framework": "none",
            "appname": self.name,
            "functions": [self.configuration(url, **overrides)] if functions is None else functions,
        }
        return await self.http.post("/fn/register", json=body, headers=headers)

    async def post(self, body, *, key=None, headers=None):
        """Posts to the event API and returns the answer."""
        key = key or (self.keys.event_key if self.keys else "dev")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(f"/e/{key}", content=content, headers=headers)

    async def send(self, name="go", data=None, **fields):
        """Sends an event and returns its id."""
        answer = await self.post({"name": self.event(name), "data": data or {}, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()["ids"][0]

    async def run_of(self, event_id, *, has_ended=True, seconds=60):
        """Waits for the one run that an event started, or for its end, and returns what REST tells of it.

        That it has ended is known by `ended_at` in the list, and how from the run itself: Inngest's server
        has the two from two stores.
        """

        async def look():
            for run in await self.runs_of(event_id):
                if run["ended_at"] or not has_ended:
                    return (await self.http.get(f"/v1/runs/{run['run_id']}", params=unlike_before())).json()
            return None

        found = await self.poll(look, seconds=seconds)
        return found["data"]

    async def runs_of(self, event_id):
        """Returns the runs that an event started, as REST lists them."""
        answer = await self.http.get(f"/v1/events/{event_id}/runs", params=unlike_before())
        return answer.json().get("data") or []

    async def poll(self, look, *, seconds=60):
        """Asks until the answer is not empty, and returns it; servers may write their history later."""
        end = asyncio.get_running_loop().time() + seconds
        while not (found := await look()):
            assert asyncio.get_running_loop().time() < end, f"waited in vain, calls: {len(self.calls)}"
            await asyncio.sleep(0.02)
        return found

    async def until_waiting(self, *run_ids):
        """Waits until the server has kept a wait of each run."""
        for run_id in run_ids:
            await self.poll(lambda run_id=run_id: self.span_of(run_id, status="WAITING"))

    async def span_of(self, run_id, *, status, name=None):
        """Returns what GraphQL tells of a step with a status, if it is there already."""
        run = (await self.query(STEPS, id=run_id))["run"]
        spans = ((run or {}).get("trace") or {}).get("childrenSpans") or []
        return next((s for s in spans if s["status"] == status and name in (None, s["name"])), None)

    async def query(self, query, **variables):
        """Asks in GraphQL and returns the data."""
        answer = await self.http.post("/v0/gql", json={"query": query, "variables": variables})
        skip_without_graphql(answer)
        assert answer.status_code == 200, answer.text
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    @contextlib.asynccontextmanager
    async def running(self, served, **overrides):
        """Serves and registers the app."""
        async with served(self.web) as url, self.http:
            answer = await self.register(url, **overrides)
            assert answer.status_code == 200, answer.text
            self.url = url
            yield self
