"""Metrics: what a scrape says after calls of every kind, who gets it, and what stands in no label."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from gateway_process import (
    AGENT_KEY,
    REVIEWER_KEY,
    WAIT_SECONDS,
    GatewayProcess,
    call,
    eventually,
    outcome,
    reference_in,
)
from receivers import receiver
from scrapes import METRICS, Scrape, metrics_url, scrape, verified_scrape

from tests.support.postgres import postgres_server

KEY = "metrics-key-of-the-tests"
RISKY = "modify_welfare_record"


@asynccontextmanager
async def started(directory: Path, **environment: str) -> AsyncIterator[GatewayProcess]:
    """A gateway that is measured."""
    gateway = GatewayProcess(directory, **(METRICS | environment))
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.kill()


async def scraped(gateway: GatewayProcess, name: str, wanted: float, **labels: str) -> Scrape:
    """The first scrape in which a value is the one that is wanted: the store's are kept for some seconds."""
    found: list[Scrape] = []

    async def is_there() -> bool:
        found.append(await scrape(gateway))
        return found[-1].samples.get((name, frozenset(labels.items()))) == wanted

    await eventually(is_there)
    return found[-1]


def changes(number: int) -> dict[str, object]:
    """What a person has to decide on."""
    return {"beneficiary_id": "BEN-124", "changes": {"monthly_amount_eur": number}}


async def test_a_scrape_counts_each_call_by_stage_and_what_came_of_it(tmp_path: Path) -> None:
    """One call by its score, one approved, one rejected, one that waits; every number is exact."""
    async with started(tmp_path) as gateway, gateway.agent() as agent:
        assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
        refs = [reference_in(await call(agent, RISKY, **changes(number))) for number in (1, 2, 3)]
        await gateway.decide(refs[0])
        await outcome(agent, refs[0])
        await gateway.decide(refs[1], "REJECTED")
        await outcome(agent, refs[1])
        seen = await scraped(gateway, "atlas_cases_waiting", 1, group="everyone")
        seen = await scraped(gateway, "atlas_calls_total", 3, stage="report", outcome="collected")
    counts = {
        ("admit", "queued"): 4,
        ("assess", "scored"): 4,
        ("decide", "auto_approved"): 1,
        ("decide", "review_requested"): 3,
        ("decide", "approved"): 1,
        ("decide", "rejected"): 1,
        ("execute", "started"): 2,
        ("execute", "finished"): 2,
        ("execute", "tool_error"): 0,
        ("report", "failed"): 0,
    }
    found = {key: seen.value("atlas_calls_total", stage=key[0], outcome=key[1]) for key in counts}
    assert found == counts
    assert seen.value("atlas_decisions_total", by="person", verdict="approved") == 1
    assert seen.value("atlas_decisions_total", by="score", verdict="approved") == 1
    assert seen.value("atlas_review_seconds_count", verdict="approved") == 1
    assert seen.value("atlas_execution_seconds_count", server="gateway", outcome="finished") == 2
    assert seen.value("atlas_engine_start_seconds_count") == 4
    assert seen.value("atlas_store_write_seconds_count") >= 10
    assert seen.value("atlas_engine_accept_seconds_count") >= 1
    assert seen.value("atlas_ledger_entries") >= 15
    assert 0 < seen.value("atlas_oldest_waiting_seconds", group="everyone") < WAIT_SECONDS
    assert 0 < seen.value("atlas_waiting_time_share", group="everyone") < 0.01
    assert seen.value("atlas_cases_unfinished", status="PENDING_REVIEW") == 1
    assert seen.value("atlas_part_ok", part="database") == seen.value("atlas_part_ok", part="engine") == 1
    assert seen.value("atlas_disk_free_bytes") <= seen.value("atlas_disk_size_bytes")


async def test_no_label_says_who_what_or_which_call(tmp_path: Path) -> None:
    """Nor the name of a tool: a server can make up any number of them."""
    keys = {"ATLAS_AGENT_KEY": f"clerk-bot:{AGENT_KEY}"}
    async with started(tmp_path, **keys) as gateway, gateway.agent() as agent:
        refs = [reference_in(await call(agent, RISKY, **changes(number))) for number in (1, 2)]
        await gateway.decide(refs[0], reviewer="reviewer-anna")
        await outcome(agent, refs[0])
        seen = await scraped(gateway, "atlas_cases_waiting", 1, group="everyone")
    labels = {value for _, found in seen.samples for _, value in found}
    assert {"finished", "everyone"} <= labels
    for secret in ("clerk-bot", "BEN-124", "anna", RISKY, *refs, AGENT_KEY, REVIEWER_KEY):
        assert secret not in seen.text


GROUPS = """
[[rule]]
tool = "modify_welfare_record"
score = 90
reviewers = ["group:seniors", "anna"]
"""


async def test_what_waits_is_told_by_group_with_those_whom_notices_reach(tmp_path: Path) -> None:
    """People who are named in a rule are one label without their names; no one is told of anything here."""
    (tmp_path / "policy.toml").write_text(GROUPS)
    keys = {"ATLAS_REVIEWER_KEY": f"anna:{REVIEWER_KEY}", "ATLAS_POLICY": str(tmp_path / "policy.toml")}
    async with started(tmp_path, **keys) as gateway:
        async with gateway.agent() as agent:
            reference_in(await call(agent, RISKY, **changes(1)))
        seen = await scraped(gateway, "atlas_cases_waiting", 1, group="by_name")
    assert seen.value("atlas_cases_waiting", group="seniors") == 1
    assert seen.value("atlas_cases_waiting", group="everyone") == 0
    assert seen.value("atlas_receivers", group="seniors") == 0
    assert "anna" not in seen.text
    assert seen.labels("atlas_cases_waiting")["group"] == {"everyone", "seniors", "by_name"}


