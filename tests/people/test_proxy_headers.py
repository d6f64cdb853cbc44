"""A trusted proxy says who a person is; from all others the same headers say nothing."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, WAIT_SECONDS, GatewayProcess
from kept import store_by_hand
from nginx_process import Nginx, program
from signing_server import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = "a-long-random-text-of-your-own"
KEY = "reviewer-key-of-eva-k"
SETTINGS = {
    "ATLAS_REVIEWER_KEY": f"Eva:{KEY}",
    "ATLAS_TRUSTED_PROXIES": "127.0.0.1",
    "ATLAS_PROXY_SECRET": SECRET,
    "ATLAS_PROXY_GROUPS": "desk,seniors",
}
Headers = Sequence[tuple[str, str | bytes]]
ACCOUNT, END = "/desk/account", "/desk/account/end-sessions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway that trusts a proxy of this machine that knows the secret."""
    process = GatewayProcess(tmp_path_factory.mktemp("proxied"), **SETTINGS)
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: GatewayProcess) -> AsyncIterator[httpx.AsyncClient]:
    """What the proxy sends for one browser, whose cookies it passes on."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_SECONDS) as one:
        yield one


def of(name: str, groups: str | None = "desk", secret: str | None = SECRET) -> list[tuple[str, str | bytes]]:
    """The headers of a person."""
    said = (("User", name), ("Groups", groups), ("Secret", secret))
    return [(f"X-Auth-Request-{header}", value.encode()) for header, value in said if value is not None]


async def get(client: httpx.AsyncClient, headers: Headers, path: str = ACCOUNT) -> httpx.Response:
    """Read a page."""
    return await client.get(path, headers=headers)


async def name_on_page(client: httpx.AsyncClient, headers: Headers) -> str | None:
    """Who the page says that it is."""
    answer = await get(client, headers)
    return answer.text.partition("<dt>Name</dt><dd>")[2].partition("</dd>")[0] or None


def token_of(gateway: GatewayProcess, client: httpx.AsyncClient) -> str:
    """What the forms of the session carry that the client's cookie is of."""
    [session_id] = [value for name, value in client.cookies.items() if "atlas-desk" in name]
    digest = sha256(session_id.encode() + b"\0").hexdigest()
    with contextlib.closing(store_by_hand(gateway.data)) as connection:
        query = "SELECT form_token FROM desk_sessions WHERE session_sha256 = ?"
        [token] = connection.execute(query, [digest]).fetchone()
    return str(token)


async def test_a_person_of_the_proxy_reads_without_a_sign_in(client: httpx.AsyncClient) -> None:
    """Under the name and with the groups that it says."""
    answer = await get(client, of("\u00e5sa@example.com", "clerks, desk"))
    assert answer.status_code == 200 and "clerks, desk" in answer.text
    assert "\u00e5sa@example.com" in answer.text and "through a proxy" in answer.text


@pytest.mark.parametrize("secret", [None, "", "a-long-random-text-of-another", SECRET + " x"])
async def test_without_the_secret_a_program_of_this_machine_is_no_proxy(
    client: httpx.AsyncClient, secret: str | None
) -> None:
    """An agent has the same address."""
    answer = await get(client, of("anna", secret=secret))
    assert answer.status_code == 303 and "/desk/sign-in" in answer.headers["location"]


async def test_headers_from_another_address_are_taken_away_in_any_request(
    tmp_path: Path,
) -> None:
    """X-Forwarded-For is what uvicorn believes of this machine; the connection is what counts here."""
    trusts = {"ATLAS_TRUSTED_PROXIES": "10.9.9.9,fd00::/64", "ATLAS_PROXY_SECRET": ""}
    gateway = GatewayProcess(tmp_path, **SETTINGS | trusts)
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            for more in ([], [("X-Forwarded-For", "10.9.9.9")], [("Forwarded", "for=10.9.9.9")]):
                answer = await get(client, [*of("anna"), *more])
                assert answer.status_code == 303
                underscores = [(name.replace("-", "_"), value) for name, value in of("anna")]
                assert (await get(client, [*underscores, *more])).status_code == 303
    finally:
        await gateway.kill()


