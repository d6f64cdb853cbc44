"""The file of the servers: what is read, what is filled, and which sentence each mistake gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import UpstreamsInvalid
from atlas.upstreams.config import Transport, UpstreamConfig, read_upstreams

VARIABLES = {"TOKEN": "a-secret-token", "EMPTY": ""}


def read(tmp_path: Path, document: Any) -> tuple[UpstreamConfig, ...]:
    """Read a document, or a text that may be no JSON."""
    path = tmp_path / "mcp.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_upstreams(path, VARIABLES)


def servers(**entries: Any) -> dict[str, Any]:
    """A document with servers."""
    return {"mcpServers": entries}


@pytest.mark.parametrize(
    ("entry", "way"),
    [
        ({"command": "npx"}, Transport.STDIO),
        ({"command": "npx", "type": "stdio"}, Transport.STDIO),
        ({"url": "https://crm.example.com/mcp"}, Transport.HTTP),
        ({"url": "https://crm.example.com/sse"}, Transport.SSE),
        ({"url": "https://crm.example.com/sse/?key=1"}, Transport.SSE),
        ({"url": "https://crm.example.com/mcp", "type": "sse"}, Transport.SSE),
        ({"url": "https://crm.example.com/sse", "transport": "streamable-http"}, Transport.HTTP),
        ({"url": "https://crm.example.com/sse", "type": "http"}, Transport.HTTP),
    ],
)
def test_each_spelling_of_the_transport_is_understood(tmp_path: Path, entry: Any, way: Transport) -> None:
    """As Claude Desktop, Cursor, VS Code and FastMCP write it, or not at all."""
    [config] = read(tmp_path, servers(crm=entry))
    assert config.way is way


def test_variables_are_filled_everywhere(tmp_path: Path) -> None:
    """With a default where there is none, and for an empty one."""
    entry = {
        "command": "${PROGRAM:-npx}",
        "args": ["${TOKEN}-x", "${EMPTY:-y}", "$TOKEN"],
        "env": {"KEY": "Bearer ${TOKEN}"},
    }
    [config] = read(tmp_path, servers(crm=entry))
    assert (config.command, config.args) == ("npx", ("a-secret-token-x", "y", "$TOKEN"))
    assert config.env == {"KEY": "Bearer a-secret-token"}
    assert "a-secret-token" not in repr(config)


def test_what_other_hosts_put_beside_it_is_ignored_and_disabled_is_honoured(tmp_path: Path) -> None:
    """A server that is left out wants no variables."""
    left_out = {"command": "npx", "args": ["${NOBODY_SET_THIS}"], "disabled": True}
    kept = {"command": "npx", "autoApprove": ["*"], "alwaysAllow": ["write"], "timeout": 60}
    [config] = read(tmp_path, servers(old=left_out, files=kept))
    assert config.name == "files"


def test_a_server_can_be_said_to_speak_for_third_parties(tmp_path: Path) -> None:
    """Under `atlas` alone: the `trust` of other hosts is another thing."""
    crm = {"command": "a", "atlas": {"trust": "outside"}}
    files = {"command": "b", "trust": True}
    assert [config.trust for config in read(tmp_path, servers(crm=crm, files=files))] == ["outside", None]


def test_prefixes_are_names_that_clients_take(tmp_path: Path) -> None:
    """From the name, or as the file says, or none."""
    configs = read(
        tmp_path,
        {
            "mcpServers": {
                "My files": {"command": "a"},
                "crm": {"command": "b", "atlas": {"prefix": "customers"}},
                "bare": {"command": "c", "atlas": {"prefix": ""}},
            }
        },
    )
    assert [config.name_of("read") for config in configs] == ["My_files_read", "customers_read", "read"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "it is no JSON (line 1: "),
        ("[]", 'it has no "mcpServers", which maps names to servers ("servers"'),
        ({"hosts": {}}, 'it has no "mcpServers", which maps names to servers ("servers"'),
        ({"servers": []}, 'it has no "mcpServers", which maps names to servers'),
        ({"servers": {}, "mcpServers": {}}, "it has servers under mcpServers and under servers: keep one"),
        ('{"mcpServers": {"a": {}, "a": {}}}', "it has 'a' twice in one place."),
        (servers(crm={}), 'the server crm needs either a "command" or a "url".'),
        (
            servers(crm={"command": "a", "url": "http://b"}),
            'the server crm needs either a "command" or a "url".',
        ),
        (servers(crm=[]), "the server crm: it: "),
        (servers(crm={"url": "crm.example.com"}), "begins with neither http:// nor https://."),
        (
            servers(crm={"url": "http://b", "type": "websocket"}),
            "is none of stdio, sse, http and streamable-http.",
        ),
        (servers(crm={"command": "a", "type": "http"}), "has a command, and a type that wants a url."),
        (servers(crm={"url": "http://b", "type": "stdio"}), "has a url, and a type that wants a command."),
        (servers(crm={"command": "a", "args": "b"}), "the server crm: args: "),
        (servers(crm={"command": "a", "env": {"N": [1]}}), "the server crm: env.N: "),
        (servers(crm={"command": "${NOT_SET}"}), "wants the variable NOT_SET, which is not set."),
        (servers(crm={"command": "a", "atlas": {"tool": {}}}), "atlas.tool: Extra inputs are not permitted."),
        (servers(crm={"command": "a", "atlas": {"tools": {"only": []}}}), "atlas.tools.only: Extra inputs"),
        (servers(crm={"command": "a", "atlas": {"prefix": "a b"}}), "atlas.prefix: "),
        (servers(crm={"command": "a", "atlas": {"seconds": 0}}), "atlas.seconds: "),
        (servers(crm={"command": "a", "atlas": {"trust": True}}), "atlas.trust: "),
        ({"mcpServers": {"a b": {"command": "a"}, "a_b": {"command": "b"}}}, "have the same prefix, a_b."),
        ({"mcpServers": {"": {"command": "a"}}}, "a server has no name"),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, document: Any, reason: str) -> None:
    """That names the file and the server."""
    with pytest.raises(UpstreamsInvalid) as caught:
        read(tmp_path, document)
    said = str(caught.value)
    assert said.startswith(f"The MCP configuration {tmp_path / 'mcp.json'} cannot be used: ")
    assert reason in said and "\n" not in said


def test_no_mistake_shows_a_value(tmp_path: Path) -> None:
    """It may be a secret."""
    for entry in (
        {"url": "${TOKEN}"},
        {"url": "http://b", "headers": ["${TOKEN}"]},
        {"command": ["${TOKEN}"]},
    ):
        with pytest.raises(UpstreamsInvalid) as caught:
            read(tmp_path, servers(crm=entry))
        assert "a-secret-token" not in str(caught.value)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(UpstreamsInvalid, match="No such file or directory"):
        read_upstreams(tmp_path / "nowhere.json", {})


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer sk-secret\r"},  # of an env file with the line ends of Windows
        {"Authorization": "Bearer sk-secret\r\nX-Other: 1"},
        {"Authorization": " sk-secret"},
        {"Authorization": "sk-secret\u00a0"},
        {"Author\nization": "sk-secret"},
        {"X Key": "sk-secret"},
        {"": "sk-secret"},
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(tmp_path: Path, headers: Any) -> None:
    """The client that sent it would quote it in an error."""
    with pytest.raises(UpstreamsInvalid, match="the server crm has a header whose name or value") as caught:
        read(tmp_path, servers(crm={"url": "https://crm.example.com/mcp", "headers": headers}))
    assert "sk-secret" not in str(caught.value)


def test_headers_may_be_empty_and_hold_any_visible_character(tmp_path: Path) -> None:
    """As servers take them."""
    headers = {"X-Empty": "", "x-api_key": "a b~{}\"'", "Authorization": "Bearer ${TOKEN}"}
    [config] = read(tmp_path, servers(crm={"url": "https://crm.example.com/mcp", "headers": headers}))
    assert config.headers == headers | {"Authorization": "Bearer a-secret-token"}


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ({"transport": {"type": "sse", "url": "https://a.example/x"}}, "https://a.example/x"),
        ({"serverUrl": "https://a.example/x", "url": "https://a.example/x"}, "https://a.example/x"),
        ({"httpUrl": "https://a.example/sse", "headers": {"X": 1.5, "Y": True}}, "https://a.example/sse"),
    ],
)
def test_other_words_for_an_address_are_read(tmp_path: Path, entry: Any, url: str) -> None:
    """The same one twice is one; a number in a header is sent as text."""
    [config] = read(tmp_path, servers(crm=entry))
    assert config.url == url
    assert config.headers == ({"X": "1.5", "Y": "true"} if "headers" in entry else {})
    assert config.way is (Transport.SSE if "transport" in entry else Transport.HTTP)


def test_two_addresses_that_differ_are_refused(tmp_path: Path) -> None:
    """The gateway does not guess which one is meant."""
    with pytest.raises(UpstreamsInvalid, match="the server crm: httpUrl: it has two of these that differ"):
        read(tmp_path, servers(crm={"url": "https://a.example", "httpUrl": "https://b.example"}))


@pytest.mark.parametrize("key", ["mcpServers", "servers", "mcp_servers", "context_servers", "amp.mcpServers"])
@pytest.mark.parametrize(
    "off", [{"isActive": False}, {"enabled": "false"}, {"disabled": 1}, {"Disabled": "${OFF:-true}"}]
)
def test_what_is_switched_off_is_off_in_any_words(tmp_path: Path, key: str, off: Any) -> None:
    """Wherever the file keeps its servers; its variables are not looked for."""
    left_out = {"command": "a", "args": ["${NOT_SET}"], **off}
    [config] = read(tmp_path, {key: {"off": left_out, "on": {"command": "b"}}})
    assert config.name == "on"


@pytest.mark.parametrize("beside", [{"mcp": {"allowed": ["on"]}}, {"excludeMCPServers": ["off"]}])
def test_a_list_beside_the_servers_leaves_them_out(tmp_path: Path, beside: Any) -> None:
    """As Gemini CLI has it."""
    entries = {"off": {"command": "a"}, "on": {"command": "b"}}
    [config] = read(tmp_path, {"mcpServers": entries, **beside})
    assert config.name == "on"


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"bearer_token_env_var": "sk-secret"}, "bearer_token_env_var"),
        ({"bearer_token_env_var": "EMPTY-sk-secret"}, "bearer_token_env_var"),
        ({"env_http_headers": {"X-Key": "sk-secret"}}, "env_http_headers.X-Key"),
        ({"env_http_headers": {"X-Key": ["sk-secret"]}}, "env_http_headers.X-Key"),
        ({"env_http_headers": {"X\nKey": "sk-secret}"}}, "env_http_headers.X"),
    ],
)
def test_a_secret_in_the_place_of_a_variables_name_is_not_shown(
    tmp_path: Path, entry: Any, place: str
) -> None:
    """Right: Codex wants a name there, and people write the token itself; it is not shown."""
    with pytest.raises(UpstreamsInvalid) as caught:
        read(tmp_path, servers(crm={"url": "https://crm.example.com/mcp"} | entry))
    said = str(caught.value)
    assert f"the server crm: {place}" in said and "it names a variable that is not set." in said
    assert "sk-secret" not in said and "\n" not in said