async def test_the_key_opens_the_metrics_at_the_gateways_own_port(tmp_path: Path) -> None:
    """And is needed at the other port too, once there is one; neither port shows more."""
    async with started(tmp_path, ATLAS_METRICS_KEY=KEY) as gateway:
        own, apart = gateway.url + "/metrics", metrics_url(gateway)
        async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
            for url in (own, apart):
                assert (await client.get(url)).status_code == 401
                for wrong in (AGENT_KEY, REVIEWER_KEY, KEY[:-1]):
                    headers = {"Authorization": f"Bearer {wrong}"}
                    assert (await client.get(url, headers=headers)).status_code == 401
                answer = await client.get(url, headers={"Authorization": f"Bearer {KEY}"})
                assert answer.status_code == 200 and "atlas_calls_total" in answer.text
            for path in ("/readyz", "/mcp", "/cases", "/"):
                other = apart.removesuffix("/metrics") + path
                answer = await client.get(other, headers={"Authorization": f"Bearer {REVIEWER_KEY}"})
                assert answer.status_code == 404
            foreign = {"Authorization": f"Bearer {KEY}", "Host": "10.1.2.3:9090"}
            assert (await client.get(apart, headers=foreign)).status_code == 200, (
                "a pod is asked by its address"
            )
            assert (await client.get(own, headers=foreign)).status_code == 421


async def test_without_a_port_or_a_key_there_are_no_metrics(gateway: GatewayProcess) -> None:
    """The path is like any other that is not served."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        assert (await client.get(gateway.url + "/metrics")).status_code == 404
    assert "metrics" not in gateway.newest_log()


async def test_notices_are_counted_by_channel_and_what_became_of_them(tmp_path: Path) -> None:
    """A receiver that refuses twice: two failures, and then it has the notice; meanwhile the outbox lags."""
    async with (
        receiver(lambda number: 500 if number <= 2 else 204) as taken,
        started(tmp_path, ATLAS_NOTIFY_URL=taken.url) as gateway,
        gateway.agent() as agent,
    ):
        reference_in(await call(agent, RISKY, **changes(1)))
        await taken.accepted(1)
        seen = await scraped(gateway, "atlas_notices_total", 1, channel="webhook", ending="delivered")
        assert seen.value("atlas_notices_total", channel="webhook", ending="failed") == 2
        seen = await scraped(gateway, "atlas_receivers", 1, group="everyone")
        assert seen.value("atlas_courier_lag_seconds", to="notices") < WAIT_SECONDS


async def test_failures_and_the_rest_of_a_model_are_counted(tmp_path: Path) -> None:
    """Five failures in a row and it is left alone; what comes then is refused without a question."""
    environment = {"OLLAMA_HOST": "http://127.0.0.1:9", "ATLAS_ASSESSOR": "openai"}
    async with started(tmp_path, **environment) as gateway, gateway.agent() as agent:
        for number in range(6):
            reference_in(await call(agent, RISKY, **changes(number)))
        seen = await scraped(gateway, "atlas_assessor_questions_total", 1, outcome="refused")
    assert seen.value("atlas_assessor_questions_total", outcome="failed") == 5
    assert seen.value("atlas_assessor_rests_total") == 1
    assert seen.value("atlas_assessor_resting") == 1
    assert seen.value("atlas_part_ok", part="assessor") == 0
    assert seen.value("atlas_calls_total", stage="assess", outcome="failed") == 6


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "text/plain", "*/*", ""])
async def test_each_format_that_prometheus_asks_for_is_served(tmp_path: Path, accept: str) -> None:
    """OpenMetrics ends with a mark, by which a half answer is known."""
    async with started(tmp_path) as gateway, httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.get(metrics_url(gateway), headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.text.endswith("# EOF\n") is accept.startswith("application/openmetrics")


async def test_two_gateways_on_one_store_say_the_same_of_it_and_count_their_own(tmp_path: Path) -> None:
    """Prometheus adds up what they did, and takes either for what waits."""
    with postgres_server() as server:
        for name in "ab":
            (tmp_path / name).mkdir()
        url = {"ATLAS_DATABASE_URL": server.new_database("two")}
        async with started(tmp_path / "a", **url) as first, started(tmp_path / "b", **url) as second:
            for number, gateway in enumerate((first, second)):
                async with gateway.agent() as agent:
                    reference_in(await call(agent, RISKY, **changes(number)))
            seen = [await scraped(one, "atlas_cases_waiting", 2, group="everyone") for one in (first, second)]
            assert [one.value("atlas_calls_total", stage="admit", outcome="queued") for one in seen] == [1, 1]
            for one in (first, second):
                await scraped(one, "atlas_gateways", 2, state="alive")
            await second.kill()
            dead = await scraped(first, "atlas_gateways", 1, state="alive")
            assert dead.value("atlas_lease_lost") == 0
            await second.start()
            whole = [await verified_scrape(one) for one in (first, second)]
    assert {one.value("atlas_ledger_broken") for one in whole} == {0}
    assert {one.value("atlas_part_ok", part="database") for one in seen} == {1}
