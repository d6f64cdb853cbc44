"""The page about metrics says what a gateway tells."""

import json
from pathlib import Path

from documentation import page, quoted
from gateway_process import GatewayProcess, call
from prometheus_client.parser import text_string_to_metric_families
from scrapes import METRICS, scrape


async def test_the_table_has_each_metric_with_its_kind_its_labels_and_its_help(tmp_path: Path) -> None:
    """In a gateway with a server behind it, after a call: then each label is there."""
    config = tmp_path / "servers.json"
    config.write_text(json.dumps({"mcpServers": {"far": {"url": "http://127.0.0.1:9/mcp"}}}))
    gateway = GatewayProcess(tmp_path, ATLAS_MCP_CONFIG=str(config), ATLAS_WELFARE="on", **METRICS)
    await gateway.start()
    try:
        async with gateway.agent() as agent:
            assert not (await call(agent, "check_status", beneficiary_id="BEN-123")).is_error
        text = (await scrape(gateway)).text
    finally:
        await gateway.kill()
    told = {}
    for one in text_string_to_metric_families(text):
        if one.name.startswith("atlas_"):
            name = f"{one.name}_total" if one.type == "counter" else one.name
            labels = {label for sample in one.samples for label in sample.labels} - {"le"}
            told[name] = (one.type, labels, one.documentation)
    rows = page("docs/reference/metrics.md").table("metric")
    assert {quoted(row[0])[0]: (row[1], set(quoted(row[2])), row[4]) for row in rows} == told
    assert {row[3] for row in rows} == {"process", "store"}
