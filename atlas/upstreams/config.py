"""Reads the `mcpServers` file of the usual hosts: which servers stand behind the gateway, and how."""

import re
from collections.abc import Mapping
from enum import Enum
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from atlas.assessors import Trust
from atlas.errors import UpstreamsInvalid
from atlas.models import plain_text
from atlas.proxies import proxy_of
from atlas.upstreams.documents import read_servers
from atlas.upstreams.habits import in_our_words, is_switched_off
from atlas.upstreams.placeholders import Placeholders

PREFIX = re.compile(r"[A-Za-z0-9_.-]{0,48}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LONGEST_NAME = 48
GRACE_SECONDS = 2.0  # for a process to end on its own when its input is closed, and again after SIGTERM
SPELLINGS = dict.fromkeys(("stdio", "local"), "stdio") | dict.fromkeys(
    ("http", "streamable-http", "streamable_http", "streamableHttp", "streamablehttp"), "http"
)
SPELLINGS |= {"sse": "sse"}


SCHEME = re.compile(r"[^:/?#]+:(?://)?")  # how an address begins that is not relative
RELATIVE = "atlas-relative:"  # how one begins here that is relative there


class Transport(str, Enum):
    """How an upstream is reached."""

    STDIO = "stdio"
    SSE = "sse"
    HTTP = "http"  # streamable HTTP


def _either(key: str) -> AliasChoices:
    return AliasChoices(key, key.upper())  # as Cursor writes it


class Exposed(BaseModel):
    """Which tools of an upstream agents see: those that a pattern includes and none excludes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    include: list[str] = ["*"]
    exclude: list[str] = []

    def allows(self, tool_name: str) -> bool:
        """Whether agents may see a tool, by the name that the upstream gives it."""
        included = any(fnmatchcase(tool_name, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(tool_name, pattern) for pattern in self.exclude)


class GatewayOptions(BaseModel):
    """What stands under the key `atlas` of a server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tools: Exposed = Exposed()
    prefix: str | None = Field(default=None, pattern=f"^{PREFIX.pattern}$")
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    trust: Trust | None = None  # whether its tools speak for third parties


class Auth(BaseModel):
    """How the gateway gets a token for a server: a person signs in, or it has credentials of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type: Literal["oauth", "client_credentials"] = "oauth"
    client_id: str | None = Field(default=None, min_length=1, validation_alias=_either("client_id"))
    client_secret: SecretStr | None = Field(default=None, validation_alias=_either("client_secret"))
    scopes: str | None = None
    token_url: str | None = Field(default=None, pattern="^https?://")
    issuer: str | None = Field(default=None, pattern="^https?://")

    @field_validator("scopes", mode="before")
    @classmethod
    def _in_one_text(cls, value: Any) -> Any:
        return " ".join(map(str, value)) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _has_credentials(self) -> "Auth":
        if self.type == "client_credentials" and not (self.client_id and self.client_secret):
            raise ValueError("client credentials are a client_id and a client_secret")
        return self


class Entry(BaseModel):
    """A server as the file has it; what other hosts put beside it is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    command: str | None = Field(default=None, min_length=1)
    args: list[str] = []
    env: dict[str, str] = Field(default={}, repr=False)
    cwd: Path | None = None
    url: str | None = Field(default=None, repr=False)
    headers: dict[str, str] = Field(default={}, repr=False)
    type: str | None = None
    transport: str | None = None
    auth: Auth | None = None
    atlas: GatewayOptions = GatewayOptions()

    @field_validator("auth", mode="before")
    @classmethod
    def _as_object(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value


class UpstreamConfig(BaseModel):
    """One server behind the gateway. Its env, headers and URL may hold secrets and are never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    way: Transport
    prefix: str
    tools: Exposed = Exposed()
    seconds: float | None = None
    trust: Trust | None = None
    command: str = ""
    args: tuple[str, ...] = Field(default=(), repr=False)
    env: Mapping[str, str] = Field(default={}, repr=False)
    cwd: Path | None = None
    url: str = Field(default="", repr=False)
    headers: Mapping[str, str] = Field(default={}, repr=False)
    auth: Auth | None = None
    proxy: str | None = Field(default=None, repr=False)

    @property
    def has_key(self) -> bool:
        """Whether the file has the key of the server, so that no one signs in."""
        return any(header.lower() == "authorization" for header in self.headers)

    def name_of(self, name_there: str) -> str:
        """How agents know what the upstream calls by a name."""
        return f"{self.prefix}_{name_there}" if self.prefix else name_there

    def uri_here(self, uri_there: str) -> str:
        """How agents know a resource of the upstream, or a template of them; they need a scheme."""
        if not self.prefix:
            return uri_there
        scheme = SCHEME.match(uri_there)
        head = scheme[0] if scheme else RELATIVE
        return f"{head}{self.prefix}/{uri_there[len(scheme[0]) if scheme else 0 :]}"

    def uri_there(self, uri: str) -> str:
        """How the upstream knows one of its resources, or a template of them."""
        scheme = SCHEME.match(uri)
        if not self.prefix or not scheme or not uri[scheme.end() :].startswith(f"{self.prefix}/"):
            return uri
        rest = uri[scheme.end() + len(self.prefix) + 1 :]
        return rest if scheme[0] == RELATIVE else scheme[0] + rest


def read_upstreams(path: Path | None, variables: Mapping[str, str]) -> tuple[UpstreamConfig, ...]:
    """The servers of a file, with every `${NAME}` filled; every mistake is an UpstreamsInvalid."""
    if path is None:
        return ()
    try:
        settled = partial(_config, placeholders=Placeholders(variables, path))
        configs = [settled(name, entry) for name, entry in read_servers(path).items()]
    except ValueError as error:
        raise UpstreamsInvalid(path=path, reason=str(error)) from None
    present = tuple(config for config in configs if config is not None)
    _refuse_twins(path, present)
    return present


def _config(name: str, raw: Any, placeholders: Placeholders) -> UpstreamConfig | None:
    if not name or len(name) > LONGEST_NAME or plain_text(name) != name:
        raise ValueError(
            f"a server has no name, or one that is over {LONGEST_NAME} characters or not plain text."
        )
    if isinstance(raw, dict):
        if is_switched_off(name, raw, placeholders):
            return None  # before its variables are looked for
        raw = in_our_words(name, raw, placeholders)
    try:
        entry = Entry.model_validate(raw)
    except ValidationError as error:
        raise ValueError(_sentence(name, error)) from None
    return _settled(name, entry, placeholders)


def _settled(name: str, entry: Entry, placeholders: Placeholders) -> UpstreamConfig:
    if (entry.command is None) == (entry.url is None):
        raise ValueError(f'the server {name} needs either a "command" or a "url".')
    way = _way(name, entry)
    if way is not Transport.STDIO and not (entry.url or "").startswith(("http://", "https://")):
        raise ValueError(f"the url of the server {name} begins with neither http:// nor https://.")
    if any("\0" in text for text in (entry.command or "", *entry.args, *entry.env, *entry.env.values())):
        raise ValueError(f"the server {name} has a null character in its command, args or env.")
    if not all(_can_be_sent(key, value) for key, value in entry.headers.items()):
        raise ValueError(
            f"the server {name} has a header whose name or value cannot be sent: "
            "it has a control character in it, or a blank at its beginning or end."
        )
    prefix = entry.atlas.prefix
    config = UpstreamConfig(
        name=name,
        way=way,
        prefix=re.sub(r"[^A-Za-z0-9_.-]", "_", name) if prefix is None else prefix,
        tools=entry.atlas.tools,
        seconds=entry.atlas.seconds,
        trust=entry.atlas.trust,
        command=entry.command or "",
        args=tuple(entry.args),
        env=entry.env,
        cwd=entry.cwd,
        url=entry.url or "",
        headers=entry.headers,
        auth=entry.auth,
        proxy=proxy_of(entry.url, placeholders.variables) if entry.url else None,
    )
    if config.auth is not None and (config.has_key or way is Transport.STDIO):
        other = "a header Authorization" if config.has_key else "a command"
        raise ValueError(f'the server {name} has "auth" and {other}: keep one of them.')
    return config


def _can_be_sent(header: str, value: str) -> bool:
    return bool(HEADER.fullmatch(header)) and value == value.strip() and not CONTROL.search(value)


def _way(name: str, entry: Entry) -> Transport:
    said = entry.type or entry.transport
    if said is not None and said not in SPELLINGS:
        raise ValueError(f'the "type" of the server {name} is none of stdio, sse, http and streamable-http.')
    if entry.command is not None:
        if said not in (None, "stdio"):
            raise ValueError(f"the server {name} has a command, and a type that wants a url.")
        return Transport.STDIO
    if said == "stdio":
        raise ValueError(f"the server {name} has a url, and a type that wants a command.")
    is_sse = (entry.url or "").partition("?")[0].rstrip("/").endswith("/sse")
    return Transport(SPELLINGS[said]) if said else Transport.SSE if is_sse else Transport.HTTP


def _sentence(name: str, error: ValidationError) -> str:
    """The first mistake of a server, without the value: it may be a secret."""
    mistake = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # A key of env or headers is shown, and nothing below it.
    place = ".".join(plain_text(str(part))[:60] for part in mistake["loc"]) or "it"
    return f"the server {name}: {place}: {mistake['msg']}."


def _refuse_twins(path: Path, configs: tuple[UpstreamConfig, ...]) -> None:
    by_prefix: dict[str, str] = {}
    for config in configs:
        first = by_prefix.setdefault(config.prefix, config.name)
        if config.prefix and first != config.name:
            reason = f"the servers {first} and {config.name} have the same prefix, {config.prefix}."
            raise UpstreamsInvalid(path=path, reason=reason)
