"""A real gateway before a server that wants OAuth: what /readyz, agents, ledger and log say of it."""

import json
from pathlib import Path
from typing import Any

import httpx
from gateway_process import GatewayProcess, call, eventually, outcome, reference_in, text_of
from signing_server import signed_in, signing_server

AGAIN = "a person has to sign in again: run `python -m atlas.upstreams login far`"


async def state(gateway: GatewayProcess) -> dict[str, Any]:
    """What /readyz says of the server; the gateway itself can work all the time."""
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{gateway.url}/readyz")
    assert answer.status_code == 200
    return dict(answer.json()["upstreams"]["far"])


async def test_an_approved_call_without_a_token_fails_and_tokens_are_told_to_no_one(tmp_path: Path) -> None:
    """Signed in while the gateway runs; then the server takes the tokens back before an approved call."""
    async with signing_server() as far:
        config = tmp_path / "mcp.json"
        config.write_text(json.dumps({"mcpServers": {"far": far.entry}}))
        gateway = GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(config))
        await gateway.start()
        try:
            assert (await state(gateway))["problem"] == AGAIN.replace(" again", "")
            assert (await signed_in(gateway.data, far=far.entry))[0] == 0

            async def is_there() -> bool:
                return bool((await state(gateway))["ok"])

            await eventually(is_there)
            async with gateway.agent() as agent:
                case_id = reference_in(await call(agent, "far_note", text="one"))
                assert (await gateway.decide(case_id)).is_success
                done = await outcome(agent, case_id)
                assert done.structured_content["status"] == "EXECUTED"

                case_id = reference_in(await call(agent, "far_note", text="two"))
                far.authority.revoke()
                assert (await gateway.decide(case_id)).is_success
                failed = await outcome(agent, case_id)
                assert failed.structured_content["status"] == "FAILED"
                assert AGAIN in text_of(failed)
            assert (await state(gateway))["problem"] == AGAIN
        finally:
            await gateway.stop()
        assert far.calls == ["one"]
        kept = b"".join(path.read_bytes() for path in gateway.data.glob("*.db*"))
        told = kept + gateway.log.read_bytes()
        assert b"far_note" in kept
        assert not [token for token in far.authority.given if token.encode() in told]
