"""The settings of what operators watch: metrics, spans, the form of the log, and the check of the ledger."""

import re
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings

from atlas.settings.as_written import Duration, PlainSecret

SHORTEST_KEY = 16
HEADERS = re.compile(r"[A-Za-z0-9-]+=[^,\s]+(,[A-Za-z0-9-]+=[^,\s]+)*")


class LogForm(str, Enum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class AgentTraces(str, Enum):
    """How far the trace of an agent goes on."""

    LINK = "link"  # the gateway begins a trace of its own, which points to the agent's
    CONTINUE = "continue"  # the gateway's spans are in the agent's trace
    THROUGH = "through"  # and the servers behind the gateway are told of it


def headers(value: Any) -> Any:
    """Take `name=value` with commas between; refuse another form, without showing it."""
    if isinstance(value, str) and not HEADERS.fullmatch(value.strip()):
        raise ValueError("It is name=value with commas between, as authorization=Bearer%20secret.")
    return value


def metrics_key(value: Any) -> Any:
    """Refuse a key that is too short to be one."""
    if isinstance(value, str) and len(value.strip()) < SHORTEST_KEY:
        raise ValueError(f"The key needs at least {SHORTEST_KEY} characters.")
    return value


class Watched(BaseSettings):
    """What an operator can set of what is watched."""

    atlas_metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="A port of its own for `/metrics`, at which nothing else is served. "
        "See [watch](../how-to/watch.md).",
    )
    atlas_metrics_host: str = Field(
        default="127.0.0.1",
        description="The address at which `ATLAS_METRICS_PORT` listens.",
    )
    atlas_metrics_key: Annotated[PlainSecret, BeforeValidator(metrics_key)] = Field(
        default=None,
        description="The bearer key of `/metrics`, of at least 16 characters. With it `/metrics` is also "
        "served at `ATLAS_PORT`. Without it and without `ATLAS_METRICS_PORT` nothing is counted.",
    )
    atlas_ledger_check: Duration = Field(
        default=timedelta(hours=12),
        description="How often the gateway verifies its whole ledger in the background, where it serves "
        "`/metrics`.",
    )
    atlas_log: LogForm = Field(
        default=LogForm.TEXT,
        description="`text`, or `json`: a JSON object a line, and a line for each change of state of a call.",
    )
    otel_exporter_otlp_endpoint: HttpUrl | None = Field(
        default=None,
        description="The URL of an OpenTelemetry collector, for OTLP over HTTP, as "
        "`http://127.0.0.1:4318`. With it a span is sent for each call and each of its stages.",
    )
    otel_exporter_otlp_headers: Annotated[SecretStr | None, BeforeValidator(headers)] = Field(
        default=None,
        description="Headers for the collector, as `name=value` with commas between.",
    )
    atlas_agent_traces: AgentTraces = Field(
        default=AgentTraces.LINK,
        description="How far the trace of an agent goes on: `link` (the gateway begins its own trace, which "
        "points to the agent's), `continue` (the gateway's spans are in it), or `through` (servers behind "
        "the gateway are told of it too).",
    )
    atlas_trace_arguments: bool = Field(
        default=False,
        description="`on`: the span of an execution holds the arguments of the call, up to 4 KB. "
        "What looks like a secret is masked.",
    )

    @property
    def is_traced(self) -> bool:
        """Whether calls are followed: for a collector, for the log, or for servers behind the gateway."""
        is_asked = self.otel_exporter_otlp_endpoint is not None or self.atlas_log is LogForm.JSON
        return is_asked or self.atlas_agent_traces is not AgentTraces.LINK

    @property
    def is_measured(self) -> bool:
        """Whether there is a place where metrics can be read."""
        return self.atlas_metrics_port is not None or self.atlas_metrics_key is not None

    def check_watched(self, other_keys: frozenset[str], *, port: int) -> None:
        """Refuse a key that opens something else, and the gateway's own port; raises ValueError."""
        if port and self.atlas_metrics_port == port:
            raise ValueError(
                f"ATLAS_METRICS_PORT and ATLAS_PORT are both {port}: metrics need a port of their own; "
                "with ATLAS_METRICS_KEY they are served at ATLAS_PORT"
            )
        key = self.atlas_metrics_key.get_secret_value() if self.atlas_metrics_key else None
        if key in other_keys:
            raise ValueError(
                "ATLAS_METRICS_KEY is a key of agents or reviewers: who reads metrics could act as one"
            )
