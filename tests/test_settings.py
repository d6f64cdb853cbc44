"""Settings: what is refused, and how values are read."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from atlas.settings import Settings, is_loopback
from atlas.settings.inngest import EngineKind
from atlas.settings.models import AssessorKind

AGENT, REVIEWER = "a" * 32, "r" * 32
KEYS: dict[str, Any] = {"atlas_agent_key": AGENT, "atlas_reviewer_key": REVIEWER}
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SYSTEM: dict[str, Any] = {"atlas_webhook_secrets": f"chat={WHSEC}"}
SLACK_APP: dict[str, Any] = {"atlas_slack_bot_token": "xoxb-token", "atlas_slack_channel": "C024BE91L"}
OIDC = {
    "atlas_oidc_issuer": "https://id.example.com",
    "atlas_oidc_client_id": "atlas",
    "atlas_oidc_groups": "desk",
}
PROXY = {"atlas_trusted_proxies": "10.0.0.7", "atlas_proxy_groups": "desk"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment counts."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def read(**fields: Any) -> Settings:
    """Settings without a .env file."""
    return Settings(_env_file=None, **fields)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["ATLAS_PORT=1", f"ATLAS_AGENT_KEY: bot:{AGENT}"], "line 2 is no line such as NAME=value"),
        (["ATLAS_RISK_THRESHOLD: 10"], "line 1 is no line such as NAME=value"),
        (['ATLAS_RISK_THRESHOLD="10', "ATLAS_PORT=1"], "line 1 is no line such as NAME=value"),
        ([f"ATLAS_AGENTS_KEY={AGENT}"], "no setting. Is ATLAS_AGENT_KEY meant?"),
        (["", "ATLAS_RISK_TRESHOLD=10"], "ATLAS_RISK_TRESHOLD in line 2 of"),
        (["export atlas_risk_threshhold=10"], "Is ATLAS_RISK_THRESHOLD meant?"),
    ],
)
def test_a_line_of_the_file_that_would_not_count_ends_the_process(
    tmp_path: Path, lines: list[str], sentence: str
) -> None:
    """Without its keys the gateway would be open."""
    path = tmp_path / ".env"
    path.write_text("\n".join(lines))
    with pytest.raises(SystemExit) as refused:
        Settings.read(_env_file=path)
    assert sentence in str(refused.value) and AGENT not in str(refused.value)


def test_lines_for_other_programs_and_names_of_ones_own_are_left_alone(tmp_path: Path) -> None:
    """Servers behind the gateway take variables of `.env` too."""
    path = tmp_path / ".env"
    lines = (
        "# a comment",
        "",
        "export ATLAS_PORT=9000",
        "ATLAS_MAIL_TOKEN=x",
        "PGHOST=db",
        "atlas_risk_threshold=60",
    )
    path.write_text("\n".join(lines))
    settings = Settings.read(_env_file=path)
    assert (settings.atlas_port, settings.atlas_risk_threshold) == (9000, 60)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"atlas_agent_key": "ä" * 20, "atlas_reviewer_key": REVIEWER}, "signs of ASCII"),
        (
            {"atlas_agent_key": f"b\x01t:{AGENT}", "atlas_reviewer_key": REVIEWER},
            "ATLAS_AGENT_KEY holds a name",
        ),
        ({"inngest_serve_origin": "http://["}, "Write a URL"),
        ({"inngest_serve_origin": "nonsense"}, "Write a URL"),
        ({"inngest_dev": "http://"}, "Write a URL"),
        ({"inngest_base_url": "nonsense"}, "Write a URL"),
        ({"atlas_database_listen_url": "mysql://x"}, "Write a PostgreSQL URL"),
        ({"atlas_notify_urls": "http://["}, "URLs of Apprise"),
        ({"atlas_agent_key": AGENT, "atlas_reviewer_key": AGENT}, "an agent could approve itself"),
        ({"atlas_agent_key": f"x:{REVIEWER},y:{AGENT}", "atlas_reviewer_key": AGENT}, "could approve itself"),
        ({"atlas_agent_key": f"bot:{AGENT}", "atlas_reviewer_key": f"bot:{AGENT}"}, "could approve itself"),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": f"a:{REVIEWER},b:{REVIEWER}"},
            "two reviewers with one key",
        ),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": f"a:{REVIEWER},{REVIEWER}2"},
            "each needs its name",
        ),
        ({"atlas_agent_key": AGENT, "atlas_reviewer_key": f"{REVIEWER},{REVIEWER}2"}, "each needs its name"),
        ({"atlas_agent_key": AGENT, "atlas_reviewer_key": ","}, "names no reviewer"),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": f"Anna:{REVIEWER},anna:{REVIEWER}2"},
            "two names that look alike",
        ),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": f"anna\u200b:{REVIEWER},b:{REVIEWER}2"},
            "control or invisible characters",
        ),
        ({"atlas_webhook_secrets": f"chat={WHSEC}"}, "in open mode every program decides"),
        (KEYS | {"atlas_webhook_secrets": "chat=whsec_short"}, "24 to 64 random bytes"),
        (KEYS | {"atlas_webhook_secrets": WHSEC}, "name=whsec_"),
        (KEYS | {"atlas_webhook_secrets": f"a={WHSEC},b={WHSEC}"}, "have one secret"),
        (KEYS | {"atlas_webhook_people": "chat:u1=anna"}, "chat, which has no secret"),
        (KEYS | SYSTEM | {"atlas_webhook_people": "chat:u1=anna,chat:u1=ben"}, "stands for two people"),
        (KEYS | SYSTEM | {"atlas_webhook_people": "chat:u1=anna,chat:u2=Anna"}, "looks like another one"),
        (KEYS | SYSTEM | {"atlas_webhook_people": "chat=anna"}, "system:id=name"),
        (KEYS | SYSTEM | {"atlas_webhook_people": "chat:u1=an\u200bna"}, "system:id=name"),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": f"anna:{REVIEWER}"}
            | SYSTEM
            | {"atlas_webhook_people": "chat:u1=Anna"},
            "looks like another one",
        ),
        (KEYS | {"atlas_slack_bot_token": "xoxb-token"}, "belong together"),
        (KEYS | {"atlas_slack_signing_secret": "s" * 32}, "needs ATLAS_SLACK_BOT_TOKEN"),
        (KEYS | {"atlas_slack_signing_secret": "short"}, "signing secret of the Slack app"),
        (KEYS | SLACK_APP | {"atlas_slack_url": "http://slack.example/api/"}, "the bot token goes there"),
        ({"atlas_notify_channels": "webhook=json://127.0.0.1?to={address}"}, "channel of the gateway itself"),
        ({"atlas_push_services": "*"}, "hosts with commas"),
        ({"atlas_push_services": "*.com*"}, "hosts with commas"),
        ({"atlas_assess_seconds": float("inf")}, "finite number"),
        ({"atlas_calls_per_minute": "0"}, "one number from 1 on"),
        ({"atlas_calls_per_minute": "importer:5"}, "one number from 1 on"),
        ({"atlas_waiting_cases": "5,importer:many"}, "one number from 1 on"),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": REVIEWER, "atlas_waiting_cases": "5,stranger:9"},
            "which is no agent",
        ),
        ({"atlas_agent_owners": "agent:anna"}, "without ATLAS_AGENT_KEY"),
        ({"atlas_agent_owners": "anna"}, "as billing-bot:anna"),
        ({"atlas_agent_owners": "agent:"}, "as billing-bot:anna"),
        ({"atlas_agent_owners": "agent:an\u200bna"}, "as billing-bot:anna"),
        (
            {"atlas_agent_key": AGENT, "atlas_reviewer_key": REVIEWER, "atlas_agent_owners": "bot:anna"},
            "names bot, which is no agent",
        ),
        ({"atlas_oidc_issuer": "https://id.example.com", "atlas_oidc_client_id": "x"}, "in open mode"),
        (KEYS | {"atlas_oidc_issuer": "https://id.example.com"}, "needs ATLAS_OIDC_CLIENT_ID"),
        (KEYS | OIDC | {"atlas_oidc_groups": ","}, "everyone whom the provider knows"),
        (KEYS | OIDC | {"atlas_oidc_scopes": "profile"}, "lacks openid"),
        (KEYS | OIDC | {"atlas_oidc_issuer": "http://id.example.com"}, "the https:// URL"),
        (KEYS | OIDC | {"atlas_oidc_issuer": "https://user:word@id.example.com"}, "the https:// URL"),
        (KEYS | OIDC | {"atlas_oidc_issuer": "id.example.com"}, "the https:// URL"),
        (KEYS | {"atlas_oidc_groups": "desk"}, "needs ATLAS_OIDC_ISSUER"),
        ({"atlas_trusted_proxies": "10.0.0.7", "atlas_proxy_groups": "desk"}, "in open mode"),
        (KEYS | {"atlas_trusted_proxies": "10.0.0.7"}, "everyone whom the proxy lets through"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "0.0.0.0/0"}, "A network of all addresses"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "10.0.0.7, ::/0"}, "A network of all addresses"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "proxy.example.com"}, "addresses or networks"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "10.0.0.7/8"}, "addresses or networks"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "127.0.0.1"}, "set ATLAS_PROXY_SECRET"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "10.0.0.7,::1"}, "set ATLAS_PROXY_SECRET"),
        (KEYS | PROXY | {"atlas_trusted_proxies": "112.0.0.0/4"}, "set ATLAS_PROXY_SECRET"),
        (KEYS | PROXY | {"atlas_proxy_secret": "short"}, "at least 16 characters"),
        (KEYS | PROXY | {"atlas_proxy_name_header": "X-Forwarded-User"}, "ATLAS_PROXY_NAME_HEADER is one of"),
        (KEYS | {"atlas_proxy_groups": "desk"}, "needs ATLAS_TRUSTED_PROXIES"),
        ({"atlas_root_path": "atlas"}, "begins with /"),
        ({"atlas_root_path": "/atlas/../mcp"}, "begins with /"),
        ({"atlas_root_path": "https://gateway.example.com/atlas"}, "begins with /"),
        ({"atlas_allowed_origins": "*"}, "as browsers send it"),
        ({"atlas_allowed_origins": "https://*.example.com"}, "as browsers send it"),
        ({"atlas_allowed_origins": "null"}, "as browsers send it"),  # what pages without an origin send
        ({"atlas_allowed_origins": "http://localhost:6274/"}, "as browsers send it"),
        ({"atlas_allowed_origins": "https://tools.example.com:443"}, "as browsers send it"),
        ({"atlas_allowed_origins": "https://Tools.example.com"}, "as browsers send it"),
        ({"atlas_execute_seconds": float("inf")}, "finite number"),
        ({"atlas_engine_retention": "0s"}, "greater than"),
        ({"atlas_engine_retention": "for ever"}, "Write a duration such as 90s"),
        ({"atlas_assessor": "modal"}, "without MODAL_TOKEN_ID"),
        ({"atlas_assessor": "openai"}, "without OPENAI_API_KEY"),
        ({"atlas_assessor": "gemini"}, "'auto', 'modal', 'openai'"),
        ({"modal_token_id": "ak-1"}, "belong together"),
        ({"openai_base_url": "api.openai.com/v1"}, "begins with http"),
        ({"openai_base_url": "https://user:word@api.example/v1"}, "user name or password"),
        ({"atlas_agent_key": AGENT, "atlas_reviewer_key": f" {AGENT} "}, "could approve itself"),
        (
            {"atlas_agent_key": f"a:{AGENT},b:{AGENT}", "atlas_reviewer_key": REVIEWER},
            "two agents with one key",
        ),
        ({"atlas_agent_key": ",", "atlas_reviewer_key": REVIEWER}, "names no agent"),
        ({"atlas_allowed_hosts": "*"}, "wildcard"),
        ({"inngest_dev": "perhaps"}, "INNGEST_DEV is 1, 0, or the URL"),
        ({"inngest_dev": "http://user:word@127.0.0.1:8288"}, "user name or password"),
        ({"atlas_review_grace_seconds": 26}, "less than or equal to 25"),
        ({"atlas_review_timeout": "400d"}, "at most 365 days"),
        ({"atlas_review_timeout": "99999999999999d"}, "at most 365 days"),
        ({"atlas_agent_key": AGENT}, "belong together"),
        ({"atlas_reviewer_key": REVIEWER}, "belong together"),
        ({"atlas_agent_key": "short", "atlas_reviewer_key": REVIEWER}, "at least 16 characters"),
        ({"atlas_host": "0.0.0.0"}, "listens on 127.0.0.1 only"),  # noqa: S104
        ({"atlas_host": "gateway.example"}, "listens on 127.0.0.1 only"),
        ({"inngest_event_key": "k"}, "without INNGEST_SIGNING_KEY"),
        ({"inngest_base_url": "http://127.0.0.1:8288"}, "without INNGEST_SIGNING_KEY"),
        ({"inngest_signing_key": "5e1f"}, "without INNGEST_EVENT_KEY"),
        ({"atlas_risk_threshold": 101}, "less than or equal to 100"),
        ({"atlas_review_timeout": "soon"}, "Write a duration such as 90s"),
        ({"atlas_review_timeout": "0s"}, "greater than"),
    ],
)
def test_a_combination_that_would_open_the_gate_is_refused(fields: dict[str, Any], sentence: str) -> None:
    """The gateway does not start, and says why."""
    with pytest.raises(ValidationError, match=sentence):
        read(**fields)


def test_a_wrong_setting_ends_the_process_with_a_sentence_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """No traceback, and no secret in the message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLAS_AGENT_KEY", AGENT)
    monkeypatch.setenv("ATLAS_REVIEWER_KEY", AGENT)
    monkeypatch.setenv("ATLAS_PORT", "eighty")
    with pytest.raises(SystemExit) as refusal:
        Settings.read()
    assert "ATLAS_PORT: " in str(refusal.value) and AGENT not in str(refusal.value)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, EngineKind.EMBEDDED),
        ({"inngest_dev": "0"}, EngineKind.EMBEDDED),
        ({"inngest_dev": "no"}, EngineKind.EMBEDDED),
        ({"inngest_dev": "off", "inngest_event_key": "k", "inngest_signing_key": "5e1f"}, EngineKind.INNGEST),
        ({"inngest_dev": "1"}, EngineKind.INNGEST_DEV),
        ({"inngest_dev": "http://127.0.0.1:8288"}, EngineKind.INNGEST_DEV),
        ({"inngest_event_key": "k", "inngest_signing_key": "5e1f"}, EngineKind.INNGEST),
        ({"inngest_event_key": "k", "inngest_dev": "1"}, EngineKind.INNGEST_DEV),
    ],
)
def test_the_engine_is_chosen_by_the_inngest_variables(fields: dict[str, Any], kind: EngineKind) -> None:
    """None of them means the embedded engine."""
    assert read(**fields).engine_kind is kind


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("24h", 86400),
        ("3d", 259200),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("2w", 1209600),
        (" 30 m ", 1800),
        ("500ms", 0.5),
    ],
)
def test_durations_are_read_with_their_unit(text: str, duration: float) -> None:
    """One or several, from milliseconds to weeks; without a unit they are seconds."""
    assert read(atlas_review_timeout=text).atlas_review_timeout == timedelta(seconds=duration)


