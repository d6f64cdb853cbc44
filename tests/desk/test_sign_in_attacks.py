"""What attackers try at the sign-in of the desk, over HTTP, against a real gateway."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from desk_visitor import Visitor, code_in, operator
from gateway_process import AGENT_KEY, REVIEWER_KEY, GatewayProcess
from kept import acts, entries_in
from ports import kept_port

from atlas.ledger import verify

NAMED = f"anna:{REVIEWER_KEY},ben:another-key-of-the-tests"
PASSWORD = "a long word and another"
ELSEWHERE = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9"},  # another program on this machine
    {"Origin": "http://127.0.0.1:9"},  # in a browser that sends no Sec-Fetch-Site
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "null"},
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway with two named keys, at a port that it keeps."""
    process = GatewayProcess(tmp_path, ATLAS_REVIEWER_KEY=NAMED, ATLAS_PORT=str(kept_port()))
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
async def anna(gateway: GatewayProcess) -> AsyncIterator[Visitor]:
    """A person who is signed in with a key."""
    async with Visitor(gateway) as visitor:
        assert (await visitor.sign_in(way="key", key=REVIEWER_KEY)).status_code == 303
        yield visitor


def actions(gateway: GatewayProcess) -> list[str]:
    """What the ledger has of people and calls, in a chain that verifies."""
    entries = list(entries_in(gateway.data))
    verify(entries)
    return acts(entries)


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(
    gateway: GatewayProcess, anna: Visitor
) -> None:
    """Without TLS it has no Secure: the browser would not send it back."""
    answer = await anna.sign_in(way="key", key=REVIEWER_KEY)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/;" in cookie
    assert "secure" not in cookie and "domain" not in cookie and "max-age=43200" in cookie
    assert anna.cookie_name == f"atlas-desk-{gateway.url.rpartition(':')[2]}"


async def test_a_session_that_an_attacker_has_planted_is_not_the_one_that_is_signed_in(
    gateway: GatewayProcess,
) -> None:
    """Fixation: an id of the attacker's making is nothing, and a real one is replaced."""
    async with Visitor(gateway) as victim, Visitor(gateway) as attacker:
        await attacker.sign_in(way="key", key="another-key-of-the-tests")
        for planted in ("an-id-of-my-own", attacker.session_id):
            victim.cookies.clear()
            victim.cookies.set(attacker.cookie_name, planted)
            await victim.sign_in(way="key", key=REVIEWER_KEY)
            new = [cookie.value for cookie in victim.cookies.jar if cookie.value != planted]
            assert len(new) == 1
            attacker.cookies.clear()
            attacker.cookies.set("atlas-desk-" + gateway.url.rpartition(":")[2], planted)
            assert not await attacker.is_in()


async def test_no_page_of_another_origin_can_post(gateway: GatewayProcess, anna: Visitor) -> None:
    """Also with the right token; and what it wrote is not shown on a page of ours."""
    token = await anna.token()
    paths = ("sign-in", "enter", "password", "sign-out", "account/end-sessions")
    fields = {"form_token": token, "way": "key", "key": REVIEWER_KEY, "reason": "<b>planted</b> text"}
    for path, headers in itertools.product(paths, ELSEWHERE):
        answer = await anna.post(f"/desk/{path}", data=fields, headers=headers)
        assert answer.status_code == 403, path
        assert "Nothing" in answer.text or "nothing" in answer.text or "may not use" in answer.text
        assert "planted" not in answer.text and "set-cookie" not in answer.headers
    assert await anna.is_in()


