"""A person at the desk without a browser, and the commands of an operator beside the gateway."""

import re
from typing import Any

import httpx
from command_of_test import ran_beside
from gateway_process import WAIT_SECONDS, GatewayProcess

TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
LINK = re.compile(r"http://\S+/desk/(?:enter|password)#(\S+)")


class Visitor(httpx.AsyncClient):
    """Keeps its cookies, and follows no redirect by itself."""

    def __init__(self, gateway: GatewayProcess, **options: Any) -> None:
        super().__init__(base_url=gateway.url, timeout=WAIT_SECONDS, **options)

    async def sign_in(self, **fields: str) -> httpx.Response:
        """Send the form of sign-in."""
        return await self.post("/desk/sign-in", data=fields)

    async def token(self) -> str:
        """The token that the forms of this session carry."""
        found = TOKEN.search((await self.get("/desk/account")).text)
        return found[1] if found else ""

    async def is_in(self) -> bool:
        """Whether the desk lets this browser in."""
        return (await self.get("/desk/account")).status_code == 200

    @property
    def session_id(self) -> str:
        """What the cookie holds."""
        [value] = [cookie.value for cookie in self.cookies.jar if "atlas-desk" in cookie.name]
        assert value is not None
        return value

    @property
    def cookie_name(self) -> str:
        """What the cookie is called."""
        [name] = [cookie.name for cookie in self.cookies.jar if "atlas-desk" in cookie.name]
        return name


async def operator(gateway: GatewayProcess, *words: str, status: int = 0, **environment: str) -> str:
    """What `python -m atlas.people` prints, run beside the gateway with its settings."""
    told = ("--at", gateway.url, *words)
    settings = gateway.environment | environment
    done = await ran_beside("atlas.people", *told, environment=settings, directory=gateway.directory)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def code_in(said: str) -> str:
    """The code of the link in what the command printed."""
    found = LINK.search(said)
    assert found is not None, said
    return found[1].partition(".")[0]
