"""The one reader of the environment: every setting, its default, and the combinations that are refused."""

import io
import os
import re
from datetime import timedelta
from enum import Enum
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from atlas.instants import parse_duration
from atlas.models import as_seen as as_seen  # compared by it elsewhere too
from atlas.models import plain_text
from atlas.settings_of_ways import WaysIn
from atlas.texts import TextUnreadable, encoding_of, read_text, text_of

SPACE_BEFORE_UNIT = re.compile(r"(?<=\d)\s+(?=[a-z])")
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
PLAIN = re.compile(r"[A-Za-z0-9._~:/+=@%,-]*")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
# As a browser writes it: a scheme, a host without capitals, and a port if it is not the one of the scheme.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
SIGNING_KEY = re.compile(r"((signkey-[A-Za-z0-9_]+-)?([0-9a-fA-F]{2})+)?")


def variables() -> dict[str, str]:
    """What `${NAME}` in the MCP configuration stands for: the environment, and before it the file `.env`."""
    return {name: value for name, value in read_env_file(Path(".env")).items() if value} | dict(os.environ)


def read_env_file(path: Path, *, interpolate: bool = True) -> dict[str, str | None]:
    """What a file like `.env` says; nothing without one. Raises OSError or TextUnreadable."""
    if not path.is_file() and not path.is_fifo():
        return {}
    return dict(dotenv_values(stream=io.StringIO(read_text(path)), interpolate=interpolate))


def read_duration(value: Any) -> Any:
    """Read `90`, which is seconds, `90s`, `1h30m` or `3d`; anything else is left for pydantic to refuse."""
    if not isinstance(value, str):
        return value
    text = SPACE_BEFORE_UNIT.sub("", value.strip())
    try:
        return parse_duration(f"{text}s" if text[-1:].isdecimal() else text)
    except ValueError:
        return value


def plain(value: Any) -> Any:
    """Refuse what cannot be in a key or a name: it was copied with something around it."""
    if isinstance(value, str) and not PLAIN.fullmatch(value.strip()):
        raise ValueError(
            "Only letters, digits and . _ ~ : / + = @ % , - can stand here: no blanks, no quotes."
        )
    return value


def signing_key(value: Any) -> Any:
    """Refuse what Inngest's SDK would fail on at the first request."""
    if isinstance(value, str) and not SIGNING_KEY.fullmatch(value.strip()):
        raise ValueError(
            "A signing key is an even number of hexadecimal digits, alone or behind signkey-prod-."
        )
    return value


def root_path(value: Any) -> Any:
    """Take the path of a proxy with or without a slash at its end; refuse what is none."""
    path = value.strip().rstrip("/") if isinstance(value, str) else value
    if isinstance(path, str) and (not ROOT_PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))):
        raise ValueError(
            "A root path begins with / and has letters, digits and . _ ~ - between its slashes, as /atlas."
        )
    return path


RootPath = Annotated[str, BeforeValidator(root_path)]
PlainSecret = Annotated[SecretStr | None, BeforeValidator(plain)]
SigningKey = Annotated[SecretStr | None, BeforeValidator(signing_key)]
Duration = Annotated[
    timedelta, BeforeValidator(read_duration), Field(gt=timedelta(0), le=timedelta(days=365))
]


class NumberPerAgent(NamedTuple):
    """A number for each agent; some have one of their own."""

    usual: int
    own: tuple[tuple[str, int], ...] = ()

    def of(self, agent: str) -> int:
        """The number for one agent."""
        return dict(self.own).get(agent, self.usual)


def number_per_agent(value: Any) -> Any:
    """Read `600`, or `600,importer:3000`."""
    if not isinstance(value, (str, int)):
        return value
    named = [entry.strip().rpartition(":") for entry in str(value).split(",") if entry.strip()]
    numbers = [(name.strip(), int(number)) for name, _, number in named if NUMBER.fullmatch(number.strip())]
    usual = [number for name, number in numbers if not name]
    own = tuple((name, number) for name, number in numbers if name)
    if len(usual) != 1 or len(numbers) != len(named) or len(dict(own)) != len(own):
        raise ValueError(
            "It is one number from 1 on, and after it name:number for some agents, as 600,importer:3000."
        )
    return NumberPerAgent(usual[0], own)


PerAgent = Annotated[NumberPerAgent, NoDecode, BeforeValidator(number_per_agent)]


class EngineKind(str, Enum):
    """Who runs the workflow."""

    EMBEDDED = "embedded"  # atlas/engine in this process
    INNGEST_DEV = "inngest-dev"  # an Inngest Dev Server: nothing is signed
    INNGEST = "inngest"  # Inngest Cloud or a self-hosted server, with keys