async def test_a_form_carries_the_token_of_its_own_session(gateway: GatewayProcess, anna: Visitor) -> None:
    """None, a wrong one, or that of another person: what was written is shown, and nothing was done."""
    async with Visitor(gateway) as ben:
        await ben.sign_in(way="key", key="another-key-of-the-tests")
        tokens = ({}, {"form_token": ""}, {"form_token": "x"}, {"form_token": await ben.token()})
        for token, headers in itertools.product(tokens, ({}, {"Sec-Fetch-Site": "same-origin"})):
            fields = token | {"reason": "What I wrote </textarea><script>"}
            answer = await anna.post("/desk/account/end-sessions", data=fields, headers=headers)
            assert answer.status_code == 403
            assert "What I wrote &lt;/textarea&gt;&lt;script&gt;" in answer.text
            assert "nothing was done" in answer.text
        assert await anna.is_in() and await ben.is_in()
    done = await anna.post("/desk/account/end-sessions", data={"form_token": await anna.token()})
    assert done.status_code == 303 and not await anna.is_in()


async def test_open_mode_has_sessions_too_because_other_pages_must_not_post(tmp_path: Path) -> None:
    """The first page makes one; without its cookie and token no form is taken."""
    gateway = GatewayProcess(tmp_path, ATLAS_AGENT_KEY="", ATLAS_REVIEWER_KEY="")
    await gateway.start()
    try:
        async with Visitor(gateway) as visitor, Visitor(gateway) as stranger:
            assert "set-cookie" in (await visitor.get("/desk")).headers
            assert "set-cookie" not in (await visitor.get("/desk")).headers
            page = await stranger.post("/desk/sign-out", data={"form_token": "x", "reason": "kept"})
            assert page.status_code == 403 and "kept" in page.text
            assert (await visitor.post("/desk/sign-out", data={})).status_code == 403
            for path in ("/desk/sign-in", "/desk/enter", "/desk/password"):
                assert (await visitor.get(path)).headers["location"] == "/desk"
        assert actions(gateway) == []
        assert "desk       http" in gateway.newest_log()
        said = await operator(gateway, "enter")
        assert said.strip().endswith(f"{gateway.url}/desk") and "#" not in said
    finally:
        await gateway.kill()


PLACES = {
    "/desk": "/desk",
    "/desk/history?tool=pay&status=EXECUTED": "/desk/history?tool=pay&status=EXECUTED",
    "/desk/cases/evt_0123456789abcdef": "/desk/cases/evt_0123456789abcdef",
    "https://evil.example/desk": "/desk",
    "//evil.example/desk": "/desk",
    "/\\evil.example": "/desk",
    "/desk/..//evil.example": "/desk",
    "/desk//evil.example": "/desk",
    "/desk\r\nSet-Cookie: a=b": "/desk",
    "/deskevil": "/desk",
    "/desk@evil.example": "/desk",
    "/mcp": "/desk",
    "javascript:alert(1)": "/desk",
    "/desk/sign-out": "/desk",
    "": "/desk",
}


async def test_the_sign_in_leads_to_the_desk_and_nowhere_else(gateway: GatewayProcess) -> None:
    """A link could otherwise lead from our sign-in to a page of the attacker."""
    for then, place in PLACES.items():
        async with Visitor(gateway) as visitor:
            page = await visitor.get("/desk/sign-in", params={"then": then})
            found = re.search('name="then" value="([^"]*)"', page.text)
            assert found is not None and found[1].replace("&amp;", "&") == place
            answer = await visitor.sign_in(way="key", key=REVIEWER_KEY, then=then)
            assert (answer.status_code, answer.headers["location"]) == (303, place)
            again = await visitor.get("/desk/sign-in", params={"then": then})
            assert again.headers["location"] == place


async def test_a_session_is_over_after_the_sign_out_and_stays_so_after_a_kill(
    gateway: GatewayProcess, anna: Visitor
) -> None:
    """kill -9: a session that goes on survives, and one that has ended stays ended."""
    async with Visitor(gateway) as other:
        await other.sign_in(way="key", key=REVIEWER_KEY)
        kept = dict(other.cookies)
        assert (await other.post("/desk/sign-out", data={"form_token": await other.token()})).is_redirect
        assert not other.cookies
        for _ in range(2):
            other.cookies.update(kept)
            assert not await other.is_in()
            token = await anna.token()
            assert token
            await gateway.kill()
            await gateway.start()
            assert await anna.is_in() and await anna.token() == token
    expected = ["people.signed_in", "people.signed_in", "people.signed_out"]
    assert actions(gateway) == expected


