"""An agent and a reviewer at the balancer of deploy/compose.yaml, whichever way its services were started."""

import ssl
from pathlib import Path
from typing import Any

import httpx
from dotenv import dotenv_values
from fastmcp import Client
from gateway_process import WAIT_SECONDS, call, outcome, reference_in, text_of

SITE = "gateway.example.com"
RISKY = {"beneficiary_id": "BEN-123", "reason": "hospital stay"}


def trust(folder: Path) -> ssl.SSLContext:
    """What trusts the certificate and no other, at an address that is not in it."""
    context = ssl.create_default_context(cafile=str(folder / "secrets" / "tls.pem"))
    context.check_hostname = False
    return context


def secrets_of(folder: Path) -> dict[str, str]:
    """Each secret by its name."""
    found: dict[str, str] = {}
    for path in (folder / "secrets").glob("*.env"):
        found |= {name: value or "" for name, value in dotenv_values(path).items()}
    return found


async def see_a_call_governed(here: str, folder: Path, *, path: str, transport: Any) -> None:
    """A call waits, a person approves it by the webhook, and its agent reads the outcome."""
    keys = secrets_of(folder)
    way = transport(here + path, headers={"Host": SITE}, auth=keys["ATLAS_AGENT_KEY"], verify=trust(folder))
    async with Client(way, timeout=WAIT_SECONDS) as agent:
        case_id = reference_in(await call(agent, "request_payment_extension", **RISKY))
        async with httpx.AsyncClient(verify=trust(folder), timeout=WAIT_SECONDS) as reviewer:
            decided = await reviewer.post(
                f"{here}/webhook/approval",
                json={"decision": "APPROVED", "event_id": case_id},
                headers={"Host": SITE, "Authorization": f"Bearer {keys['ATLAS_REVIEWER_KEY']}"},
            )
        assert decided.status_code == 200, decided.text
        assert "now due on" in text_of(await outcome(agent, case_id))
