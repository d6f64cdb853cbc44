"""The rules and the dashboard: each expression is valid, and asks for what a gateway tells."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml
from documentation import ROOT, page
from gateway_process import GatewayProcess, call, reference_in
from scrapes import METRICS, Scrape, scrape

ALERTS = ROOT / "deploy" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
OF_PROMETHEUS = {"instance", "job"}  # labels that it adds
VARIABLES = {"$__rate_interval": "5m", "$job": ".*"}  # as Grafana fills them in


def rules() -> list[dict[str, Any]]:
    """All rules of the file."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """Each expression of rules and dashboard, with the name of its place."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            yield panel["title"], text


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """The selectors of an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("vector_selector", "expr", "lhs", "rhs", "args"):
        inner = getattr(expression, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from selectors(one)


def grouped(expression: Any) -> Iterator[str]:
    """The labels by which an expression groups."""
    if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier is not None:
        yield from expression.modifier.labels
    for name in ("expr", "lhs", "rhs", "args"):
        inner = getattr(expression, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from grouped(one)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a server that is not there, so that it is told of one."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "servers.json").write_text(
        json.dumps({"mcpServers": {"far": {"url": "http://127.0.0.1:9/mcp"}}})
    )
    return folder


@pytest.fixture
async def seen(directory: Path) -> Scrape:
    """A real scrape, after a call by its score and one that waits."""
    environment = {"ATLAS_MCP_CONFIG": str(directory / "servers.json"), "ATLAS_WELFARE": "on"}
    gateway = GatewayProcess(directory, **METRICS, **environment)
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
            changes = {"monthly_amount_eur": 1}
            reference_in(
                await call(agent, "modify_welfare_record", beneficiary_id="BEN-124", changes=changes)
            )
        return await scrape(gateway)
    finally:
        await gateway.kill()


async def test_each_metric_and_each_label_that_is_asked_for_is_told(seen: Scrape) -> None:
    """By a gateway that runs: a metric that was renamed would make an alert that never fires."""
    for place, text in queries():
        expression = promql_parser.parse(text)
        found = list(selectors(expression))
        assert found, place
        labels = {"le"} if "histogram_quantile" in text else set(OF_PROMETHEUS)
        for selector in found:
            assert selector.name in seen.names, f"{place} asks for {selector.name}"
            there = seen.labels(selector.name)
            labels |= there.keys() | OF_PROMETHEUS
            for matcher in selector.matchers.matchers:
                _check_matcher(place, matcher, there)
        assert set(grouped(expression)) <= labels, place


def _check_matcher(place: str, matcher: Any, there: dict[str, set[str]]) -> None:
    if matcher.name in OF_PROMETHEUS:
        return
    values = there.get(matcher.name, set())
    wanted = matcher.value.split("|") if "Re" in str(matcher.op) else [matcher.value]
    assert set(wanted) <= values, f"{place} asks for {matcher.name} {matcher.value}, there are {values}"


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    """And the page has the same alerts, in the same order."""
    assert [row[0].strip("`") for row in page("docs/how-to/watch.md").table("alert")] == [
        rule["alert"] for rule in rules()
    ]
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert all(rule["annotations"][name].endswith(".") for name in ("summary", "description"))


def test_the_dashboard_has_each_panel_in_its_place() -> None:
    """No two overlap, and each is as wide as it can be shown."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_configuration_of_the_page_reads_a_gateway() -> None:
    """It names the path that is the default of Prometheus, and the file of a key."""
    block = next(one for one in page("docs/how-to/watch.md").blocks if one.noted("checked") == "prometheus")
    job = yaml.safe_load(block.text)["scrape_configs"][0]
    assert "metrics_path" not in job and set(job["authorization"]) == {"credentials_file"}
    assert job["job_name"] == "atlas" and job["static_configs"][0]["targets"]


class Story(NamedTuple):
    """Series of an hour, a value a minute: with which an alert fires, and with which it does not."""

    loud: tuple[str, ...]
    quiet: tuple[str, ...]


