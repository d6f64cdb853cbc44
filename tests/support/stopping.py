"""How people stop and lift at a gateway in a process: over HTTP, and by the command of an operator."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import httpx
from gateway_process import REVIEWER_KEY, ROOT, WAIT_SECONDS, GatewayProcess
from kept import location_in, store_settings

from atlas.database.sharing import shared
from atlas.models import Scope
from atlas.stop.stops import Stops


async def ask(
    gateway: GatewayProcess, path: str = "", *, key: str | None = REVIEWER_KEY, **body: Any
) -> httpx.Response:
    """POST to /stops or below it, or GET where there is nothing to say."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers=headers) as client:
        url = f"{gateway.url}/stops{path}"
        return await (client.post(url, json=body) if body else client.get(url))


async def stop(gateway: GatewayProcess, scope: str = "everything", target: str = "") -> str:
    """Stop it over HTTP; returns the id of the stop."""
    answer = await ask(gateway, scope=scope, target=target, reason="fire in the cellar")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["stop_id"])


async def lift(gateway: GatewayProcess, stop_id: str) -> None:
    """Lift it over HTTP."""
    answer = await ask(gateway, f"/{stop_id}/lift", reason="the fire is out")
    assert answer.status_code == 200, answer.text


async def command(gateway: GatewayProcess, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run `python -m atlas.stop` on the data of a gateway, as its operator; exit status and output."""
    store = {"ATLAS_DATA_DIR": str(gateway.data)} | store_settings(gateway.data)
    named = store | {"PATH": os.environ["PATH"], "USER": "olga", "LOGNAME": "olga"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atlas.stop", *arguments),
        cwd=gateway.directory,
        env=named | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), WAIT_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def stop_elsewhere(gateway: GatewayProcess, scope: Scope, target: str = "") -> str:
    """Stop it as the command does, from this process, which is not the gateway's; returns its id."""
    file = shared(location_in(gateway.data))
    stop = await Stops(file).stop(scope, target, reason="fire in the cellar", person_name="operator:olga")
    return stop.stop_id


async def lift_elsewhere(gateway: GatewayProcess, stop_id: str) -> None:
    """Lift it as the command does."""
    file = shared(location_in(gateway.data))
    await Stops(file).lift(stop_id, reason="the fire is out", person_name="operator:olga")
