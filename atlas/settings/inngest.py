"""The settings of the workflow's server: the embedded engine, an Inngest Dev Server, or Inngest with keys."""

from datetime import timedelta
from enum import Enum
from functools import cached_property

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from atlas.settings.as_written import DevServer, Duration, HttpUrlText, PlainSecret, SigningKey

YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class EngineKind(str, Enum):
    """Who runs the workflow."""

    EMBEDDED = "embedded"  # atlas/engine in this process
    INNGEST_DEV = "inngest-dev"  # an Inngest Dev Server: nothing is signed
    INNGEST = "inngest"  # Inngest Cloud or a self-hosted server, with keys


class WorkflowServer(BaseSettings):
    """What an operator can set of who runs the workflow."""

    inngest_event_key: PlainSecret = Field(
        default=None, description="The key with which events are sent to Inngest."
    )
    inngest_signing_key: SigningKey = Field(
        default=None, description="The key with which Inngest and the gateway sign their requests."
    )
    inngest_signing_key_fallback: SigningKey = Field(
        default=None, description="The signing key before a rotation."
    )
    inngest_dev: DevServer = Field(
        default=None,
        description="`1`, or the URL of an Inngest Dev Server. Nothing is signed: for development only.",
    )
    inngest_base_url: HttpUrlText = Field(
        default=None, description="A self-hosted Inngest server. With keys and without this: Inngest Cloud."
    )
    inngest_serve_origin: HttpUrlText = Field(
        default=None,
        description="The URL under which the Inngest server reaches this gateway. "
        "Without it, the URL that start-up prints.",
    )
    atlas_engine_retention: Duration = Field(
        default=timedelta(days=30),
        description="How long the embedded engine keeps what has ended, as `90s`, `30m`, `24h` or `3d`. "
        "Cases and ledger are kept for ever.",
    )

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
    def _is_dev(self) -> bool:
        return (self.inngest_dev or "").strip().lower() not in NO

    @model_validator(mode="after")
    def _check_inngest(self) -> "WorkflowServer":
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
