"""The settings of how much is taken: sizes and times of requests, connections, sessions, calls and cases."""

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field
from pydantic_settings import BaseSettings

from atlas.settings.as_written import Duration, NumberPerAgent, PerAgent, read_duration

LONGEST_STOP = timedelta(days=1)
StopTime = Annotated[timedelta, BeforeValidator(read_duration), Field(ge=timedelta(0), le=LONGEST_STOP)]


class Limits(BaseSettings):
    """What an operator can set of how much the gateway takes from agents and from strangers."""

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
        description="How many connections of one address may wait without a key. If there are more, "
        "the oldest that waits is closed.",
    )
    atlas_strangers: int = Field(
        default=512, ge=8, le=20_000, description="How many connections may wait without a key in all."
    )
    atlas_drain_time: StopTime = Field(
        default=timedelta(0),
        description="How long it goes on serving after SIGTERM while `/readyz` says 503, so that a balancer "
        "sends what is new to another gateway. One gateway alone needs none.",
    )
    atlas_stop_timeout: StopTime = Field(
        default=timedelta(seconds=5),
        description="How long tools that run may take to end when it stops. After that their outcome counts "
        "as unknown. `./setup.sh` and `deploy/up.sh` have Docker wait as long; for systemd raise "
        "`TimeoutStopSec` too.",
    )
    atlas_session_idle: Duration = Field(
        default=timedelta(minutes=30),
        description="After how long a silence an agent's next call, where the agent names no session, begins "
        "another one.",
    )
    atlas_sessions_per_agent: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many sessions of one agent stay in memory. If there are more, the one that was "
        "idle for longest is put aside. It goes on when its client comes back.",
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
