"""A gateway that uses an Inngest server elsewhere: here the engine, in a process of its own."""

import contextlib
import sqlite3
from pathlib import Path

from engine_elsewhere import EVENT_KEY, OLD_KEY, engine
from gateway_process import GatewayProcess, call, outcome, reference_in, text_of
from ports import kept_port

NEW_KEY = "0b" * 32


async def test_while_a_signing_key_is_rotated_calls_are_governed_by_an_engine_elsewhere(
    tmp_path: Path,
) -> None:
    """All settings of Inngest count in .env too: the keys, the key before the rotation, and both URLs."""
    port = kept_port()
    async with engine(tmp_path / "engine") as engine_url:
        settings = {
            "INNGEST_BASE_URL": engine_url,
            "INNGEST_EVENT_KEY": EVENT_KEY,
            "INNGEST_SIGNING_KEY": NEW_KEY,
            "INNGEST_SIGNING_KEY_FALLBACK": OLD_KEY,
            "INNGEST_SERVE_ORIGIN": f"http://localhost:{port}",
        }
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        gateway = GatewayProcess(tmp_path, ATLAS_PORT=str(port))
        await gateway.start()
        try:
            async with gateway.agent() as agent:
                held = await call(
                    agent, "request_payment_extension", beneficiary_id="BEN-123", reason="hospital stay"
                )
                await gateway.decide(reference_in(held))
                assert "now due on" in text_of(await outcome(agent, reference_in(held)))
        finally:
            await gateway.kill()
    with contextlib.closing(sqlite3.connect(tmp_path / "engine" / "engine.db")) as database:
        registered = [text for (text,) in database.execute("SELECT configuration FROM functions")]
    assert registered and all(f"http://localhost:{port}/api/inngest?" in text for text in registered)
