"""Behind ./setup.sh: the lines of .env, the rule of one setting, the description of the container."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from atlas.configure.check import URLS, build_gateway, published, urls_here
from atlas.configure.container import DESCRIPTION, run_options
from atlas.configure.env_file import assignment, read_values, with_values, write_values
from atlas.configure.process import seconds_to_end
from atlas.settings import Settings

# The same setting for the gateway; docker's own reader took most of them for something else.
FORMS = [
    "INNGEST_EVENT_KEY=event-key",
    "export INNGEST_EVENT_KEY=event-key",
    "INNGEST_EVENT_KEY = event-key",
    "INNGEST_EVENT_KEY='event-key'",
    'INNGEST_EVENT_KEY="event-key"',
    "INNGEST_EVENT_KEY=event-key  # of the office",
]


@pytest.mark.parametrize("line", FORMS)
def test_a_form_of_a_line_that_the_gateway_reads_is_read_and_replaced(line: str, tmp_path: Path) -> None:
    """Around it nothing changes, an empty line above it and a line that cannot be read included."""
    path = tmp_path / ".env"
    path.write_text(f"# ours\n\n{line}\n\nnot a setting at all\nOUR_OWN='kept'  # as it is")
    assert read_values(path)["INNGEST_EVENT_KEY"] == "event-key"
    write_values(path, {"INNGEST_EVENT_KEY": "other", "OPENAI_MODEL": "m"}, template=path)
    assert path.read_text() == (
        "# ours\n\nINNGEST_EVENT_KEY=other\n\n"
        "not a setting at all\nOUR_OWN='kept'  # as it is\nOPENAI_MODEL=m\n"
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [".env"]


@pytest.mark.parametrize(
    "value", ["", "plain", "my servers/mcp.json", "a #b", " padded ", "it's", 'a"b', "a\\b"]
)
def test_a_value_is_written_so_that_the_gateway_reads_it_back(value: str, tmp_path: Path) -> None:
    """With quotes only where it needs them."""
    path = tmp_path / ".env"
    path.write_text(with_values("", {"NAME": value}))
    assert dotenv_values(path, interpolate=False) == {"NAME": value}
    assert ("'" in assignment("NAME", value)) is (
        value not in ("", "plain", "my servers/mcp.json", 'a"b', "a\\b")
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("INNGEST_SIGNING_KEY", "abc", "even number"),
        ("MODAL_TOKEN_ID", "two words", "no blanks"),
        ("ATLAS_RISK_THRESHOLD", "900", "less than or equal to 100"),
        ("ATLAS_REVIEW_TIMEOUT", "soon", "Write a duration such as"),
    ],
)
def test_the_rule_for_one_setting_is_the_gateways_own(name: str, value: str, sentence: str) -> None:
    """A question refuses in the words in which a start refuses."""
    with pytest.raises(ValueError, match=sentence):
        Settings.check_value(name, value)


def test_an_env_file_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a traceback, as any other mistake in the settings."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"ATLAS_PORT=\xff\n")
    with pytest.raises(SystemExit, match="line 1: this is no UTF-8 text"):
        Settings.read()


def test_the_check_names_the_directory_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the folder of a moment in which it tries."""
    refusing = (
        "import os\nraise SystemExit(f\"The data directory {os.environ['ATLAS_DATA_DIR']} is full.\")\n"
    )
    (tmp_path / "gateway.py").write_text(refusing)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gateway", raising=False)
    monkeypatch.setenv("ATLAS_DATA_DIR", "as it was")
    with pytest.raises(SystemExit, match="The data directory /data is full"):
        build_gateway(Path("/data"))


def test_every_property_of_the_description_is_given_to_docker_run() -> None:
    """compose.yaml is the one description; a key that docker run would not get is a KeyError."""
    options = list(run_options({"GATEWAY_USER": "1234:0", "ATLAS_PORT": "9000"}))
    service = yaml.safe_load(DESCRIPTION.read_text())["services"]["gateway"]
    assert {
        "read_only",
        "cap_drop",
        "init",
        "restart",
        "user",
        "logging",
        "stop_grace_period",
    } <= service.keys()
    for words in (
        "--user=1234:0",  # not 74040, which it is as a number of YAML 1.1
        "--read-only=true",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges:true",
        "--stop-timeout=330",  # what the settings ask for is in GATEWAY_GRACE
        "--publish=127.0.0.1:9000:9000",
        "--mount=type=volume,source=atlas-gateway-data,target=/data",
    ):
        assert words in options
    assert not any("/dev/null" in words for words in options)


def test_a_gateway_has_the_time_to_end_that_its_settings_give_it(tmp_path: Path) -> None:
    """And some more; where they can no longer be read, the usual."""
    path = tmp_path / ".env"
    assert seconds_to_end(path) == 20
    path.write_text("ATLAS_STOP_TIMEOUT=300s\nATLAS_DRAIN_TIME=10s\n")
    assert seconds_to_end(path) == 325
    path.write_text("ATLAS_STOP_TIMEOUT=soon\n")
    assert seconds_to_end(path) == 15


def test_a_container_that_shares_the_network_publishes_nothing() -> None:
    """It listens on the address itself."""
    options = list(run_options({"GATEWAY_NETWORK": "host", "GATEWAY_LISTENS": "127.0.0.1"}))
    assert "--network=host" in options and "--env=ATLAS_HOST=127.0.0.1" in options
    assert not any(words.startswith("--publish") for words in options)


def test_urls_of_this_machine_are_found_in_the_settings() -> None:
    """By each of its names, with the Dev Server that INNGEST_DEV=1 means."""
    settings = Settings(
        _env_file=None,
        ollama_host="http://localhost:11434",
        inngest_dev="1",
        atlas_notify_url="https://chat.example.com/hook",
        openai_base_url="http://[::1]:8080/v1",
        atlas_database_url="postgresql://atlas:p%40ss@127.0.0.1:5432/atlas?sslmode=require",
    )
    assert dict(urls_here(settings, ())) == {
        "ATLAS_DATABASE_URL": "postgresql://atlas:p%40ss@host.docker.internal:5432/atlas?sslmode=require",
        "OLLAMA_HOST": "http://host.docker.internal:11434",
        "OPENAI_BASE_URL": "http://host.docker.internal:8080/v1",
        "INNGEST_DEV": "http://host.docker.internal:8288",
    }


def test_each_setting_that_is_one_url_of_another_server_is_looked_at() -> None:
    """A container does not reach it at 127.0.0.1. The gateway's own address is no other server."""
    ends = ("_url", "ollama_host", "_endpoint", "inngest_dev")
    named = {name.upper() for name in Settings.model_fields if name.endswith(ends)}
    assert named - {"ATLAS_PUBLIC_URL"} == set(URLS)


def test_docker_publishes_at_an_address_only() -> None:
    """An IPv6 address needs brackets, and a name is refused with a sentence."""
    assert [published(host) for host in ("localhost", "127.0.0.1", "::1")] == [
        "127.0.0.1",
        "127.0.0.1",
        "[::1]",
    ]
    with pytest.raises(SystemExit, match="write an IP address"):
        published("gateway.example.com")