async def test_a_proxy_at_another_address_is_believed_and_what_it_says_of_the_browser_is_too(
    tmp_path: Path,
) -> None:
    """127.0.0.2 stands for another machine; uvicorn itself believes 127.0.0.1 alone."""
    gateway = GatewayProcess(tmp_path, **SETTINGS | {"ATLAS_TRUSTED_PROXIES": "127.0.0.2/31"})
    await gateway.start()
    try:
        for address, status in (("127.0.0.2", 200), ("127.0.0.3", 200), ("127.0.0.4", 303)):
            way = httpx.AsyncHTTPTransport(local_address=address)
            async with httpx.AsyncClient(base_url=gateway.url, transport=way, timeout=60) as client:
                answer = await get(client, [*of("anna"), ("X-Forwarded-Proto", "https")])
                assert answer.status_code == status
                is_over_tls = "__Host-" in answer.headers.get("set-cookie", "")
                assert is_over_tls == (status == 200)
    finally:
        await gateway.kill()


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ([*of("anna"), ("X-Auth-Request-User", "ben")], "twice"),
        ([*of("anna"), ("X_Auth_Request_User", "ben")], "underscore"),
        ([*of("anna"), ("X-Auth_Request-Groups", "seniors")], "underscore"),
        ([*of("anna", "guests"), ("X-Auth-Request-Groups", "desk")], "twice"),
        ([*of("anna", secret=None), ("X-Auth-Request-Secret", "x"), *of("anna")[-1:]], "twice"),
        (of(""), "is empty"),
        (of("")[1:], "is empty"),
        (of("an\u200bna"), "invisible"),
        (of("anna\u202e"), "invisible"),
        (of("a" * 201), "longer than 200"),
        ([("X-Auth-Request-User", b"\xff\xfe"), *of("")[1:]], "not UTF-8"),
        (of("anna", None), "has no groups (ATLAS_PROXY_GROUPS"),
        (of("anna", ","), "has no groups (ATLAS_PROXY_GROUPS"),
        (of("anna", "guests;desk"), "in none of the groups"),
        (of("anna", "Desk"), "in none of the groups"),
        (of("eva"), "the name of a reviewer"),
    ],
)
async def test_what_cannot_be_read_in_one_way_only_lets_no_one_in(
    client: httpx.AsyncClient, headers: Headers, sentence: str
) -> None:
    """With a sentence, and without a session."""
    answer = await get(client, headers)
    assert answer.status_code == 403 and sentence in answer.text.replace("&#39;", "'"), answer.text
    assert not client.cookies


async def test_two_people_of_the_proxy_whose_names_look_alike_are_not_one(client: httpx.AsyncClient) -> None:
    """The first has the name."""
    assert await name_on_page(client, of("bert")) == "bert"
    refused = await get(client, of("Bert"))
    assert refused.status_code == 403 and "bert is another person here" in refused.text


async def test_a_form_needs_the_token_of_a_session_of_this_very_person(
    client: httpx.AsyncClient, gateway: GatewayProcess
) -> None:
    """Reading does not; a change of the user ends the session, and without the headers it is none."""
    anna, ben = of("anna"), of("ben")
    bare = [*anna, ("Authorization", "Bearer a-token-that-oauth2-proxy-passes-on")]
    for headers in (anna, bare):
        refused = await client.post(END, headers=headers)
        assert refused.status_code == 403 and "not taken" in refused.text
    assert await name_on_page(client, anna) == "anna"
    cookies, said = dict(client.cookies), {"form_token": token_of(gateway, client)}
    assert (await client.post(END, data=said, headers=ben)).status_code == 403
    assert (await client.post(END, data=said)).status_code == 401  # without the proxy
    assert (await get(client, [])).status_code == 303
    foreign = [*anna, ("Sec-Fetch-Site", "cross-site")]
    assert (await client.post(END, data=said, headers=foreign)).status_code == 403
    assert await name_on_page(client, ben) == "ben"  # which ends the session of anna
    client.cookies.clear()
    client.cookies.update(cookies)
    assert (await client.post(END, data=said, headers=anna)).status_code == 403
    client.cookies.clear()
    assert await name_on_page(client, bare) == "anna"
    said = {"form_token": token_of(gateway, client)}
    assert (await client.post(END, data=said, headers=bare)).status_code == 303