async def test_a_session_goes_with_the_key_or_the_name_of_the_key(
    gateway: GatewayProcess, anna: Visitor
) -> None:
    """The settings vouch for it; an open gateway's session vouches for nothing later."""
    await gateway.kill()
    await gateway.start(ATLAS_REVIEWER_KEY="ben:another-key-of-the-tests")
    assert not await anna.is_in()
    await gateway.kill()
    await gateway.start(ATLAS_REVIEWER_KEY=f"eve:{REVIEWER_KEY}")
    assert not await anna.is_in()
    await gateway.kill()
    await gateway.start(ATLAS_REVIEWER_KEY=REVIEWER_KEY)  # without a name
    assert not await anna.is_in()
    await gateway.kill()
    await gateway.start(ATLAS_REVIEWER_KEY="", ATLAS_AGENT_KEY="")
    assert (await anna.get("/desk")).status_code == 200
    await gateway.kill()
    await gateway.start()
    assert not await anna.is_in()


async def test_an_agents_key_opens_nothing_in_any_way(gateway: GatewayProcess, anna: Visitor) -> None:
    """As a bearer, as a cookie, beside the cookie of a person, and in the form."""
    name = anna.cookie_name
    bearer = {"Authorization": f"Bearer {AGENT_KEY}"}
    async with Visitor(gateway) as agent:
        answers = [
            await agent.get("/desk", headers=bearer),
            await agent.post("/desk/sign-out", headers=bearer),
            await agent.get("/desk", headers={"Cookie": f"{name}={AGENT_KEY}"}),
            await agent.post("/desk/account/end-sessions", headers={"Cookie": f"{name}={AGENT_KEY}"}),
            await agent.get("/desk", headers=bearer | {"Cookie": f"{name}={anna.session_id}"}),
            await agent.sign_in(way="key", key=AGENT_KEY),
            await agent.sign_in(way="account", name="agent", password=AGENT_KEY),
            await agent.post("/desk/password", data={"code": "x", "password": AGENT_KEY}),
        ]
    for answer in answers:
        assert answer.status_code == 403 and "the key of an agent" in answer.text
        assert "set-cookie" not in answer.headers
    assert await anna.is_in()


async def test_a_reviewers_key_opens_the_desk_to_programs_without_a_session(gateway: GatewayProcess) -> None:
    """No browser sends it by itself, so its forms need no token."""
    bearer = {"Authorization": f"Bearer {REVIEWER_KEY}"}
    async with Visitor(gateway, headers=bearer) as program:
        page = await program.get("/desk/account")
        assert page.status_code == 200 and "anna" in page.text and "set-cookie" not in page.headers
        assert (await program.post("/desk/account/end-sessions")).status_code == 303
        evil = await program.post("/desk/account/end-sessions", headers={"Sec-Fetch-Site": "cross-site"})
        assert evil.status_code == 403


async def test_an_account_begins_and_ends_while_the_gateway_runs(gateway: GatewayProcess) -> None:
    """The link works once, the chain of the ledger holds, and no secret is in it."""
    code = code_in(await operator(gateway, "add", "sarah", "--groups", "desk,team"))
    async with Visitor(gateway) as sarah, Visitor(gateway) as thief:
        for _ in range(3):  # as a mail scanner does
            assert (await thief.get("/desk/password")).status_code == 200
        set_up = await sarah.post("/desk/password", data={"code": code, "password": PASSWORD})
        assert (set_up.status_code, set_up.headers["location"]) == (303, "/desk")
        assert "desk, team" in (await sarah.get("/desk/account")).text
        again = await thief.post("/desk/password", data={"code": code, "password": "x" * 12})
        assert again.status_code == 403 and "used already" in again.text
        assert "has a password" in await operator(gateway, "list")
        assert (await thief.sign_in(way="account", name="sarah", password=PASSWORD)).status_code == 303
        assert await operator(gateway, "sessions", "end", "sarah") == "2 sessions of sarah ended.\n"
        assert not await sarah.is_in() and not await thief.is_in()
        await sarah.sign_in(way="account", name="sarah", password=PASSWORD)
        assert await sarah.is_in()
        assert "1 session with it" in await operator(gateway, "end", "sarah")
        assert not await sarah.is_in()
        refused = await sarah.sign_in(way="account", name="sarah", password=PASSWORD)
        assert refused.status_code == 403 and "do not belong together" in refused.text
    found = actions(gateway)
    assert found == [
        *("people.added", "people.password_set", "people.signed_in", "people.signed_in"),
        *("people.sessions_ended", "people.signed_in", "people.ended", "people.sessions_ended"),
        "people.sign_in_refused",
    ]
    kept = str(list(entries_in(gateway.data))) + gateway.newest_log()
    assert code not in kept and PASSWORD not in kept