def test_several_agents_have_a_name_each() -> None:
    """A key without a name belongs to `agent`."""
    settings = read(atlas_agent_key=f"desk:{AGENT}, {AGENT}2", atlas_reviewer_key=REVIEWER)
    assert settings.agent_keys == {AGENT: "desk", f"{AGENT}2": "agent"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("atlas", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    """A name is taken as reachable unless it is localhost."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "policy"),
        ({"ollama_host": "127.0.0.1"}, "openai"),
        ({"openai_api_key": "k"}, "openai"),
        ({"openai_base_url": "http://127.0.0.1:1/v1"}, "openai"),
        ({"openai_api_key": "k", "modal_token_id": "ak-1", "modal_token_secret": "as-1"}, "modal"),
        ({"openai_api_key": "k", "atlas_assessor": "policy"}, "policy"),
        (
            {
                "openai_api_key": "k",
                "modal_token_id": "a",
                "modal_token_secret": "b",
                "atlas_assessor": "openai",
            },
            "openai",
        ),
    ],
)
def test_the_first_assessor_that_is_configured_is_used_unless_one_is_named(
    fields: dict[str, Any], kind: str
) -> None:
    """And where none is configured the policy judges alone."""
    assert read(**fields).assessor_kind is AssessorKind(kind)


def test_reviewers_have_the_names_of_their_keys() -> None:
    """A single key may have none."""
    named = read(atlas_agent_key=AGENT, atlas_reviewer_key=f"sarah:{REVIEWER}, desk 4:{REVIEWER}2")
    assert named.reviewer_keys == {REVIEWER: "sarah", f"{REVIEWER}2": "desk 4"}
    assert named.reviewers == {"sarah", "desk 4"}
    single = read(atlas_agent_key=AGENT, atlas_reviewer_key=REVIEWER)
    assert single.reviewer_keys == {REVIEWER: None} and not single.reviewers


def test_systems_and_their_people_are_read_with_blanks_around_and_two_secrets() -> None:
    """An id can hold colons and signs of equality; a secret never shows."""
    other = WHSEC.replace("Mf", "Nf")
    settings = read(
        **KEYS,
        atlas_webhook_secrets=f" chat={WHSEC}, chat={other} ",
        atlas_webhook_people="chat:u=1:x=anna, chat:u2=Ben Ko",
    )
    assert settings.webhook_secrets == (("chat", WHSEC), ("chat", other))
    assert settings.webhook_people == {("chat", "u=1:x"): "anna", ("chat", "u2"): "Ben Ko"}
    assert WHSEC not in repr(settings)
