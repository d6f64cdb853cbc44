"""The one reader of the environment: every setting, its default, and the combinations that are refused."""

import io
import os
import re
from datetime import timedelta
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from atlas.models import EVERY_AGENT, plain_text
from atlas.models import as_seen as as_seen  # compared by it elsewhere too
from atlas.settings.as_written import Duration, PostgresqlUrl, RootPath, require_readable
from atlas.settings.inngest import WorkflowServer
from atlas.settings.limits import Limits
from atlas.settings.models import Models
from atlas.settings.notices import WaysOut
from atlas.settings.systems import Elsewhere
from atlas.settings.telemetry import Watched
from atlas.settings.ways import WaysIn
from atlas.texts import TextUnreadable, encoding_of, read_text, text_of

# As a browser writes it: a scheme, a host without capitals, and a port if it is not the one of the scheme.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


def variables() -> dict[str, str]:
    """What `${NAME}` in the MCP configuration stands for: the environment, and before it the file `.env`."""
    return {name: value for name, value in read_env_file(Path(".env")).items() if value} | dict(os.environ)


def read_env_file(path: Path, *, interpolate: bool = True) -> dict[str, str | None]:
    """What a file like `.env` says; nothing without one. Raises OSError or TextUnreadable."""
    if not path.is_file() and not path.is_fifo():
        return {}
    return dict(dotenv_values(stream=io.StringIO(read_text(path)), interpolate=interpolate))


class Settings(WaysIn, WaysOut, Elsewhere, Limits, WorkflowServer, Models, Watched):
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
    atlas_database_url: PostgresqlUrl = Field(
        default=None,
        description="A PostgreSQL database for cases, ledger and people, which several gateways share: "
        "`postgresql://user:password@host/name`. Without one: a SQLite file in `ATLAS_DATA_DIR`.",
    )
    atlas_database_listen_url: PostgresqlUrl = Field(
        default=None,
        description="Another address of the same database, on which it tells what other gateways change. "
        "Needed where `ATLAS_DATABASE_URL` leads to PgBouncer with `pool_mode = transaction`: name "
        "PostgreSQL itself.",
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
        default=Path(__file__).parents[1] / "policy.toml",
        description="The policy file. Without one, the shipped `atlas/policy.toml`.",
    )
    atlas_risk_threshold: int = Field(
        default=70, ge=1, le=100, description="From this score (1 to 100) on, a person decides."
    )
    atlas_trust_user_request: bool = Field(
        default=False,
        description="`on`: the client, not the model, writes `io.atlas/user_request`, so that it may "
        "speak for a call. Else it is a claim of the agent, which can only make a call look worse.",
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

    @classmethod
    def read(cls, **fixed: Any) -> "Settings":
        """Read the environment, but for what is fixed; on a wrong value leave with a sentence for each."""
        try:
            require_readable(Path(fixed.get("_env_file") or ".env"), cls.model_fields)
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

    @property
    def is_open(self) -> bool:
        """Whether no key is set, so that anyone on this machine is agent and reviewer."""
        return self.atlas_agent_key is None

    @cached_property
    def agent_keys(self) -> dict[str, str]:
        """Principal by bearer key: ATLAS_AGENT_KEY is one key, or `name:key` pairs with commas between."""
        return {key: name or "agent" for name, key in _named_keys(self.atlas_agent_key)}

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of the agents that can call; without keys it is one name for all of them."""
        return (EVERY_AGENT,) if self.is_open else tuple(self.agent_keys.values())

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
        for setting, names in (("AGENT", self.agent_keys.values()), ("REVIEWER", self.reviewers)):
            if any(plain_text(name) != name for name in names):
                raise ValueError(f"ATLAS_{setting}_KEY holds a name with control or invisible characters")
        if not all(key.isascii() and key.isprintable() for key in (*self.agent_keys, *self.reviewer_keys)):
            raise ValueError(
                "ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY hold keys of letters, digits and signs of ASCII: "
                "clients send others in different ways"
            )
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
        self.check_ways(is_open=self.is_open)
        self.check_systems(self.reviewers, is_open=self.is_open)
        self.check_watched(frozenset(self._all_keys), port=self.atlas_port)
        return self

    @property
    def _all_keys(self) -> list[str]:
        return [*self.agent_keys, *self.reviewer_keys]


def _env_file_encoding(path: Path) -> str | None:
    """How the text of a `.env` was saved; raises TextUnreadable, else it would be a file without keys."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    text_of(content)
    return encoding_of(content)


def _named_keys(secret: SecretStr | None) -> list[tuple[str, str]]:
    return named_keys(secret.get_secret_value() if secret else "")


def named_keys(text: str) -> list[tuple[str, str]]:
    """Name, empty where there is none, and key of each entry of `key` or `name:key,name:key`."""
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