class AssessorKind(str, Enum):
    """What judges calls beside the policy."""

    AUTO = "auto"  # the first of those below that is configured
    MODAL = "modal"
    OPENAI = "openai"  # OpenAI, Ollama, or any server that speaks its chat completions
    POLICY = "policy"  # nothing: the policy alone


class Settings(WaysIn):
    """What an operator can set, by environment variable or in the file `.env`."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    atlas_host: str = Field(
        default="127.0.0.1",
        description="The address it listens on. Another address than loopback needs both keys.",
    )
    atlas_port: int = Field(default=8000, ge=0, le=65535, description="The port it listens on.")
    atlas_data_dir: Path = Field(
        default=Path("data"), description="The directory of cases, ledger and embedded engine."
    )
    atlas_allowed_hosts: str = Field(
        default="",
        description="Host names, with commas between, under which clients reach it behind a proxy.",
    )
    atlas_root_path: RootPath = Field(
        default="",
        description="The path under which a proxy serves it, for example `/atlas`, whether the proxy takes "
        "it away or not.",
    )
    atlas_allowed_origins: str = Field(
        default="",
        description="Origins, with commas between, whose pages may use MCP from a browser, for example "
        "`http://localhost:6274`. Without one, browsers show no page of another origin what `/mcp` answers.",
    )

    atlas_webhook_body: Annotated[ByteSize, Field(ge=2**14, le=2**20)] = Field(
        default=ByteSize(64 * 2**10),
        description="The largest body that `/webhook/approval` takes, in bytes or as `64KiB`.",
    )
    atlas_mcp_body: Annotated[ByteSize, Field(ge=2**14, le=2**22)] = Field(
        default=ByteSize(4 * 2**20),
        description="The largest message of an agent, in bytes or as `4MiB`. The MCP SDK takes no more than "
        "4 MiB.",
    )
    atlas_inngest_body: Annotated[ByteSize, Field(ge=2**19, le=2**26)] = Field(
        default=ByteSize(8 * 2**20),
        description="The largest body that `/api/inngest` takes, in bytes or as `8MiB`. An Inngest server "
        "sends up to 4 MiB of state, and the event beside it.",
    )
    atlas_head_timeout: Duration = Field(
        default=timedelta(seconds=10), description="How long the headers of a request may take to arrive."
    )
    atlas_body_timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long the body of a request may take to arrive."
    )
    atlas_connections_per_key: int = Field(
        default=512, ge=8, le=20_000, description="How many connections may be open with one key."
    )
    atlas_strangers_per_address: int = Field(
        default=128,
        ge=8,
        le=20_000,
        description="How many connections of one address may wait without a key. One more, and the oldest "
        "that waits is closed.",
    )
    atlas_strangers: int = Field(
        default=512, ge=8, le=20_000, description="How many connections may wait without a key in all."
    )
    atlas_sessions_per_agent: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many sessions of one agent stay in memory. One more, and the one that was idle for "
        "longest is put aside. It goes on when its client comes back.",
    )

    atlas_agent_key: SecretStr | None = Field(
        default=None,
        description="The bearer key of agents: one key, or `name:key` pairs with commas between. "
        "A key has at least 16 characters. Without keys: open mode.",
    )
    atlas_reviewer_key: SecretStr | None = Field(
        default=None,
        description="The bearer key of reviewers: one key, or `name:key` pairs with commas between. "
        "It is never equal to an agent's key.",
    )

    atlas_mcp_config: Path | None = Field(
        default=None,
        description="The file of the servers behind the gateway, in the `mcpServers` format. "
        "Without one, agents see the built-in tools alone.",
    )
    atlas_welfare: bool | None = Field(
        default=None,
        description="`on` or `off`: whether agents are offered the tools of the example office. "
        "Without it: `on`, and `off` as soon as `ATLAS_MCP_CONFIG` names a server.",
    )

    atlas_policy: Path = Field(
        default=Path(__file__).parent / "policy.toml",
        description="The policy file. Without one, the shipped `atlas/policy.toml`.",
    )
    atlas_risk_threshold: int = Field(
        default=70, ge=1, le=100, description="From this score (1 to 100) on, a person decides."
    )
    atlas_assess_seconds: float = Field(
        default=30,
        gt=0,
        allow_inf_nan=False,
        description="How many seconds a model may take. After that a person decides.",
    )
    atlas_grace_seconds: float = Field(
        default=2,
        ge=0,
        le=50,
        description="How many seconds an agent's call is held for its outcome. After that the agent gets a "
        "reference. Some clients give up after 5 seconds: by default this and the next setting together stay "
        "below 3.",
    )
    atlas_review_grace_seconds: float = Field(
        default=0.5,
        ge=0,
        le=25,
        description="How many seconds more (at most 25) a call is held when a person has to decide.",
    )
    atlas_review_timeout: Duration = Field(
        default=timedelta(hours=24),
        description="How long a person may take, as `90s`, `30m`, `24h` or `3d`. "
        "After that the call is refused.",
    )
    atlas_execute_seconds: float = Field(
        default=300,
        gt=0,
        allow_inf_nan=False,
        description="How many seconds a tool may take. After that its outcome counts as unknown.",
    )
    atlas_calls_per_minute: PerAgent = Field(
        default=NumberPerAgent(600),
        description="How many calls an agent may make in a minute. For one agent another number: "
        "`600,importer:3000`.",
    )
    atlas_calls_per_minute_in_all: int = Field(
        default=3000, ge=1, description="How many calls all agents together may make in a minute."
    )
    atlas_waiting_cases: PerAgent = Field(
        default=NumberPerAgent(200),
        description="How many calls of an agent may wait for a decision. For one agent another number, as "
        "above.",
    )
    atlas_waiting_cases_in_all: int = Field(
        default=1000, ge=1, description="How many calls of all agents together may wait for a decision."
    )
    atlas_arguments_kb: int = Field(
        default=1024, ge=1, description="How many KB the arguments of a call may have."
    )
    atlas_notify_url: HttpUrl | None = Field(
        default=None,
        description="A URL that gets a POST for every call that waits for a person, and for every unknown "
        "outcome.",
    )

    inngest_event_key: PlainSecret = Field(
        default=None, description="The key with which events are sent to Inngest."
    )
    inngest_signing_key: SigningKey = Field(
        default=None, description="The key with which Inngest and the gateway sign their requests."
    )
    inngest_signing_key_fallback: SigningKey = Field(
        default=None, description="The signing key before a rotation."
    )
    inngest_dev: str | None = Field(
        default=None,
        description="`1`, or the URL of an Inngest Dev Server. Nothing is signed: for development only.",
    )
    inngest_base_url: str | None = Field(
        default=None, description="A self-hosted Inngest server. With keys and without this: Inngest Cloud."
    )
    inngest_serve_origin: str | None = Field(
        default=None,
        description="The URL under which the Inngest server reaches this gateway. "
        "Without it, the URL that start-up prints.",
    )
    atlas_engine_retention: Duration = Field(
        default=timedelta(days=30),
        description="How long the embedded engine keeps what has ended, as `90s`, `30m`, `24h` or `3d`. "
        "Cases and ledger are kept for ever.",
    )

    atlas_assessor: AssessorKind = Field(
        default=AssessorKind.AUTO,
        description="The model that judges beside the policy: `auto`, `modal`, `openai`, or `policy` "
        "for none.",
    )
    modal_function_name: str = Field(
        default="nislam-mics/ATLAS-NIST-Measure",
        description="The Modal function: app/function, app/Class.method, or either behind environment/.",
    )
    modal_token_id: PlainSecret = Field(default=None, description="The token of the Modal workspace.")
    modal_token_secret: PlainSecret = Field(default=None, description="The secret of that token.")
    modal_environment: str | None = Field(
        default=None,
        description="The environment in the Modal workspace. Without one, the workspace's default.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="The key of OpenAI, or of a server that speaks its chat completions."
    )
    openai_base_url: str | None = Field(
        default=None, description="The URL of that server. Without one, `https://api.openai.com/v1`."
    )
    openai_model: str | None = Field(
        default=None, description="The model. Without one, `gpt-6-luna`, or `llama3.2` at Ollama."
    )
    ollama_host: str | None = Field(
        default=None, description="The URL of Ollama, for example `http://127.0.0.1:11434`."
    )

    @classmethod
    def read(cls, **fixed: Any) -> "Settings":
        """Read the environment, but for what is fixed; on a wrong value leave with a sentence for each."""
        try:
            return cls(_env_file_encoding=_env_file_encoding(Path(fixed.get("_env_file", ".env"))), **fixed)
        except ValidationError as error:
            raise SystemExit("\n".join(_sentence(item) for item in error.errors())) from None
        except OSError as error:
            raise SystemExit(f"The settings in {error.filename} cannot be read: {error.strerror}.") from None
        except TextUnreadable as error:
            raise SystemExit(f"The settings in .env cannot be read: {error}.") from None

    @classmethod
    def check_value(cls, name: str, value: str) -> None:
        """Raise ValueError, a sentence, where one setting alone cannot have a value."""
        field = cls.model_fields[name.lower()]
        try:
            TypeAdapter(Annotated[(field.annotation, field)]).validate_python(value)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ValueError(_words(error.errors()[0])) from None

    @cached_property
    def engine_kind(self) -> EngineKind:
        """Which engine the INNGEST_ variables ask for; none of them means the embedded one."""
        if self._is_dev:
            return EngineKind.INNGEST_DEV
        asked = (self.inngest_event_key, self.inngest_signing_key, self.inngest_base_url)
        return EngineKind.INNGEST if any(asked) else EngineKind.EMBEDDED

    @property
    def inngest_url(self) -> str | None:
        """Where the Inngest server is, if said: INNGEST_BASE_URL, or INNGEST_DEV when that is a URL."""
        if self.inngest_base_url:
            return self.inngest_base_url
        return self.inngest_dev if self._is_dev and "://" in (self.inngest_dev or "") else None

    @property
    def is_open(self) -> bool:
        """Whether no key is set, so that anyone on this machine is agent and reviewer."""
        return self.atlas_agent_key is None

    @cached_property
    def assessor_kind(self) -> AssessorKind:
        """Which assessor is used: what ATLAS_ASSESSOR says, or the first that is configured."""
        if self.atlas_assessor is not AssessorKind.AUTO:
            return self.atlas_assessor
        if self.modal_token_id is not None:
            return AssessorKind.MODAL
        return AssessorKind.OPENAI if self.has_openai else AssessorKind.POLICY

    @property
    def has_openai(self) -> bool:
        """Whether a server that speaks OpenAI's chat completions is configured."""
        return any((self.openai_api_key, self.openai_base_url, self.ollama_host))

    @cached_property
    def agent_keys(self) -> dict[str, str]:
        """Principal by bearer key: ATLAS_AGENT_KEY is one key, or `name:key` pairs with commas between."""
        return {key: name or "agent" for name, key in _named_keys(self.atlas_agent_key)}

    @cached_property
    def reviewer_keys(self) -> dict[str, str | None]:
        """Reviewer by bearer key, as ATLAS_AGENT_KEY; a single key may have no name."""
        return {key: name or None for name, key in _named_keys(self.atlas_reviewer_key)}

    @property
    def reviewers(self) -> frozenset[str]:
        """The names of reviewers, where their keys have names."""
        return frozenset(name for name in self.reviewer_keys.values() if name)

    @property
    def allowed_hosts(self) -> list[str]:
        """Host names, besides loopback and the bound address, under which clients reach the gateway."""
        named = [host.strip() for host in self.atlas_allowed_hosts.split(",") if host.strip()]
        # Where the Inngest server is told to find the gateway it must be let in.
        origin = urlsplit(self.inngest_serve_origin or "").hostname
        return [*named, origin] if origin else named

    @cached_property
    def allowed_origins(self) -> tuple[str, ...]:
        """Origins whose pages may use MCP from a browser."""
        return tuple(origin.strip() for origin in self.atlas_allowed_origins.split(",") if origin.strip())

    @property
    def _is_dev(self) -> bool:
        return (self.inngest_dev or "").strip().lower() not in NO

    @model_validator(mode="after")
    def _check_access(self) -> "Settings":
        if (self.atlas_agent_key is None) != (self.atlas_reviewer_key is None):
            raise ValueError(
                "ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY belong together: with one of them alone, "
                "a program without a key could act as the other"
            )
        if self.is_open and not is_loopback(self.atlas_host):
            raise ValueError(
                f"ATLAS_HOST is {self.atlas_host}, which other machines can reach; without ATLAS_AGENT_KEY "
                "and ATLAS_REVIEWER_KEY the gateway listens on 127.0.0.1 only"
            )
        if "*" in self.atlas_allowed_hosts:
            raise ValueError("ATLAS_ALLOWED_HOSTS names hosts: a wildcard would let every web page in")
        if self.is_open:
            return self
        if len(self.agent_keys) != max(1, len(_named_keys(self.atlas_agent_key))):
            raise ValueError("ATLAS_AGENT_KEY names no agent, or two agents with one key")
        if len(self.reviewer_keys) != max(1, len(_named_keys(self.atlas_reviewer_key))):
            raise ValueError("ATLAS_REVIEWER_KEY names no reviewer, or two reviewers with one key")
        if len(self.reviewer_keys) > 1 and None in self.reviewer_keys.values():
            raise ValueError("ATLAS_REVIEWER_KEY holds several keys: each needs its name, as name:key")
        if any(plain_text(name) != name for name in self.reviewers):
            raise ValueError("ATLAS_REVIEWER_KEY holds a name with control or invisible characters")
        if len({as_seen(name) for name in self.reviewers}) != len(self.reviewers):
            raise ValueError(
                "ATLAS_REVIEWER_KEY holds two names that look alike: the record could not show who decided"
            )
        if set(self.reviewer_keys) & set(self.agent_keys):
            raise ValueError(
                "ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY are equal: an agent could approve itself"
            )
        if any(len(key) < 16 for key in self._all_keys):
            raise ValueError("ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY need at least 16 characters each")
        return self

    @model_validator(mode="after")
    def _check_origins(self) -> "Settings":
        for origin in self.allowed_origins:
            if not ORIGIN.fullmatch(origin) or DEFAULT_PORT.fullmatch(origin):
                raise ValueError(
                    f"ATLAS_ALLOWED_ORIGINS holds {origin}: an origin is written as browsers send it, as "
                    "https://tools.example.com or http://localhost:6274, in small letters, without a path, "
                    "a wildcard, or the usual port of its scheme"
                )
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> "Settings":
        for name in ("atlas_calls_per_minute", "atlas_waiting_cases"):
            for agent, _ in getattr(self, name).own:
                if not self.is_open and agent not in self.agent_keys.values():
                    raise ValueError(f"{name.upper()} names {agent}, which is no agent of ATLAS_AGENT_KEY")
        return self

    @model_validator(mode="after")
    def _check_ways(self) -> "Settings":
        self.check_owners(frozenset(self.agent_keys.values()), is_open=self.is_open)
        return self

    @property
    def _all_keys(self) -> list[str]:
        return [*self.agent_keys, *self.reviewer_keys]

    @model_validator(mode="after")
    def _check_assessor(self) -> "Settings":
        if (self.modal_token_id is None) != (self.modal_token_secret is None):
            raise ValueError("MODAL_TOKEN_ID and MODAL_TOKEN_SECRET belong together")
        if self.assessor_kind is AssessorKind.MODAL and self.modal_token_id is None:
            raise ValueError("ATLAS_ASSESSOR is modal, without MODAL_TOKEN_ID and MODAL_TOKEN_SECRET")
        if self.assessor_kind is AssessorKind.OPENAI and not self.has_openai:
            raise ValueError(
                "ATLAS_ASSESSOR is openai, without OPENAI_API_KEY, OPENAI_BASE_URL or OLLAMA_HOST"
            )
        if self.openai_base_url and not self.openai_base_url.startswith(("http://", "https://")):
            raise ValueError("OPENAI_BASE_URL begins with http:// or https://")
        for url in (self.openai_base_url, self.ollama_host):
            if "@" in (url or ""):
                raise ValueError("OPENAI_BASE_URL or OLLAMA_HOST holds a user name or password")
        return self

    @model_validator(mode="after")
    def _check_inngest(self) -> "Settings":
        dev = (self.inngest_dev or "").strip().lower()
        if dev not in (*YES, *NO) and not dev.startswith(("http://", "https://")):
            raise ValueError("INNGEST_DEV is 1, 0, or the URL of a Dev Server")
        for url in (self.inngest_base_url, self.inngest_dev, self.inngest_serve_origin):
            if "@" in (url or ""):
                raise ValueError("An INNGEST_ URL holds a user name or password, which would be shown")
        if self.engine_kind is not EngineKind.INNGEST:
            return self
        if self.inngest_signing_key is None:
            raise ValueError(
                "Inngest is configured without INNGEST_SIGNING_KEY: every program could then run the "
                "workflow; set the signing key, or INNGEST_DEV=1 for a Dev Server on this machine"
            )
        if self.inngest_event_key is None:
            raise ValueError("Inngest is configured without INNGEST_EVENT_KEY: no event could be sent")
        return self


def _env_file_encoding(path: Path) -> str | None:
    """How the text of a `.env` was saved; raises TextUnreadable, else it would be a file without keys."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    text_of(content)
    return encoding_of(content)


def _named_keys(secret: SecretStr | None) -> list[tuple[str, str]]:
    """Name, empty where there is none, and key of each entry of `key` or `name:key,name:key`."""
    text = secret.get_secret_value() if secret else ""
    pairs = [entry.strip().rpartition(":") for entry in text.split(",") if entry.strip()]
    return [(name.strip(), key.strip()) for name, _, key in pairs]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost is taken as reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"]).upper()
    return f"{name}: {_words(item)}" if name else _words(item)


def _words(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    return message if message.endswith(".") else f"{message}."
