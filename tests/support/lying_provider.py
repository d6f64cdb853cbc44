"""An OpenID provider by hand, which says and signs what a test wants, true or not."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from gateway_process import WAIT_SECONDS, GatewayProcess
from joserfc import jwk, jwt
from signing_server import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT = "gateway"
KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
NO_KEYS: tuple[Any, ...] = (  # what may stand beside the keys: no one can check a signature with it
    *({"kty": "oct", "k": "AAAA", "kid": "secret"}, {"kty": "AKP", "alg": "ML-DSA-44"}, {"kty": "RSA"}),
    *({"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"}, {"no": "type"}, "text"),
)
CALLBACK = "/desk/oidc/callback"


@dataclass
class SignIn:
    """What the gateway asked for when it sent a browser away."""

    location: str
    cookies: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return parse_qs(urlsplit(self.location).query)[name][0]


@dataclass
class LyingProvider:
    """Its announcements, its keys, and the token for each code."""

    url: str
    announced: dict[str, Any] = field(default_factory=dict)
    keys: list[Any] = field(default_factory=list)
    tokens: dict[str, tuple[str, Any]] = field(default_factory=dict)  # challenge and answer, by code
    userinfo: dict[str, Any] = field(default_factory=dict)
    bodies: list[dict[str, str]] = field(default_factory=list)  # what was posted for tokens

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        """Have new keys, and none of those before."""
        name = secrets.token_hex(4)
        self.keys = [
            jwk.RSAKey.generate_key(2048, {"kid": f"rsa {name}"}),
            jwk.ECKey.generate_key("P-256", {"kid": f"curve {name}"}),
            jwk.OKPKey.generate_key("Ed25519", {"kid": f"edwards {name}"}),
        ]

    @property
    def settings(self) -> dict[str, str]:
        """What a gateway needs for it."""
        return {
            "ATLAS_OIDC_ISSUER": self.url,
            "ATLAS_OIDC_CLIENT_ID": CLIENT,
            "ATLAS_OIDC_GROUPS": "desk",
        }

    def claims(self, sign_in: SignIn, **changed: Any) -> dict[str, Any]:
        """The true claims of Anna, but for what is changed; None leaves a claim out."""
        moment = int(time.time())
        true = {"iss": self.url, "aud": CLIENT, "sub": "1", "nonce": sign_in["nonce"], "iat": moment}
        said = true | {"exp": moment + 300, "preferred_username": "anna", "groups": ["desk"]} | changed
        return {name: value for name, value in said.items() if value is not None}

    def token(self, sign_in: SignIn, *, alg: str = "RS256", key: Any = None, **changed: Any) -> str:
        """A signed ID token."""
        key = key or next(key for key in self.keys if key.key_type == KINDS[alg[:2]])
        header = {"alg": alg, "kid": key.kid}
        return jwt.encode(header, self.claims(sign_in, **changed), key, algorithms=[alg])

    def code(self, sign_in: SignIn, id_token: Any) -> str:
        """A code that is worth a token once."""
        code = f"code-{len(self.tokens)}"
        self.tokens[code] = sign_in["code_challenge"], id_token
        return code

    async def describe(self, request: Request) -> Response:
        """OpenID Connect Discovery 1.0."""
        endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
        said = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | endpoints
        return JSONResponse(said | self.announced)

    async def jwks(self, request: Request) -> Response:
        """The public keys."""
        return JSONResponse({"keys": [*NO_KEYS, *(key.as_dict(private=False) for key in self.keys)]})

    async def give(self, request: Request) -> Response:
        """The token of a code, once, to the browser's gateway that knows the verifier."""
        body = {name: str(value) for name, value in (await request.form()).items()}
        self.bodies.append(body)
        challenge, id_token = self.tokens.pop(body["code"], ("", None))
        digest = hashlib.sha256(body["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse({"access_token": "access", "token_type": "Bearer", "id_token": id_token})

    async def tell(self, request: Request) -> Response:
        """The endpoint of user information."""
        return JSONResponse(self.userinfo)


@asynccontextmanager
async def lying_provider() -> AsyncIterator[LyingProvider]:
    """One on a free port, in the process of the test."""

    def made(url: str) -> tuple[LyingProvider, Any]:
        one = LyingProvider(url)
        routes = [
            Route("/.well-known/openid-configuration", one.describe),
            Route("/jwks", one.jwks),
            Route("/token", one.give, methods=["POST"]),
            Route("/userinfo", one.tell),
        ]
        return one, Starlette(routes=routes)

    async with served(made) as one:
        yield one


class Browser:
    """A browser of one person, as far as addresses and cookies go."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.client = httpx.AsyncClient(base_url=gateway.url, timeout=WAIT_SECONDS)

    async def begin(self, then: str = "/desk") -> SignIn:
        """Press the button."""
        answer = await self.client.get("/desk/oidc/start", params={"then": then})
        assert answer.status_code == 303, answer.text
        return SignIn(answer.headers["location"], dict(answer.cookies))

    async def come_back(self, sign_in: SignIn, **said: str) -> httpx.Response:
        """Follow the provider's redirect."""
        return await self.client.get(CALLBACK, params={"state": sign_in["state"]} | said)

    async def name(self) -> str | None:
        """Who is signed in, by the page of the account."""
        answer = await self.client.get("/desk/account")
        if answer.status_code != 200:
            return None
        return answer.text.partition("<dt>Name</dt><dd>")[2].partition("</dd>")[0]

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *ended: object) -> None:
        await self.client.aclose()
