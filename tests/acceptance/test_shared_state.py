"""Two gateways on one database: what a person or an agent begins at one of them goes on at the other."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from gateway_process import REVIEWER_KEY, GatewayProcess, call, eventually, reference_in, text_of
from lying_provider import Browser, LyingProvider, lying_provider
from postgres import PostgresServer
from several_gateways import SeveralGateways, several_gateways

from atlas.database.postgresql.address import Address
from atlas.database.postgresql.store import PostgresDatabase
from atlas.database.shared_secrets import shared_secret
from atlas.instants import instant_text, now
from atlas.outbox.vapid import PushKey

pytestmark = pytest.mark.asyncio(loop_scope="module")
FEW = {"ATLAS_CALLS_PER_MINUTE": "6"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[LyingProvider]:
    """Where people sign in."""
    async with lying_provider() as one:
        yield one


@pytest.fixture(scope="module")
def url(server: PostgresServer) -> str:
    """An empty database, for two gateways."""
    return server.new_database(f"shared_{token_hex(4)}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def several(
    url: str, tmp_path_factory: pytest.TempPathFactory, provider: LyingProvider
) -> AsyncIterator[SeveralGateways]:
    """Both of them."""
    settings = provider.settings | {"ATLAS_REVIEWER_KEY": f"anna-key:{REVIEWER_KEY}"}
    async with several_gateways(tmp_path_factory.mktemp("shared"), url, **settings) as running:
        yield running


def person(gateway: GatewayProcess) -> httpx.AsyncClient:
    """What a program of a reviewer uses."""
    headers = {"Authorization": f"Bearer {REVIEWER_KEY}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60)


async def push_key(browser: Browser) -> str:
    """The key of web push that a browser of the person would subscribe to."""
    page = (await browser.client.get("/desk/account")).text
    key = page.partition('data-push-key="')[2].partition('"')[0]
    assert len(key) == 87
    return key


async def test_a_sign_in_that_begins_at_one_gateway_ends_at_the_other_and_its_session_holds_at_both(
    several: SeveralGateways, provider: LyingProvider
) -> None:
    """State, nonce and the verifier of PKCE are known at both; the session is signed out at both at once."""
    first, other = several.gateways
    provider.userinfo = {}
    async with Browser(first) as browser:
        browser.client.headers["Host"] = urlsplit(first.url).netloc  # as behind a balancer
        sign_in = await browser.begin()
        token = provider.token(sign_in)
        browser.client.base_url = httpx.URL(other.url)
        answer = await browser.come_back(sign_in, code=provider.code(sign_in, token))
        assert answer.status_code in (200, 303), answer.text
        assert await browser.name() == "anna"
        key = await push_key(browser)
        browser.client.base_url = httpx.URL(first.url)
        assert await browser.name() == "anna"
        assert await push_key(browser) == key


async def test_the_gateways_have_one_key_of_web_push_which_the_first_that_needs_it_keeps(
    server: PostgresServer, tmp_path: Path
) -> None:
    """A gateway that had a file before brings it along; no file is made; many at once agree."""
    url = server.new_database(f"push_{token_hex(4)}")
    databases = [PostgresDatabase(Address(url), tmp_path / name) for name in "ab"]
    try:
        for database in databases:
            await database.open()
        before = PushKey(databases[0].directory)
        public = before.public  # which makes the file
        keys = [PushKey(database.directory, database) for database in databases]
        await keys[0].open()
        await keys[1].open()
        assert keys[0].public == keys[1].public == public
        assert not (databases[1].directory / "push.key").exists()
        made = [shared_secret(each, "race", partial(token_hex, 8)) for each in databases * 10]
        assert len(set(await asyncio.gather(*made))) == 1
    finally:
        for database in databases:
            await database.close()


async def test_a_stop_at_one_gateway_holds_at_the_other_at_once(several: SeveralGateways) -> None:
    """The next call there is not begun, without a look in between; neither is it after it is lifted."""
    first, other = several.gateways
    async with person(first) as at_first, other.agent() as agent:
        assert text_of(await call(agent, "look", n=1)) == "looked at 1"
        said = {"scope": "everything", "reason": "a test"}
        stop = await at_first.post("/stops", json=said)
        assert stop.status_code in (200, 201), stop.text
        refused = await call(agent, "look", n=2)
        assert refused.is_error and "looked" not in text_of(refused)
        lifted = await at_first.post(f"/stops/{stop.json()['stop_id']}/lift", json={"reason": "over"})
        assert lifted.is_success, lifted.text
        assert text_of(await call(agent, "look", n=3)) == "looked at 3"
    assert several.ran()["look 2"] == 0


async def test_a_decision_that_is_sent_to_both_counts_once(several: SeveralGateways) -> None:
    """The idempotency key is in the store; another decision with the same key is refused at the other."""
    first, other = several.gateways
    async with first.agent() as agent:
        case_id = reference_in(await call(agent, "change", n=4))
    headers = {"Idempotency-Key": token_hex(8)}
    async with person(first) as at_first, person(other) as at_other:
        body = {"decision": "APPROVED", "event_id": case_id}
        answers = await asyncio.gather(
            *(each.post("/webhook/approval", json=body, headers=headers) for each in (at_first, at_other))
        )
        assert [answer.status_code for answer in answers] == [200, 200], [one.text for one in answers]
        contrary = await at_other.post(
            "/webhook/approval", json=body | {"decision": "REJECTED"}, headers=headers
        )
        assert contrary.status_code == 409

    async def is_executed() -> bool:
        return several.ran()["change 4"] == 1

    await eventually(is_executed)


async def test_the_calls_of_an_agent_are_counted_together(server: PostgresServer, tmp_path: Path) -> None:
    """So many a minute, whichever gateway is called."""
    url = server.new_database(f"limits_{token_hex(4)}")
    async with several_gateways(tmp_path, url, **FEW) as running:
        passed = 0
        for n in range(10):
            async with running.gateways[n % 2].agent() as agent:
                passed += text_of(await call(agent, "look", n=100 + n)).startswith("looked")
        assert passed == 6


async def test_a_plan_that_is_made_at_one_gateway_lets_a_call_pass_at_the_other(
    several: SeveralGateways,
) -> None:
    """And is used up at both; the policy of both is the same one."""
    first, other = several.gateways
    plan = {"tool": "change", "most_calls": 1, "reason": "a test"}
    plan["ends_at"] = instant_text(now() + timedelta(hours=1))
    async with person(first) as at_first:
        made = await at_first.post("/plans", json=plan)
        assert made.status_code == 201, made.text
    async with other.agent() as agent:
        assert text_of(await call(agent, "change", n=50)) == "changed 50"
    async with first.agent() as agent:
        reference_in(await call(agent, "change", n=51))


async def test_a_gateway_with_an_engine_of_its_own_says_so_where_it_shares_the_database(
    server: PostgresServer, tmp_path: Path
) -> None:
    """Two of them; alone it says nothing."""
    url = server.new_database(f"engines_{token_hex(4)}")
    gateways = []
    for name in "ab":
        (tmp_path / name).mkdir()
        gateways.append(GatewayProcess(tmp_path / name, ATLAS_DATABASE_URL=url))
    try:
        await gateways[0].start()
        assert "embedded engine" not in gateways[0].newest_log()
        await gateways[1].start()
        for gateway in gateways:

            async def has_said(one: GatewayProcess = gateway) -> bool:
                return "Give all of them one engine: docs/how-to/inngest.md" in one.newest_log()

            await eventually(has_said)
    finally:
        for gateway in gateways:
            if not gateway.has_ended:
                await gateway.kill()