@pytest.mark.parametrize(
    "value", [f"Bearer {AGENT_KEY}", f"bearer  {AGENT_KEY}", AGENT_KEY, f"Token {AGENT_KEY}"]
)
async def test_an_agents_key_opens_nothing_beside_the_headers(client: httpx.AsyncClient, value: str) -> None:
    """Neither a page nor an endpoint for programs, also if it is the second of two keys."""
    for more in ([("Authorization", value)], [("Authorization", "Bearer x"), ("Authorization", value)]):
        for path in ("/desk", ACCOUNT, "/stops"):
            answer = await get(client, [*of("anna"), *more], path)
            assert answer.status_code == 403 and "key of an agent" in answer.text, (path, answer.text)
    assert not client.cookies


async def test_the_headers_decide_nothing_at_the_webhook_and_mean_nothing_to_agents(
    client: httpx.AsyncClient,
) -> None:
    """There a key is needed."""
    body = {"decision": "APPROVED", "event_id": "evt_0c2b7e5d41a9f386"}
    answer = await client.post("/webhook/approval", json=body, headers=of("anna"))
    assert answer.status_code == 401
    assert (await client.post("/mcp", json={}, headers=of("anna"))).status_code == 401


async def test_the_header_of_the_name_can_be_another_one(tmp_path: Path) -> None:
    """With oauth2-proxy X-Auth-Request-User is often a number."""
    gateway = GatewayProcess(tmp_path, **SETTINGS | {"ATLAS_PROXY_NAME_HEADER": "x-auth-request-email"})
    await gateway.start()
    try:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            email = [("X-Auth-Request-Email", "anna@example.com")]
            assert await name_on_page(client, [*of("7f3a"), *email]) == "anna@example.com"
            assert (await get(client, of("7f3a"))).status_code == 403
    finally:
        await gateway.kill()


@asynccontextmanager
async def sign_in_service() -> AsyncIterator[str]:
    """What stands for oauth2-proxy: a cookie says who a person is."""

    async def auth(request: Request) -> Response:
        name, _, groups = request.cookies.get("who", "").partition("|")
        said = {"X-Auth-Request-Preferred-Username": name, "X-Auth-Request-Groups": groups}
        return Response(status_code=202, headers=said) if name else Response(status_code=401)

    async def sign_in(request: Request) -> Response:
        return PlainTextResponse("sign in at the proxy")

    def made(url: str) -> tuple[str, Any]:
        return url, Starlette(routes=[Route("/oauth2/auth", auth), Route("/oauth2/sign_in", sign_in)])

    async with served(made) as url:
        yield url


@pytest.mark.skipif(program() is None, reason="there is no nginx on this machine, and no wheel of it")
async def test_the_nginx_of_the_page_lets_people_in_and_passes_nothing_on_that_they_made_up(
    tmp_path: Path,
) -> None:
    """Over TLS; the session's cookie is one that only this host can set."""
    nginx = Nginx(tmp_path)
    name = {"ATLAS_PROXY_NAME_HEADER": "X-Auth-Request-Preferred-Username"}
    gateway = GatewayProcess(tmp_path, **SETTINGS | name)
    await gateway.start()
    made_up = [("X-Auth-Request-Preferred-Username", "eva"), ("X-Auth-Request-Groups", "seniors")]
    made_up += [("X-Auth-Request-Secret", SECRET), ("X_Auth_Request_User", "eva")]
    try:
        async with (
            sign_in_service() as service,
            nginx.in_front_of(gateway.url, ("http://127.0.0.1:4180", service), block="nginx-auth"),
            httpx.AsyncClient(base_url=nginx.origin, verify=nginx.trust, timeout=WAIT_SECONDS) as browser,
        ):
            answer = await browser.get(ACCOUNT, headers=made_up)
            assert (answer.status_code, answer.text) == (403, "sign in at the proxy")
            assert (await browser.get("/stops", headers=made_up)).status_code == 401
            browser.cookies.set("who", "anna|desk")
            page = await browser.get(ACCOUNT, headers=made_up)
            assert page.status_code == 200 and "<dd>anna</dd>" in page.text
            assert "__Host-atlas-desk" in page.headers["set-cookie"]
            form = {"form_token": token_of(gateway, browser)}
            origin = {"Origin": nginx.origin, "Sec-Fetch-Site": "same-origin"}
            assert (await browser.post(END, data=form, headers=origin)).status_code == 303
            browser.cookies.set("who", "carl|guests")
            refused = await browser.get(ACCOUNT, headers=made_up)
            assert refused.status_code == 403 and "carl is in none of the groups" in refused.text
    finally:
        await gateway.kill()
