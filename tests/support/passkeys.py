"""A browser with a passkey of its own: Chromium's virtual authenticator, and what a page of it signs."""

import json
import os
from contextlib import closing
from hashlib import sha256
from typing import Any

from command_of_test import Ran, ran
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from desk_browser import show_key
from desk_office import KEYS
from gateway_process import GatewayProcess
from kept import store_by_hand
from playwright.async_api import CDPSession, Page
from webauthn.helpers import bytes_to_base64url, encode_cbor

from atlas.instants import instant_text, now

SIGN = """async (options) => {
  const plain = (text) => atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = (text) => Uint8Array.from(plain(text), (one) => one.charCodeAt(0));
  const safe = (text) => text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const text = (buffer) => safe(btoa(String.fromCharCode(...new Uint8Array(buffer))));
  const allowed = options.allowCredentials.map((one) => ({ ...one, id: bytes(one.id) }));
  const made = await navigator.credentials.get({ publicKey: {
    ...options, challenge: bytes(options.challenge), allowCredentials: allowed } });
  const parts = ["clientDataJSON", "authenticatorData", "signature"];
  return { id: made.id, rawId: text(made.rawId), type: made.type,
    response: Object.fromEntries(parts.map((name) => [name, text(made.response[name])])) };
}"""


def desk_at(gateway: GatewayProcess) -> str:
    """The desk under a name: a browser makes no passkey for an address."""
    return gateway.url.replace("127.0.0.1", "localhost")


async def with_authenticator(page: Page, *, transport: str = "internal") -> tuple[CDPSession, str]:
    """Give a page a device that holds passkeys, and knows who holds it."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": transport,
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, made["authenticatorId"]


async def signed_in(page: Page, gateway: GatewayProcess, name: str = "anna") -> None:
    """Sign a browser in at the desk under its name."""
    await show_key(page, desk_at(gateway), KEYS[name])


async def add_passkey(page: Page, gateway: GatewayProcess, called: str) -> str:
    """Add a passkey on the page of the account; returns its mark. It does not count yet."""
    await page.goto(f"{desk_at(gateway)}/desk/account")
    await page.get_by_label("Name of a new passkey").fill(called)
    await page.get_by_role("button", name="Add a passkey").click()
    row = page.locator("tr", has_text=called)
    await row.wait_for()
    return await row.locator("code").inner_text()


def people_command(
    gateway: GatewayProcess, *arguments: str, environment: dict[str, str] | None = None
) -> Ran:
    """Run `python -m atlas.people` beside the gateway."""
    return ran("atlas.people", *arguments, environment=os.environ | (environment or gateway.environment))


async def asked_for(page: Page, gateway: GatewayProcess, case_id: str) -> Any:
    """What the gateway asks this person's passkey to sign, for a case as it is."""
    there = f"{desk_at(gateway)}/cases/{case_id}"
    case = await (await page.request.get(there)).json()
    said = {"round": case["round"], "seen_sha256": case["seen_sha256"]}
    answer = await page.request.post(f"{there}/challenge", data=said)
    assert answer.ok, await answer.text()
    return (await answer.json())["options"]


async def signature(page: Page, options: Any) -> dict[str, Any]:
    """What the passkey of this browser signs."""
    made: dict[str, Any] = await page.evaluate(SIGN, options)
    return made


class SoftKey:
    """A passkey in a program, as an agent could have one: it says what it likes of who holds it."""

    def __init__(self, gateway: GatewayProcess, name: str, *, counts: bool) -> None:
        self._origin = desk_at(gateway)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = bytes_to_base64url(os.urandom(16))
        numbers = self._key.public_key().public_numbers()
        place = {-1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        public_key = bytes_to_base64url(encode_cbor({1: 2, 3: -7} | place))
        at = instant_text(now())
        with closing(store_by_hand(gateway.data)) as connection:
            connection.execute(
                "INSERT INTO passkeys VALUES (?, ?, ?, 0, 'soft', 'localhost', ?, ?, ?, ?, NULL, NULL)",
                (
                    *(self.credential_id, name, public_key, self._origin, at),
                    *((at, "operator") if counts else (None, None)),
                ),
            )
            connection.commit()

    def sign(self, options: Any, *, flags: int = 0x05, count: int = 1, **client: Any) -> dict[str, Any]:
        """What it signs for a challenge; the flags are user present (1) and user verified (4)."""
        said = {"type": "webauthn.get", "challenge": options["challenge"], "origin": self._origin} | client
        data = json.dumps(said).encode()
        device = sha256(b"localhost").digest() + bytes([flags]) + count.to_bytes(4, "big")
        signed = self._key.sign(device + sha256(data).digest(), ec.ECDSA(hashes.SHA256()))
        parts = {"clientDataJSON": data, "authenticatorData": device, "signature": signed}
        response = {name: bytes_to_base64url(part) for name, part in parts.items()}
        return {
            "id": self.credential_id,
            "rawId": self.credential_id,
            "type": "public-key",
            "response": response,
        }
