"""The settings of what is watched: what is refused, and in which words."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from store import settings_of_test

KEYS = {"atlas_agent_key": "agent-key-of-the-tests", "atlas_reviewer_key": "reviewer-key-of-the-tests"}
REFUSED = [
    # settings, a part of what is said
    ({"atlas_metrics_key": "short"}, "at least 16 characters"),
    ({"atlas_metrics_key": "two words are no key"}, "no blanks"),
    ({"atlas_metrics_key": "agent-key-of-the-tests"} | KEYS, "who reads metrics could act as one"),
    ({"atlas_metrics_key": "reviewer-key-of-the-tests"} | KEYS, "who reads metrics could act as one"),
    ({"atlas_metrics_port": 9464, "atlas_port": 9464}, "are both 9464"),
    ({"atlas_metrics_port": 70000}, "65535"),
    ({"atlas_log": "xml"}, "text"),
    ({"atlas_agent_traces": "everywhere"}, "through"),
    ({"otel_exporter_otlp_endpoint": "collector:4318"}, "URL"),
    ({"otel_exporter_otlp_headers": "authorization: a-secret"}, "name=value"),
    ({"atlas_ledger_check": "0s"}, "greater than"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_be_right_is_refused_with_a_reason(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    """At the start, and without a secret in the reason."""
    with pytest.raises(ValidationError) as refusal:
        settings_of_test(tmp_path, **fields)
    text = "; ".join(error["msg"] for error in refusal.value.errors())
    assert said in text
    assert "a-secret" not in text and "agent-key" not in text


def test_nothing_is_watched_by_default(tmp_path: Path) -> None:
    """Then nothing of it is loaded: tests/operate/test_start.py."""
    settings = settings_of_test(tmp_path)
    assert not settings.is_measured and not settings.is_traced


@pytest.mark.parametrize(
    "fields",
    [
        {"otel_exporter_otlp_endpoint": "http://127.0.0.1:4318"},
        {"atlas_log": "json"},
        {"atlas_agent_traces": "through"},
    ],
)
def test_calls_are_followed_for_a_collector_the_log_or_servers(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Each of them needs to know the trace of a call."""
    assert settings_of_test(tmp_path, **fields).is_traced


@pytest.mark.parametrize(
    "fields", [{"atlas_metrics_port": 0}, {"atlas_metrics_key": "metrics-key-of-the-tests"}]
)
def test_a_port_or_a_key_begins_to_measure(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Port 0 is any free one."""
    assert settings_of_test(tmp_path, **fields).is_measured
