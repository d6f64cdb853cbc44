"""People sign in at an OpenID provider, and what is not true of them lets no one in."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from gateway_process import AGENT_KEY, GatewayProcess
from joserfc import jwk
from kept import copy_store
from lying_provider import Browser, LyingProvider, SignIn, lying_provider
from ports import kept_port
from words import whole_words

from atlas.errors import ProviderUnusable
from atlas.people.openid.provider import Provider

pytestmark = pytest.mark.asyncio(loop_scope="module")
ANNA = "reviewer-key-of-anna-k"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[LyingProvider]:
    """One for all, which is told what to say by each test."""
    async with lying_provider() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory, provider: LyingProvider
) -> AsyncIterator[GatewayProcess]:
    """A gateway whose people come from it."""
    keys = {"ATLAS_REVIEWER_KEY": f"Key-Anna:{ANNA}"}
    process = GatewayProcess(tmp_path_factory.mktemp("oidc"), **provider.settings | keys)
    await process.start()
    yield process
    await process.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(gateway: GatewayProcess, provider: LyingProvider) -> AsyncIterator[Browser]:
    """A browser in which no one is signed in; the provider says nothing false yet."""
    provider.userinfo = {}
    async with Browser(gateway) as one:
        yield one


async def test_a_person_comes_in_under_their_name_and_with_their_groups(
    browser: Browser, provider: LyingProvider, gateway: GatewayProcess
) -> None:
    """By a code, PKCE, state and nonce; afterwards the ticket is gone, and the log has no secret of it."""
    sign_in = await browser.begin("/desk/account?x=1")
    asked = {name: sign_in[name] for name in ("response_type", "code_challenge_method", "client_id", "scope")}
    assert asked == {
        "response_type": "code",
        "code_challenge_method": "S256",
        "client_id": "gateway",
        "scope": "openid profile email",
    }
    assert sign_in["redirect_uri"] == f"{gateway.url}/desk/oidc/callback"
    [ticket] = sign_in.cookies.values()
    assert not any(sign_in[name] in ticket for name in ("state", "nonce", "code_challenge"))
    token = provider.token(sign_in)
    answer = await browser.come_back(sign_in, code=provider.code(sign_in, token))
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/account?x=1")
    assert "HttpOnly" in answer.headers["set-cookie"] and len(browser.client.cookies) == 1
    assert await browser.name() == "anna"
    assert provider.bodies[-1]["redirect_uri"] == sign_in["redirect_uri"]
    log = gateway.newest_log()
    assert f"  people     sign in at {provider.url}" in log
    assert (
        token not in log and sign_in["state"] not in log and provider.bodies[-1]["code_verifier"] not in log
    )


def stranger(kid: str) -> jwk.RSAKey:
    """A key that is not the provider's."""
    return jwk.RSAKey.generate_key(2048, {"kid": kid})


