"""What is asked for at a scrape: the store's figures, kept for some seconds, and how the parts are now."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas import __version__
from atlas.assessors.guard import Guard
from atlas.database.database import Database
from atlas.database.lease import Lease
from atlas.outbox.courier import Courier as Notices
from atlas.telemetry.figures import Figures
from atlas.telemetry.ledger_check import Checks, read_checks
from atlas.upstreams import Upstreams
from atlas.workflow.edge import WorkflowEdge

LEAST_SECONDS = 5.0  # for which figures are kept
REST = 20  # times as long as it took to read them they are kept at least
FILES = ("atlas.db", "atlas.db-wal", "engine.db", "engine.db-wal")


@dataclass(frozen=True)
class Parts:
    """The parts of the gateway that are asked how they are."""

    database: Database
    workflow: WorkflowEdge
    notices: Notices
    model: Guard | None
    upstreams: Upstreams


@dataclass(frozen=True)
class Read:
    """What the store said last."""

    figures: Figures
    checks: Checks
    seconds: float  # that a small read took, the way to a thread included


class Scraped:
    """A collector of prometheus_client, whose `refresh` comes before each collection."""

    def __init__(self, parts: Parts, read_figures: Callable[[Connection], Figures]) -> None:
        self._parts = parts
        self._read_figures = read_figures
        self._families: tuple[Metric, ...] = ()
        self._read: Read | None = None
        self._read_again_at = 0.0
        self._reading = asyncio.Lock()  # two scrapes at a time read once

    async def refresh(self) -> None:
        """Ask the parts, and the store unless it was read a moment ago; what cannot be read is not told."""
        async with self._reading:
            if time.monotonic() >= self._read_again_at:
                await self._read_store()
        self._families = tuple(self._everything())

    async def _read_store(self) -> None:
        began = perf_counter()
        try:
            self._read = await self._of_store()
        except SQLAlchemyError:
            self._read = None  # /readyz and the part of the database say so
        kept = max(LEAST_SECONDS, REST * (perf_counter() - began))
        self._read_again_at = time.monotonic() + kept

    async def _of_store(self) -> Read:
        database, began = self._parts.database, perf_counter()
        await database.read(lambda connection: connection.exec_driver_sql("SELECT 1").first())
        seconds = perf_counter() - began
        figures = await database.look(self._read_figures)
        return Read(figures, await database.look(read_checks), seconds)

    def collect(self) -> Iterator[Metric]:
        """What `refresh` found; a thread may ask for it."""
        yield from self._families

    def _everything(self) -> Iterator[Metric]:
        yield _gauges("build_info", "The version of the gateway.", "version", {__version__: 1})
        yield from self._parts_now()
        yield from self._model_now()
        if self._read is not None:
            yield from _of_calls(self._read.figures)
            yield from _of_outbox(self._read.figures)
            yield from _of_ledger(self._read)
            yield _gauge("store_read_seconds", "How long a small read took.", self._read.seconds)
        yield from _of_disk(self._parts.database.directory)

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering it asks for nothing."""
        return iter(())

    def _parts_now(self) -> Iterator[Metric]:
        parts, courier = self._parts, self._parts.workflow.courier
        states = {
            "database": parts.database.problem is None and self._read is not None,
            "engine": parts.workflow.problem is None,
            "assessor": parts.model is None or not parts.model.is_resting,
        }
        yield _gauges("part_ok", "Whether a part answered when it was last asked.", "part", states)
        servers = {name: bool(one["ok"]) for name, one in parts.upstreams.report().items()}
        yield _gauges("server_ok", "Whether a server behind the gateway is reached.", "server", servers)
        yield from _of_leases(parts.database.lease)
        lags = {"engine": courier.lag, "notices": parts.notices.lag}
        means = "For how long a courier has not brought all that was due."
        yield _gauges("courier_lag_seconds", means, "to", lags)

    def _model_now(self) -> Iterator[Metric]:
        model = self._parts.model
        rests = CounterMetricFamily(
            "atlas_assessor_rests", "How often the model failed too often, and was not asked for a minute."
        )
        rests.add_metric((), model.rests if model else 0)
        yield rests
        is_resting = model is not None and model.is_resting
        yield _gauge("assessor_resting", "Whether the model is left alone now.", is_resting)


def _gauge(name: str, means: str, value: float) -> Metric:
    return GaugeMetricFamily(f"atlas_{name}", means, value=float(value))


def _gauges(name: str, means: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"atlas_{name}", means, labels=(label,))
    for name_of, value in values.items():
        family.add_metric((name_of,), float(value))
    return family


def _of_leases(lease: Lease) -> Iterator[Metric]:
    silent = len(lease.silent())
    gateways = {"alive": len(lease.living) - silent, "silent": silent}
    yield _gauges("gateways", "Gateways that share the store, as this one saw them last.", "state", gateways)
    means = "Whether the others have given this gateway up, so that it ends."
    yield _gauge("lease_lost", means, lease.is_lost)


def _of_calls(figures: Figures) -> Iterator[Metric]:
    yield _gauges("cases_unfinished", "Calls that have not ended.", "status", figures.unfinished)
    of = figures.waiting.items()
    means = "Calls that wait for a person of a group."
    yield _gauges("cases_waiting", means, "group", {group: one.count for group, one in of})
    means = "For how long the oldest of them waits."
    yield _gauges("oldest_waiting_seconds", means, "group", {group: one.seconds for group, one in of})
    means = "How much of its time the most urgent of them has used up; 1: all of it."
    yield _gauges("waiting_time_share", means, "group", {group: one.share for group, one in of})
    means = "How many receivers notices for a group reach."
    yield _gauges("receivers", means, "group", {group: one.receivers or 0 for group, one in of})
    yield _gauges("stops", "Stops in force.", "scope", figures.stops)


def _of_outbox(figures: Figures) -> Iterator[Metric]:
    means = "Notices for which no receivers were found yet."
    yield _gauge("outbox_unspread", means, figures.unspread.count)
    due = {channel: one.count for channel, one in figures.due.items()}
    yield _gauges("outbox_due", "Notices that are due.", "channel", due)
    lag = max((one.seconds for one in (*figures.due.values(), figures.unspread)), default=0.0)
    yield _gauge("outbox_lag_seconds", "For how long the oldest notice is due that was not delivered.", lag)


def _of_ledger(read: Read) -> Iterator[Metric]:
    newest, whole = read.checks.newest, read.checks.whole
    head = read.figures.ledger_head
    yield _gauge("ledger_entries", "The number of the newest entry of the ledger.", head)
    entries = whole.entries if whole else 0
    yield _gauge("ledger_verified_entries", "How many entries were found whole.", entries)
    at = whole.ended_at.timestamp() if whole else 0
    yield _gauge("ledger_verified_timestamp_seconds", "When the whole ledger was last found whole.", at)
    is_broken = newest is not None and newest.problem is not None
    yield _gauge("ledger_broken", "Whether the last verification found it broken.", is_broken)


def _of_disk(directory: Path) -> Iterator[Metric]:
    usage = shutil.disk_usage(directory)
    yield _gauge("disk_free_bytes", "What is free where the data directory is.", usage.free)
    yield _gauge("disk_size_bytes", "The size of the disk of the data directory.", usage.total)
    sizes = {}
    for name in FILES:
        with suppress(FileNotFoundError):
            sizes[name] = (directory / name).stat().st_size
    yield _gauges("file_bytes", "The size of a file of the data directory.", "file", sizes)
