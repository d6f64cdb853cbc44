"""The container of `compose.yaml` in the words of `docker run`, for where there is no Compose."""

import re
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from atlas.settings import Settings

DESCRIPTION = Path(__file__).parents[2] / "compose.yaml"
VARIABLE = re.compile(r"\$\{(\w+):([-+])([^}]*)\}")
NO_FILE = "/dev/null"
SECONDS_TO_END = 330  # of a container with the usual settings, for a tool that runs for five minutes
MORE_SECONDS = 20  # what a gateway may take to end after its tools


def run_options(variables: Mapping[str, str]) -> Iterator[str]:
    """The arguments of `docker run`, but for the image; a key without a translation is a KeyError."""
    [service] = yaml.safe_load(filled(DESCRIPTION.read_text(encoding="utf-8"), variables))[
        "services"
    ].values()
    if service["network_mode"] == "host":
        service["ports"] = []
    for key, value in service.items():
        for flag, words in FLAGS[key](value):
            yield f"--{flag}={words}"


def seconds_of_container(settings: Settings) -> int:
    """How long a container may take to end before it is killed: what the settings ask for, and some more."""
    asked = settings.atlas_drain_time + settings.atlas_stop_timeout
    return max(SECONDS_TO_END, ceil(asked.total_seconds()) + MORE_SECONDS)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with `${NAME:-default}` and `${NAME:+replacement}` as Compose fills them."""

    def fill(match: re.Match[str]) -> str:
        value, word = variables.get(match[1], ""), match[3]
        return (value or word) if match[2] == "-" else (value and word)

    return VARIABLE.sub(fill, text)


Flags = Iterator[tuple[str, str]]


def _each(flag: str) -> Callable[[Any], Flags]:
    return lambda value: ((flag, str(one)) for one in (value if isinstance(value, list) else [value]))


def _nothing(value: Any) -> Flags:
    return iter(())


def _switch(flag: str) -> Callable[[Any], Flags]:
    return lambda value: iter([(flag, str(value).lower())])


def _environment(value: dict[str, Any]) -> Flags:
    return (("env", f"{name}={'' if one is None else one}") for name, one in value.items())


def _mounts(value: list[dict[str, Any]]) -> Flags:
    for one in value:
        source = f"atlas-gateway-{one['source']}" if one["type"] == "volume" else one["source"]
        if source != NO_FILE:
            end = ",readonly" if one.get("read_only") else ""
            yield "mount", f"type={one['type']},source={source},target={one['target']}{end}"


def _logging(value: dict[str, Any]) -> Flags:
    yield "log-driver", value["driver"]
    yield from (("log-opt", f"{name}={one}") for name, one in value["options"].items())


FLAGS: dict[str, Callable[[Any], Flags]] = {
    "container_name": _each("name"),
    "image": _nothing,  # the last argument
    "build": _nothing,
    "user": _each("user"),
    "restart": _each("restart"),
    "init": _switch("init"),
    "read_only": _switch("read-only"),
    "tmpfs": _each("tmpfs"),
    "cap_drop": _each("cap-drop"),
    "security_opt": _each("security-opt"),
    "stop_grace_period": lambda value: iter([("stop-timeout", value.removesuffix("s"))]),
    "network_mode": _each("network"),
    "extra_hosts": _each("add-host"),
    "ports": _each("publish"),
    "environment": _environment,
    "volumes": _mounts,
    "logging": _logging,
}