def _by_hand(provider: LyingProvider, sign_in: SignIn, alg: str, secret: bytes) -> str:
    """What no library of today would sign."""
    header = {"alg": alg, "kid": provider.keys[0].kid}
    parts = [json.dumps(part).encode() for part in (header, provider.claims(sign_in))]
    said = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.digest(secret, said, "sha256") if secret else b""
    return (said + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


LIES: dict[str, Any] = {
    "for another client": lambda one, sign_in: one.token(sign_in, aud="another"),
    "for no client": lambda one, sign_in: one.token(sign_in, aud=None),
    "for several, and the one that asked is not said": lambda one, sign_in: one.token(
        sign_in, aud=["gateway", "another"]
    ),
    "for several, and another one asked": lambda one, sign_in: one.token(
        sign_in, aud=["gateway", "another"], azp="another"
    ),
    "another one asked": lambda one, sign_in: one.token(sign_in, azp="another"),
    "from another issuer": lambda one, sign_in: one.token(sign_in, iss="https://id.example.com"),
    "from no issuer": lambda one, sign_in: one.token(sign_in, iss=None),
    "of no one": lambda one, sign_in: one.token(sign_in, sub=None),
    "of an empty subject": lambda one, sign_in: one.token(sign_in, sub=""),
    "without a nonce": lambda one, sign_in: one.token(sign_in, nonce=None),
    "with another nonce": lambda one, sign_in: one.token(sign_in, nonce="0" * 64),
    "over": lambda one, sign_in: one.token(sign_in, exp=int(time.time()) - 90),
    "without an end": lambda one, sign_in: one.token(sign_in, exp=None),
    "with an end that is no number": lambda one, sign_in: one.token(sign_in, exp="tomorrow"),
    "not signed yet": lambda one, sign_in: one.token(sign_in, iat=int(time.time()) + 90),
    "not valid yet": lambda one, sign_in: one.token(sign_in, nbf=int(time.time()) + 90),
    "with another access token": lambda one, sign_in: one.token(sign_in, at_hash="AAAA"),
    "signed by a stranger": lambda one, sign_in: one.token(sign_in, key=stranger("stranger")),
    "signed by a stranger under a known name": lambda one, sign_in: one.token(
        sign_in, key=stranger(one.keys[0].kid)
    ),
    "signed with the public key as a secret": lambda one, sign_in: _by_hand(
        one, sign_in, "HS256", one.keys[0].as_pem(private=False)
    ),
    "signed with a key of the set that is a secret": lambda one, sign_in: _by_hand(
        one, sign_in, "HS256", b"\0\0\0"
    ),
    "not signed": lambda one, sign_in: _by_hand(one, sign_in, "none", b""),
    "no token": lambda one, sign_in: "a.b.c",
    "a list": lambda one, sign_in: ["a"],
    "nothing": lambda one, sign_in: None,
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_token_that_is_not_true_lets_no_one_in(
    browser: Browser, provider: LyingProvider, lie: str
) -> None:
    """The page says that the person is not signed in, and no session begins."""
    sign_in = await browser.begin()
    code = provider.code(sign_in, LIES[lie](provider, sign_in))
    answer = await browser.come_back(sign_in, code=code)
    assert answer.status_code in (403, 502) and "You are not signed in" in answer.text
    assert await browser.name() is None


async def test_clocks_may_differ_by_a_minute(browser: Browser, provider: LyingProvider) -> None:
    """In either direction; the sentence about a larger difference names the clock."""
    moment = int(time.time())
    sign_in = await browser.begin()
    token = provider.token(sign_in, iat=moment + 30, nbf=moment + 30, exp=moment - 30)
    assert (await browser.come_back(sign_in, code=provider.code(sign_in, token))).status_code == 303
    sign_in = await browser.begin()
    code = provider.code(sign_in, provider.token(sign_in, exp=moment - 300))
    assert "Compare the clock of this machine" in (await browser.come_back(sign_in, code=code)).text


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
async def test_a_provider_may_sign_with_other_kinds_of_keys(
    browser: Browser, provider: LyingProvider, alg: str
) -> None:
    """Beside them are keys that cannot be read."""
    sign_in = await browser.begin()
    code = provider.code(sign_in, provider.token(sign_in, alg=alg))
    assert (await browser.come_back(sign_in, code=code)).status_code == 303


async def test_the_way_back_is_open_to_the_browser_that_went_and_once(
    browser: Browser, provider: LyingProvider, gateway: GatewayProcess
) -> None:
    """Not in another browser (a link that signs its victim in as another person), and not a second time."""
    sign_in = await browser.begin()
    said = {"code": provider.code(sign_in, provider.token(sign_in))}
    async with Browser(gateway) as victim:
        refused = await victim.come_back(sign_in, **said)
        assert refused.status_code == 403 and "not begun in this browser" in refused.text
        await victim.begin()
        assert (await victim.come_back(sign_in, **said)).status_code == 403
        assert await victim.name() is None
    tickets = dict(browser.client.cookies)
    assert (await browser.come_back(sign_in, **said)).status_code == 303
    provider.code(sign_in, provider.token(sign_in))
    async with Browser(gateway) as thief:  # who has read the cookie too, and another code
        thief.client.cookies.update(tickets)
        again = await thief.come_back(sign_in, code=provider.code(sign_in, provider.token(sign_in)))
        assert again.status_code == 403 and await thief.name() is None


async def test_a_state_or_a_code_of_another_sign_in_is_of_no_use(
    browser: Browser, provider: LyingProvider, gateway: GatewayProcess
) -> None:
    """Of the same browser too: each sign-in has its own ticket, nonce and verifier."""
    first, second = await browser.begin(), await browser.begin()
    swapped = await browser.come_back(first, code=provider.code(second, provider.token(second)))
    assert swapped.status_code == 403 and "invalid_grant" in swapped.text  # by PKCE
    injected = await browser.come_back(second, code=provider.code(second, provider.token(first)))
    assert injected.status_code == 403 and "nonce" in injected.text
    for state in ("", "0" * 64, first["state"][:8] + "0" * 56, "\u00e9"):
        third = await browser.begin()
        said = {"state": state, "code": provider.code(third, provider.token(third))}
        assert (await browser.come_back(third, **said)).status_code == 403
    assert await browser.name() is None


async def test_two_tabs_can_sign_in_at_the_same_time(browser: Browser, provider: LyingProvider) -> None:
    """Each goes where it was meant to go."""
    tabs = [await browser.begin(f"/desk/account?tab={number}") for number in (1, 2)]
    for number, sign_in in enumerate(tabs, 1):
        code = provider.code(sign_in, provider.token(sign_in))
        answer = await browser.come_back(sign_in, code=code)
        assert answer.headers["location"] == f"/desk/account?tab={number}"


async def test_the_answer_of_another_provider_is_not_used(browser: Browser, provider: LyingProvider) -> None:
    """RFC 9207: a wrong `iss` always, a missing one where the provider says that it sends one."""
    sign_in = await browser.begin()
    said = {"code": provider.code(sign_in, provider.token(sign_in))}
    mixed = await browser.come_back(sign_in, iss="https://other.example.com", **said)
    assert mixed.status_code == 403 and "not one of the provider that was asked" in mixed.text
    sign_in = await browser.begin()
    said = {"code": provider.code(sign_in, provider.token(sign_in))}
    assert (await browser.come_back(sign_in, iss=provider.url, **said)).status_code == 303


async def test_what_is_said_twice_is_not_taken(browser: Browser, provider: LyingProvider) -> None:
    """RFC 6749, section 3.1: one of the two may be an attacker's."""
    sign_in = await browser.begin()
    code = provider.code(sign_in, provider.token(sign_in))
    address = f"/desk/oidc/callback?state={sign_in['state']}&code={code}&code={code}"
    assert (await browser.client.get(address)).status_code == 403


async def test_a_refusal_of_the_provider_is_told_and_a_made_up_one_is_not(
    browser: Browser, gateway: GatewayProcess
) -> None:
    """Else every link could make our page say something."""
    said = {"error": "access_denied", "error_description": "Call \u202e555 <b>now</b>"}
    sign_in = await browser.begin()
    async with Browser(gateway) as victim:
        assert "555" not in whole_words((await victim.come_back(sign_in, **said)).text)
    told = (await browser.come_back(sign_in, **said)).text
    assert "access_denied Call 555 &lt;b&gt;now&lt;/b&gt;" in told


@pytest.mark.parametrize(
    "then",
    [
        *("//evil.example", "https://evil.example/desk", "/desk/../../x", "/desk\\@evil.example", "desk"),
        *("/desk/oidc/start", "/deskevil", "/desk/%2f%2fevil.example", "/desk\r\nSet-Cookie: x=1", ""),
    ],
)
async def test_after_the_sign_in_the_browser_stays_at_the_desk(
    browser: Browser, provider: LyingProvider, then: str
) -> None:
    """Also where the link leads elsewhere."""
    sign_in = await browser.begin(then)
    answer = await browser.come_back(sign_in, code=provider.code(sign_in, provider.token(sign_in)))
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")


async def test_a_person_in_none_of_the_groups_is_told_so(browser: Browser, provider: LyingProvider) -> None:
    """With the settings that say which groups, and where they are looked for."""
    for groups in (["guests"], [], "guests", {"desks": {}}, None, 7, ["desk "]):
        sign_in = await browser.begin()
        code = provider.code(sign_in, provider.token(sign_in, groups=groups))
        answer = await browser.come_back(sign_in, code=code)
        assert answer.status_code == 403 and "ATLAS_OIDC_GROUPS_CLAIM" in answer.text
        assert await browser.name() is None


async def come_in(browser: Browser, provider: LyingProvider, **claims: Any) -> Any:
    """Sign in as a person of whom this is said."""
    sign_in = await browser.begin()
    code = provider.code(sign_in, provider.token(sign_in, **claims))
    return await browser.come_back(sign_in, code=code)


@pytest.mark.parametrize(
    "name", ["Anna", "ANNA", "\uff41\uff4e\uff4e\uff41", "an\u200bna", "anna ", "key-anna"]
)
async def test_two_people_whose_names_look_alike_do_not_become_one(
    browser: Browser, provider: LyingProvider, name: str
) -> None:
    """Neither two accounts of the provider, nor one of them and a reviewer's key."""
    assert (await come_in(browser, provider)).status_code == 303
    browser.client.cookies.clear()
    refused = await come_in(browser, provider, sub="2", preferred_username=name)
    assert refused.status_code == 403 and "invalid_grant" not in refused.text
    assert await browser.name() is None


async def test_a_person_keeps_the_name_of_the_first_time(browser: Browser, provider: LyingProvider) -> None:
    """A person who could change it could approve twice where two have to, or be taken for another one."""
    assert (await come_in(browser, provider, sub="3", preferred_username="carla")).status_code == 303
    assert (await come_in(browser, provider, sub="3", preferred_username="anna")).status_code == 303
    assert await browser.name() == "carla"


async def test_the_same_subject_of_another_issuer_is_another_person(
    tmp_path: Path, gateway: GatewayProcess, browser: Browser, provider: LyingProvider
) -> None:
    """The operator changed the provider: the names of the former one are not free."""
    assert (await come_in(browser, provider)).status_code == 303
    async with lying_provider() as other:
        data = {"ATLAS_DATA_DIR": str(tmp_path / "data")}
        (tmp_path / "data").mkdir()
        copy_store(gateway.data, tmp_path / "data")
        moved = GatewayProcess(tmp_path, **other.settings | data)
        await moved.start()
        try:
            async with Browser(moved) as there:
                there.client.cookies.update(browser.client.cookies)
                assert await there.name() is None  # sessions of the former provider have ended
                refused = await come_in(there, other)
                assert refused.status_code == 403 and "another person here" in refused.text
        finally:
            await moved.kill()


async def test_an_agents_key_opens_nothing_on_the_way(browser: Browser, provider: LyingProvider) -> None:
    """Neither away nor back."""
    key = {"Authorization": f"Bearer {AGENT_KEY}"}
    assert (await browser.client.get("/desk/oidc/start", headers=key)).status_code == 403
    sign_in = await browser.begin()
    said = {"state": sign_in["state"], "code": provider.code(sign_in, provider.token(sign_in))}
    assert (await browser.client.get("/desk/oidc/callback", params=said, headers=key)).status_code == 403
    assert await browser.name() is None


async def test_new_keys_of_the_provider_are_asked_for(browser: Browser, provider: LyingProvider) -> None:
    """As soon as a token is signed with none of the keys that are known."""
    assert (await come_in(browser, provider)).status_code == 303
    browser.client.cookies.clear()
    provider.rotate()
    # At most every few seconds, so that a provider that signs nonsense is not asked without end.
    deadline = time.monotonic() + 30
    while (answer := await come_in(browser, provider)).status_code != 303:
        assert time.monotonic() < deadline and "none of the provider&#39;s keys" in answer.text


async def test_a_provider_that_is_down_stops_no_start_and_no_other_way(tmp_path: Path) -> None:
    """The page says which setting to look at."""
    async with lying_provider() as provider:
        settings = provider.settings
    gateway = GatewayProcess(tmp_path, **settings | {"ATLAS_REVIEWER_KEY": f"eva:{ANNA}"})
    await gateway.start()
    try:
        async with Browser(gateway) as browser:
            answer = await browser.client.get("/desk/oidc/start")
            assert answer.status_code == 502
            assert "ATLAS_OIDC_ISSUER) cannot be used now: it cannot be reached" in answer.text
            page = await browser.client.get("/desk/sign-in")
            assert page.status_code == 200 and "Sign in at 127.0.0.1" in page.text
            way = {"way": "key", "key": ANNA, "then": "/desk"}
            assert (await browser.client.post("/desk/sign-in", data=way)).status_code == 303
            assert await browser.name() == "eva"
    finally:
        await gateway.kill()


@pytest.mark.parametrize(
    ("announced", "sentence"),
    [
        ({"issuer": "https://login.example.com/{tenantid}/v2.0"}, "set ATLAS_OIDC_ISSUER to its own name"),
        ({"token_endpoint": None}, "what it announces lacks token_endpoint"),
        ({"jwks_uri": "http://id.example.com/jwks"}, "an endpoint without https"),
        ({"userinfo_endpoint": "file:///etc/passwd"}, "an endpoint without https"),
        ({"much": "x" * 2**21}, "cannot be reached"),  # more than is read
    ],
)
async def test_a_provider_that_announces_what_cannot_be_used_is_named(
    announced: dict[str, Any], sentence: str
) -> None:
    """With what is wrong."""
    async with lying_provider() as provider:
        provider.announced = announced
        with pytest.raises(ProviderUnusable, match=sentence):
            await Provider(provider.url).announced()


async def test_a_session_ends_when_the_settings_let_the_group_in_no_more(tmp_path: Path) -> None:
    """At the start with the new settings, not twelve hours later; announced `iss` is asked for too."""
    async with lying_provider() as provider:
        provider.announced = {"authorization_response_iss_parameter_supported": True}
        gateway = GatewayProcess(tmp_path, ATLAS_PORT=str(kept_port()), **provider.settings)
        await gateway.start()
        try:
            async with Browser(gateway) as browser:
                assert (await come_in(browser, provider)).status_code == 403  # without iss
                sign_in = await browser.begin()
                code = provider.code(sign_in, provider.token(sign_in))
                await browser.come_back(sign_in, code=code, iss=provider.url)
                assert await browser.name() == "anna"
                cookies = browser.client.cookies
            for groups, name in (("desk,others", "anna"), ("others", None)):
                await gateway.kill()
                port = gateway.url.rpartition(":")[2]  # a cookie is of one port
                await gateway.start(ATLAS_OIDC_GROUPS=groups, ATLAS_PORT=port)
                async with Browser(gateway) as browser:
                    browser.client.cookies.update(cookies)
                    assert await browser.name() == name
        finally:
            await gateway.kill()
