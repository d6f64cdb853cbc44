"""What the balancers of deploy/balancer keep from gateways, in each spelling, and where a session is sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from balancers import KINDS, Balancer, balancer, missing
from gateway_process import WAIT_SECONDS
from signing_server import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from atlas.operate.addresses import OwnPaths

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT_PATH = "/atlas"
INSIDE = ("/api/inngest", "/metrics")


class Gateway:
    """Has the paths of a gateway behind /atlas, and notes what reaches those that are for the inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached: list[str] = []
        self.sessions: set[str] = set()

    async def _note(self, request: Request) -> Response:
        self.reached.append(request.scope["path"])
        return PlainTextResponse("reached")

    async def _open(self, request: Request) -> Response:
        session = f"{self.name}-{len(self.sessions)}"
        self.sessions.add(session)
        return PlainTextResponse(session, headers={"Mcp-Session-Id": session})

    async def _post(self, request: Request) -> Response:
        is_there = request.query_params["session_id"] in self.sessions
        return PlainTextResponse(self.name, status_code=202 if is_there else 404)

    async def _answer(self, request: Request) -> Response:
        return PlainTextResponse(self.name)

    def app(self) -> Any:
        """The same rule about paths as the gateway has."""
        routes = [Route(path, self._note) for path in INSIDE]
        routes += [Route(path, self._answer) for path in ("/healthz", "/readyz", "/desk")]
        routes += [Route("/mcp/sse", self._open), Route("/mcp/messages/", self._post, methods=["POST"])]
        app = Starlette(routes=routes)
        app.add_middleware(OwnPaths, root_path=ROOT_PATH)
        return app


@contextlib.asynccontextmanager
async def running_gateway(name: str) -> AsyncIterator[tuple[Gateway, str]]:
    """A gateway and its address."""
    made = Gateway(name)
    async with served(lambda url: ((made, url), made.app())) as both:
        yield both


class Office:
    """A balancer with two gateways behind it."""

    def __init__(self, front: Balancer, gateways: list[Gateway]) -> None:
        self.front, self.gateways = front, gateways

    @property
    def reached(self) -> list[str]:
        """What has come to those for the inside since the last look."""
        came = [path for gateway in self.gateways for path in gateway.reached]
        for gateway in self.gateways:
            gateway.reached.clear()
        return came

    async def ask(self, target: str, *, method: str = "GET", inside: bool = False) -> tuple[int, str]:
        """Status and text of an answer; the target is sent as it is written, which clients do not do."""
        port = self.front._ports["inside" if inside else "outside"]
        trust = None if inside else self.front.trust
        name = None if inside else "localhost"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
        writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        said = (await asyncio.wait_for(reader.read(), WAIT_SECONDS)).decode()
        writer.close()
        first, _, rest = said.partition("\r\n")
        return int(first.split()[1]), rest.partition("\r\n\r\n")[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def office(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Office]:
    """Each kind of balancer that is installed, with its file as it is shipped."""
    if why := missing(request.param):
        pytest.skip(why)
    async with (
        running_gateway("one") as (first, first_url),
        running_gateway("two") as (second, second_url),
        balancer(request.param, tmp_path_factory.mktemp(request.param), [first_url, second_url]) as front,
    ):
        yield Office(front, [first, second])


@pytest.mark.parametrize("root", ["", ROOT_PATH, "/%61tlas"])
@pytest.mark.parametrize(
    "spelling",
    [
        *("/api/inngest", "/metrics", "/api/inngest/", "/metrics/", "/api/inngest?probe=1"),
        *("/%61pi/inngest", "/api%2Finngest", "/api/%69nngest/", "/metric%73", "/%6Detrics?x"),
        *("//api/inngest", "/x/../api/inngest", "/x/%2e%2e/metrics", "/./metrics", "/metrics;x"),
        *("/API/inngest", "/api/inngest%2F", "/api/inngest%3Fx", "/%2561pi/inngest", "/metrics#x"),
    ],
)
async def test_what_is_for_the_inside_is_not_reached_from_outside(
    office: Office, root: str, spelling: str
) -> None:
    """Right: 404, however it is written. Wrong: a spelling that a gateway reads as the path comes through."""
    status, _ = await office.ask(root + spelling)
    assert (status, office.reached) in [(404, []), (400, [])]
    status, _ = await office.ask(f"https://localhost{root}{spelling}")  # a target may be a whole address
    assert (status, office.reached) in [(404, []), (400, [])]


@pytest.mark.parametrize("root", ["", ROOT_PATH])
async def test_the_engine_reaches_its_path_inside_and_nothing_else(office: Office, root: str) -> None:
    """Behind a root path too, as INNGEST_SERVE_ORIGIN and ATLAS_ROOT_PATH have it ask."""
    assert await office.ask(f"{root}/api/inngest", inside=True) == (200, "reached")
    assert office.reached == [f"{ROOT_PATH}/api/inngest"]
    for path in ("/metrics", "/desk", "/", "/api/inngest/x", "/%61pi/inngestx"):
        assert (await office.ask(root + path, inside=True))[0] == 404
    assert office.reached == []


@pytest.mark.parametrize("root", ["", ROOT_PATH])
async def test_what_is_for_people_and_agents_comes_through(office: Office, root: str) -> None:
    """A session over SSE finds its gateway, whose name only that one knows."""
    assert (await office.ask(f"{root}/desk"))[0] == 200
    for _ in range(8):
        status, session = await office.ask(f"{root}/mcp/sse")
        assert status == 200
        address = f"{root}/mcp/messages/?session_id={session}"
        assert await office.ask(address, method="POST") == (202, session.partition("-")[0])
