"""What a passkey is asked for: at which origin, by whom, and what the store keeps of it."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from desk_office import KEYS, extension, office
from gateway_process import WAIT_SECONDS, GatewayProcess
from passkeys import SoftKey, people_command

pytestmark = pytest.mark.asyncio(loop_scope="module")
BEHIND = {
    "ATLAS_ALLOWED_HOSTS": "desk.example.com",
    "ATLAS_TRUSTED_PROXIES": "127.0.0.1",
    "ATLAS_PROXY_GROUPS": "desk",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway behind a proxy that is trusted."""
    process = office(
        tmp_path_factory.mktemp("origins"), ATLAS_PROXY_SECRET="a-long-random-text-of-your-own", **BEHIND
    )
    await process.start()
    yield process
    await process.kill()


async def asked(
    gateway: GatewayProcess, case_id: str, *, key: str = KEYS["anna"], **headers: str
) -> httpx.Response:
    """The answer to a program that wants to know what a passkey signs."""
    there = f"{gateway.url}/cases/{case_id}"
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        of_anna = {"Authorization": f"Bearer {KEYS['anna']}"}
        case = (await client.get(there, headers=of_anna)).json()
        said = {"round": case["round"], "seen_sha256": case["seen_sha256"]}
        sent = {"Authorization": f"Bearer {key}"} | headers
        return await client.post(f"{there}/challenge", json=said, headers=sent)


async def test_the_origin_is_the_one_that_the_browser_has_behind_a_proxy(gateway: GatewayProcess) -> None:
    """A host that is not served is refused, so that no page of another site is signed for."""
    case_id = await extension(gateway, 1)
    outside = await asked(gateway, case_id, **{"Host": "desk.example.com", "X-Forwarded-Proto": "https"})
    assert outside.status_code == 403 and outside.json()["error"] == "PasskeyRefused"
    assert "https://desk.example.com/desk/account" in outside.json()["detail"]
    foreign = await asked(gateway, case_id, Host="evil.example.com")
    assert foreign.status_code == 421


async def test_a_passkey_of_another_origin_is_not_asked_here(gateway: GatewayProcess) -> None:
    """Its owner reads where it was made."""
    case_id = await extension(gateway, 2)
    SoftKey(gateway, "ben", counts=True)  # at http://localhost
    elsewhere = await asked(
        gateway, case_id, key=KEYS["ben"], **{"Host": "desk.example.com", "X-Forwarded-Proto": "https"}
    )
    assert elsewhere.status_code == 403 and "were made at http://localhost:" in elsewhere.json()["detail"]
    here = await asked(
        gateway, case_id, key=KEYS["ben"], Host=gateway.url.replace("http://127.0.0.1", "localhost")
    )
    options = here.json()["options"]
    assert options["rpId"] == "localhost" and options["userVerification"] == "required"


async def test_an_agent_gets_no_challenge_and_the_command_says_what_is_missing(
    gateway: GatewayProcess,
) -> None:
    """Each refusal is a sentence."""
    case_id = await extension(gateway, 3)
    assert (await asked(gateway, case_id, key="key-of-billing-bot-tests")).status_code == 403
    for arguments, said in (
        (("confirm", "anna"), "Say which one"),
        (("confirm", "anna", "0000-0000"), "There is no passkey 0000-0000"),
        (("list",), "Say whose passkeys"),
    ):
        told = people_command(gateway, "passkeys", *arguments)
        assert told.returncode == 1 and said in told.stderr, told.stderr
    assert people_command(gateway, "passkeys", "list", "anna").stdout == "anna has no passkey.\n"
    checked = people_command(gateway, "passkeys", "check").stdout
    assert checked == "OK: 0 approvals with a passkey's signature checked.\n"


async def test_the_passkeys_of_a_person_end_with_the_person(gateway: GatewayProcess) -> None:
    """One who comes again under the name adds others."""
    assert people_command(gateway, "--at", gateway.url, "add", "eva").returncode == 0
    SoftKey(gateway, "eva", counts=True)
    assert "counts, confirmed by operator" in people_command(gateway, "passkeys", "list", "eva").stdout
    assert people_command(gateway, "end", "eva").returncode == 0
    assert people_command(gateway, "passkeys", "list", "eva").stdout == "eva has no passkey.\n"