async def test_two_clicks_at_once_on_the_owners_link_make_one_session(gateway: GatewayProcess) -> None:
    """Opening it, as often as one likes, spends nothing; then it is spent, for good."""
    said = await operator(gateway, "enter")
    assert "signs in anna" in said
    code = code_in(said)
    async with Visitor(gateway) as first, Visitor(gateway) as second:
        for visitor in (first, second):
            page = await visitor.get("/desk/enter")
            assert page.status_code == 200 and code not in page.text
        whole = f"{gateway.url}/desk/enter#{code}"
        answers = await asyncio.gather(
            first.post("/desk/enter", data={"code": code}), second.post("/desk/enter", data={"code": whole})
        )
        assert sorted(answer.status_code for answer in answers) == [303, 403]
        assert sorted([await first.is_in(), await second.is_in()]) == [False, True]
        await gateway.kill()
        await gateway.start()
        replayed = await second.post("/desk/enter", data={"code": code})
        assert replayed.status_code == 403 and "used already" in replayed.text
    assert actions(gateway) == ["people.link_made", "people.signed_in"]


async def test_guessing_is_told_how_long_to_wait(gateway: GatewayProcess) -> None:
    """Across a restart too."""
    async with Visitor(gateway) as guesser:
        for number in range(50):
            answer = await guesser.sign_in(way="key", key=f"a-guessed-key-number-{number}")
            assert answer.status_code == 403
        await gateway.kill()
        await gateway.start()
        answer = await guesser.sign_in(way="key", key=REVIEWER_KEY)
        assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= 900
        assert "Too many sign-ins failed" in answer.text
        assert not await guesser.is_in()
    assert actions(gateway) == ["people.sign_in_refused"] * 2


async def test_a_form_without_a_session_keeps_what_was_written(gateway: GatewayProcess) -> None:
    """After the sign-in the person comes back to the page on which it stood."""
    page = f"{gateway.url}/desk/cases/evt_0123456789abcdef"
    headers = {"Referer": page, "Origin": gateway.url, "Sec-Fetch-Site": "same-origin"}
    async with Visitor(gateway) as visitor:
        answer = await visitor.post(
            "/desk/account/end-sessions", data={"reason": "long text"}, headers=headers
        )
    assert answer.status_code == 401 and "long text" in answer.text
    assert "/desk/sign-in?then=/desk/cases/evt_0123456789abcdef" in answer.text


async def test_a_reason_of_4000_characters_and_a_comment_are_let_in(
    gateway: GatewayProcess, anna: Visitor
) -> None:
    """A body that no form makes is refused at the door."""
    longest = {"reason": "\U0001f511" * 4000, "comment": "\U0001f511" * 4000, "form_token": "x"}
    answer = await anna.post("/desk/account/end-sessions", data=longest)
    assert answer.status_code == 403 and "\U0001f511" * 4000 in answer.text
    answer = await anna.post("/desk/account/end-sessions", data=longest | {"more": "x" * 40_000})
    assert answer.status_code == 413 and answer.json()["error"] == "BodyTooLarge"
