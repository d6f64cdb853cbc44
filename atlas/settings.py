"""The one reader of the environment: every setting, its default, and the combinations that are refused."""

import re
from datetime import timedelta
from enum import Enum
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
SECONDS_OF_UNIT = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: Any) -> Any:
    """Read `90`, `90s`, `30m`, `24h` or `3d` as a timedelta; anything else is left for pydantic to refuse."""
    match = DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or len(match[1]) > 9:
        return value
    return timedelta(seconds=float(match[1]) * SECONDS_OF_UNIT[match[2]])


Duration = Annotated[
    timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0), le=timedelta(days=365))
]


class EngineKind(str, Enum):
    """Who runs the workflow."""

    EMBEDDED = "embedded"  # atlas/engine in this process
    INNGEST_DEV = "inngest-dev"  # an Inngest Dev Server: nothing is signed
    INNGEST = "inngest"  # Inngest Cloud or a self-hosted server, with keys


class Settings(BaseSettings):
    """What an operator can set, by environment variable or in the file `.env`."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    atlas_host: str = "127.0.0.1"
    atlas_port: int = Field(default=8000, ge=0, le=65535)
    atlas_data_dir: Path = Path("data")
    atlas_allowed_hosts: str = ""

    atlas_agent_key: SecretStr | None = None
    atlas_reviewer_key: SecretStr | None = None

    atlas_policy: Path = Path(__file__).parent / "policy.toml"
    atlas_risk_threshold: int = Field(default=70, ge=1, le=100)
    atlas_assess_seconds: float = Field(default=30, gt=0)
    atlas_grace_seconds: float = Field(default=5, ge=0, le=50)
    atlas_review_timeout: Duration = timedelta(hours=24)
    atlas_execute_seconds: float = Field(default=300, gt=0)
    atlas_notify_url: HttpUrl | None = None

    inngest_event_key: SecretStr | None = None
    inngest_signing_key: SecretStr | None = None
    inngest_signing_key_fallback: SecretStr | None = None
    inngest_dev: str | None = None
    inngest_base_url: str | None = None
    inngest_serve_origin: str | None = None

    modal_function_name: str = "nislam-mics/ATLAS-NIST-Measure"
    modal_token_id: SecretStr | None = None
    modal_token_secret: SecretStr | None = None
    openai_api_key: SecretStr | None = None
    ollama_host: str | None = None

    @classmethod
    def read(cls) -> "Settings":
        """Read the environment; on a wrong value leave the process with a sentence for each."""
        try:
            return cls()
        except ValidationError as error:
            raise SystemExit("\n".join(_sentence(item) for item in error.errors())) from None

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
        """Whether no key is set, so that anybody on this machine is agent and reviewer."""
        return self.atlas_agent_key is None

    @property
    def has_model(self) -> bool:
        """Whether a model that could judge is configured."""
        return any((self.modal_token_id, self.openai_api_key, self.ollama_host))

    @cached_property
    def agent_keys(self) -> dict[str, str]:
        """Principal by bearer key: ATLAS_AGENT_KEY is one key, or `name:key` pairs with commas between."""
        text = self.atlas_agent_key.get_secret_value() if self.atlas_agent_key else ""
        pairs = [entry.strip().rpartition(":") for entry in text.split(",") if entry.strip()]
        return {key.strip(): name.strip() or "agent" for name, _, key in pairs}

    @cached_property
    def _agent_entries(self) -> int:
        text = self.atlas_agent_key.get_secret_value() if self.atlas_agent_key else ""
        return sum(1 for entry in text.split(",") if entry.strip())

    @property
    def allowed_hosts(self) -> list[str]:
        """Host names, besides loopback and the bound address, under which clients reach the gateway."""
        named = [host.strip() for host in self.atlas_allowed_hosts.split(",") if host.strip()]
        # Where the Inngest server is told to find the gateway it must be let in.
        origin = urlsplit(self.inngest_serve_origin or "").hostname
        return [*named, origin] if origin else named

    @property
    def reviewer_key(self) -> str | None:
        """The reviewer's bearer key."""
        return self.atlas_reviewer_key.get_secret_value().strip() if self.atlas_reviewer_key else None

    @property
    def _is_dev(self) -> bool:
        return (self.inngest_dev or "").strip().lower() not in NO

    @model_validator(mode="after")
    def _check_access(self) -> "Settings":
        if (self.atlas_agent_key is None) != (self.atlas_reviewer_key is None):
            raise ValueError(
                "ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY belong together: with one of them alone, "
                "whoever has no key could act as the other"
            )
        if self.is_open and not is_loopback(self.atlas_host):
            raise ValueError(
                f"ATLAS_HOST is {self.atlas_host}, which other machines can reach; without ATLAS_AGENT_KEY "
                "and ATLAS_REVIEWER_KEY the gateway listens on 127.0.0.1 only"
            )
        if not self.is_open and len(self.agent_keys) != max(1, self._agent_entries):
            raise ValueError("ATLAS_AGENT_KEY names no agent, or two agents with one key")
        if self.reviewer_key and set(self.reviewer_key) & set(":, "):
            raise ValueError("ATLAS_REVIEWER_KEY is one key: no colon, comma or blank can be in it")
        if self.reviewer_key in self.agent_keys:
            raise ValueError(
                "ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY are equal: an agent could approve itself"
            )
        if "*" in self.atlas_allowed_hosts:
            raise ValueError("ATLAS_ALLOWED_HOSTS names hosts: a wildcard would let every web page in")
        if any(len(key) < 16 for key in self._all_keys):
            raise ValueError("ATLAS_AGENT_KEY and ATLAS_REVIEWER_KEY need at least 16 characters each")
        return self

    @property
    def _all_keys(self) -> list[str]:
        return [*self.agent_keys, *([self.reviewer_key] if self.reviewer_key is not None else [])]

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
                "Inngest is configured without INNGEST_SIGNING_KEY: anybody could then run the workflow; "
                "set the signing key, or INNGEST_DEV=1 for a Dev Server on this machine"
            )
        if self.inngest_event_key is None:
            raise ValueError("Inngest is configured without INNGEST_EVENT_KEY: no event could be sent")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost is taken as reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"]).upper()
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}." if name else f"{message}."
