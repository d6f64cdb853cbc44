"""Puts the metrics together; imported only where they are served, for the library takes 0.1 s of a start."""

import asyncio
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from atlas.outbox.addresses import Addresses
from atlas.settings import Settings
from atlas.telemetry.channels import Channels
from atlas.telemetry.figures import read_figures
from atlas.telemetry.instruments import Instruments
from atlas.telemetry.scraped import Parts, Scraped


class Metrics:
    """Everything that a scrape tells."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of which no rule here makes use
        self._registry = CollectorRegistry(auto_describe=False)
        channels = Channels(settings)
        self.instruments = Instruments(self._registry, owner_of=parts.upstreams.owner_of, channels=channels)
        self._scraped = Scraped(
            parts, partial(read_figures, addresses=Addresses(settings), channels=channels)
        )
        self._registry.register(self._scraped)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        parts.database.listeners.append(self.instruments)
        parts.workflow.begun.append(self.instruments.begun)
        parts.workflow.courier.listeners.append(self.instruments.accepted)
        if parts.model is not None:
            parts.model.listeners.append(self.instruments.asked)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """What a scrape gets, in the format that it asks for, and the name of the format."""
        await self._scraped.refresh()
        encode, kind = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), kind
