"""What Prometheus would read of a gateway: a real scrape, parsed by its own library."""

import re
from dataclasses import dataclass

import httpx
from gateway_process import WAIT_SECONDS, GatewayProcess, eventually
from prometheus_client.parser import text_string_to_metric_families

METRICS = {"ATLAS_METRICS_PORT": "0"}


@dataclass(frozen=True)
class Scrape:
    """One answer of /metrics."""

    text: str

    @property
    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Each value, by its name and its labels."""
        families = text_string_to_metric_families(self.text)
        return {
            (one.name, frozenset(one.labels.items())): one.value
            for found in families
            for one in found.samples
        }

    @property
    def names(self) -> frozenset[str]:
        """The names by which queries ask."""
        return frozenset(name for name, _ in self.samples)

    def value(self, name: str, **labels: str) -> float:
        """One value; fails if there is none."""
        return self.samples[name, frozenset(labels.items())]

    def labels(self, name: str) -> dict[str, set[str]]:
        """The values of each label of a metric."""
        found: dict[str, set[str]] = {}
        for (of, labels), _ in self.samples.items():
            for label, value in labels if of == name else ():
                found.setdefault(label, set()).add(value)
        return found


def metrics_url(gateway: GatewayProcess) -> str:
    """Where start-up says that the metrics are."""
    found = re.search(r"metrics +(http://\S+)", gateway.newest_log())
    assert found, gateway.newest_log()
    return found[1]


async def scrape(gateway: GatewayProcess) -> Scrape:
    """Ask the port of metrics."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        response = await client.get(metrics_url(gateway))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain")
    return Scrape(response.text)


async def verified_scrape(gateway: GatewayProcess) -> Scrape:
    """What it says once its ledger was verified."""
    found: list[Scrape] = []

    async def is_there() -> bool:
        found.append(await scrape(gateway))
        return found[-1].value("atlas_ledger_verified_timestamp_seconds") > 0

    await eventually(is_there)
    return found[-1]