STORIES = {
    "AtlasOldestWaitingOverHalf": Story(
        ('atlas_waiting_time_share{group="seniors"} 0.6x60',),
        ('atlas_waiting_time_share{group="seniors"} 0.5x60',),
    ),
    "AtlasOldestWaitingAlmostOver": Story(
        ('atlas_waiting_time_share{group="a"} 0.95x60',), ('atlas_waiting_time_share{group="a"} 0.6x60',)
    ),
    "AtlasNoOneReached": Story(
        ('atlas_cases_waiting{group="a"} 2x60', 'atlas_receivers{group="a"} 0x60'),
        (
            'atlas_cases_waiting{group="a"} 2x60',
            'atlas_receivers{group="a"} 1x60',
            'atlas_receivers{group="b"} 0x60',
        ),
    ),
    "AtlasOutcomeUnknown": Story(
        ('atlas_calls_total{stage="execute",outcome="outcome_unknown"} 0x30 1x30',),
        ('atlas_calls_total{stage="execute",outcome="outcome_unknown"} 1x60',),
    ),
    "AtlasRunsFail": Story(
        ('atlas_calls_total{stage="report",outcome="failed"} 0x30 1x30',),
        ('atlas_calls_total{stage="report",outcome="failed"} 1x60',),
    ),
    "AtlasNoticesLate": Story(("atlas_outbox_lag_seconds 400x60",), ("atlas_outbox_lag_seconds 200x60",)),
    "AtlasNoticesGivenUp": Story(
        ('atlas_notices_total{channel="webhook",ending="given_up"} 0x30 1x30',),
        ('atlas_notices_total{channel="webhook",ending="failed"} 0x30 1x30',),
    ),
    "AtlasSignInsRefused": Story(
        ('atlas_other_acts_total{of="people",act="sign_in_refused"} 0+1x60',),
        ('atlas_other_acts_total{of="people",act="sign_in_refused"} 0x57 1 2 3',),
    ),
    "AtlasGone": Story(("other 1x60",), ('atlas_build_info{version="1"} 1x60',)),
    "AtlasGatewayMissing": Story(
        ('atlas_gateways{state="alive"} 3x30 2x30',), ('atlas_gateways{state="alive"} 2x60',)
    ),
    "AtlasPartFails": Story(('atlas_part_ok{part="engine"} 0x60',), ('atlas_part_ok{part="assessor"} 0x60',)),
    "AtlasAssessorRests": Story(("atlas_assessor_resting 1x60",), ("atlas_assessor_resting 0x60",)),
    "AtlasCourierLags": Story(
        ('atlas_courier_lag_seconds{to="engine"} 0+60x60',), ('atlas_courier_lag_seconds{to="engine"} 1x60',)
    ),
    "AtlasServerMissing": Story(('atlas_server_ok{server="a"} 0x60',), ('atlas_server_ok{server="a"} 1x60',)),
    "AtlasStoreSlow": Story(
        (
            'atlas_store_write_seconds_bucket{le="0.5"} 0x60',
            'atlas_store_write_seconds_bucket{le="1.0"} 0+9x60',
            'atlas_store_write_seconds_bucket{le="+Inf"} 0+9x60',
        ),
        (
            'atlas_store_write_seconds_bucket{le="0.5"} 0+9x60',
            'atlas_store_write_seconds_bucket{le="1.0"} 0+9x60',
            'atlas_store_write_seconds_bucket{le="+Inf"} 0+9x60',
        ),
    ),
    "AtlasLedgerBroken": Story(
        ('atlas_ledger_broken{instance="a"} 0x60', 'atlas_ledger_broken{instance="b"} 1x60'),
        ('atlas_ledger_broken{instance="a"} 0x60',),
    ),
    # The tests begin in 1970: so long ago that a day is not over.
    "AtlasLedgerNotVerified": Story(
        ("atlas_ledger_verified_timestamp_seconds -90000x180",),
        ("atlas_ledger_verified_timestamp_seconds 0x180",),
    ),
    "AtlasDiskAlmostFull": Story(
        ("atlas_disk_free_bytes 5x60", "atlas_disk_size_bytes 100x60"),
        ("atlas_disk_free_bytes 50x60", "atlas_disk_size_bytes 100x60"),
    ),
    "AtlasDiskFullSoon": Story(
        ("atlas_disk_free_bytes 100000-100x180",), ("atlas_disk_free_bytes 100000x180",)
    ),
}
AT = {"AtlasLedgerNotVerified": "3h", "AtlasDiskFullSoon": "3h"}  # the others after 59 minutes


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool: it is in Debian's package `prometheus`")
def test_each_alert_fires_when_it_should_and_is_silent_when_it_should(tmp_path: Path) -> None:
    """As Prometheus itself evaluates the file, over an hour or three."""
    assert STORIES.keys() == {rule["alert"] for rule in rules()}
    tests = [_told(alert, fires) for alert in STORIES for fires in (True, False)]
    file = tmp_path / "stories.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _told(alert: str, fires: bool) -> dict[str, Any]:
    """A test of promtool: the series, and how many alerts of that name there are at the end."""
    story, at = STORIES[alert], AT.get(alert, "59m")
    series = [
        dict(zip(("series", "values"), _parted(line), strict=True)) for line in story[0 if fires else 1]
    ]
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
    wanted = [{"labels": "{}", "value": float(fires)}]
    asked = {"expr": query, "eval_time": at, "exp_samples": wanted}
    return {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}


def _parted(line: str) -> tuple[str, str]:
    series, values = re.fullmatch(r"(\w+(?:{[^}]*})?) (.+)", line).groups()  # type: ignore[union-attr]
    return series, values
