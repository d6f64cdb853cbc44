"""A real OpenID provider, oidc-provider from npm, in a process of its own."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acceptance.npm_clients import NODE, PATH, NpmClients
from gateway_process import START_SECONDS, WAIT_SECONDS

SCRIPT = Path(__file__).with_suffix(".mjs")
CLIENT, SECRET, PUBLIC = "gateway", "secret of %&:+ the gateway", "public"
ROLES = "realm_access.roles"


def person(name: str, *roles: str, **claims: Any) -> dict[str, Any]:
    """What the provider says of one person, with the groups where Keycloak has them."""
    return {"preferred_username": name, "realm_access": {"roles": list(roles)}} | claims


class OpenIdProvider:
    """Its issuer, and what can be done to it."""

    def __init__(self, issuer: str, process: asyncio.subprocess.Process) -> None:
        self.issuer = issuer
        self._process = process

    @property
    def settings(self) -> dict[str, str]:
        """What a gateway needs for it."""
        return {
            "ATLAS_OIDC_ISSUER": self.issuer,
            "ATLAS_OIDC_CLIENT_ID": CLIENT,
            "ATLAS_OIDC_CLIENT_SECRET": SECRET,
            "ATLAS_OIDC_GROUPS": "desk,seniors",
            "ATLAS_OIDC_GROUPS_CLAIM": ROLES,
            "ATLAS_OIDC_SCOPES": "openid profile email roles",
        }

    async def know(self, gateway_url: str) -> None:
        """Register the gateway's address."""
        await self._tell(redirect=f"{gateway_url}/desk/oidc/callback")

    async def rotate(self) -> None:
        """Sign with a new key, and announce that one alone."""
        await self._tell(rotate=True)

    async def _tell(self, **command: Any) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        said = await asyncio.wait_for(self._process.stdout.readline(), WAIT_SECONDS)
        assert said == b"done\n", said


@asynccontextmanager
async def openid_provider(*, says: str = "in the token", **people: Any) -> AsyncIterator[OpenIdProvider]:
    """One that knows these people; `says` is whether names and groups stand in the token, or elsewhere."""
    await asyncio.to_thread(NpmClients.install)
    script = shutil.copy(SCRIPT, NpmClients.directory())  # Node looks for modules beside it
    process = await asyncio.create_subprocess_exec(
        *(NODE, script, json.dumps(people), says),
        env={"PATH": PATH, "HOME": str(NpmClients.directory())},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        yield OpenIdProvider(line.decode().strip(), process)
    finally:
        process.kill()
        await process.wait()
