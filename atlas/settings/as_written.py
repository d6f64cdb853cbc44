"""How a single setting is written: durations, keys, paths and numbers for each agent, and what is refused."""

import io
import re
from collections.abc import Collection
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    BeforeValidator,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_settings import NoDecode

from atlas.instants import parse_duration
from atlas.texts import read_text

OURS = "ATLAS_"
SPACE_BEFORE_UNIT = re.compile(r"(?<=\d)\s+(?=[a-z])")
PLAIN = re.compile(r"[A-Za-z0-9._~:/+=@%,-]*")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
LONGEST_DURATION = timedelta(days=365)
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
SIGNING_KEY = re.compile(r"((signkey-[A-Za-z0-9_]+-)?([0-9a-fA-F]{2})+)?")


def read_duration(value: Any) -> Any:
    """Read `90`, which is seconds, `90s`, `1h30m` or `3d`; anything else is left for pydantic."""
    if not isinstance(value, str):
        return value
    text = SPACE_BEFORE_UNIT.sub("", value.strip())
    try:
        return parse_duration(f"{text}s" if text[-1:].isdecimal() else text)
    except ValueError:
        return value


def plain(value: Any) -> Any:
    """Refuse what cannot be in a key or a name: it was copied with something around it."""
    if isinstance(value, str) and not PLAIN.fullmatch(value.strip()):
        raise ValueError(
            "Only letters, digits and . _ ~ : / + = @ % , - can stand here: no blanks, no quotes."
        )
    return value


def signing_key(value: Any) -> Any:
    """Refuse what Inngest's SDK would fail on at the first request."""
    if isinstance(value, str) and not SIGNING_KEY.fullmatch(value.strip()):
        raise ValueError(
            "A signing key is an even number of hexadecimal digits, alone or behind signkey-prod-."
        )
    return value


def root_path(value: Any) -> Any:
    """Take the path of a proxy with or without a slash at its end; refuse what is none."""
    path = value.strip().rstrip("/") if isinstance(value, str) else value
    if isinstance(path, str) and (not ROOT_PATH.fullmatch(path) or {".", ".."} & set(path.split("/"))):
        raise ValueError(
            "A root path begins with / and has letters, digits and . _ ~ - between its slashes, as /atlas."
        )
    return path


def _has_scheme(text: str, *schemes: str) -> bool:
    """Whether a text is a URL of one of these schemes, with a port that can be one."""
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in schemes and parts.port != 0
    except ValueError:  # of a host or a port that is none, which it repeats
        return False


def postgresql_url(value: Any) -> Any:
    """Refuse what is no URL of a PostgreSQL database; the words repeat none of it: it holds a password."""
    if not isinstance(value, str):
        return value
    if not _has_scheme(value, "postgresql", "postgres"):
        raise ValueError(
            "Write a PostgreSQL URL, such as postgresql://atlas:PASSWORD@db.example.org:5432/atlas. In the "
            "password write @ as %40, / as %2F, : as %3A and % as %25."
        )
    return value.strip()


def http_url(value: Any) -> Any:
    """Refuse what is no URL of an HTTP server."""
    if not isinstance(value, str):
        return value
    if not _has_scheme(value, "http", "https") or not urlsplit(value.strip()).hostname:
        raise ValueError("Write a URL, such as https://inngest.example.org or http://127.0.0.1:8288.")
    return value.strip()


def dev_server(value: Any) -> Any:
    """Take a word such as `1`, or a URL of an HTTP server."""
    return http_url(value) if isinstance(value, str) and "://" in value else value


HttpUrlText = Annotated[str | None, BeforeValidator(http_url)]
DevServer = Annotated[str | None, BeforeValidator(dev_server)]
PostgresqlUrl = Annotated[SecretStr | None, BeforeValidator(postgresql_url)]
RootPath = Annotated[str, BeforeValidator(root_path)]
PlainSecret = Annotated[SecretStr | None, BeforeValidator(plain)]
SigningKey = Annotated[SecretStr | None, BeforeValidator(signing_key)]


def duration(value: Any, read: ValidatorFunctionWrapHandler) -> timedelta:
    """Take a duration of a year at most; refuse anything else in words for the person who wrote it."""
    try:
        found: timedelta = read(read_duration(value))
    except ValidationError:
        raise ValueError("Write a duration such as 90s, 30m, 1h30m or 3d.") from None
    if found <= timedelta(0):
        raise ValueError("A duration must be greater than 0.")
    if found > LONGEST_DURATION:
        raise ValueError(f"A duration must be at most {LONGEST_DURATION.days} days.")
    return found


Duration = Annotated[timedelta, WrapValidator(duration)]


class NumberPerAgent(NamedTuple):
    """A number for each agent; some have one of their own."""

    usual: int
    own: tuple[tuple[str, int], ...] = ()

    def of(self, agent: str) -> int:
        """The number for one agent."""
        return dict(self.own).get(agent, self.usual)


def number_per_agent(value: Any) -> Any:
    """Read `600`, or `600,importer:3000`."""
    if not isinstance(value, (str, int)):
        return value
    named = [entry.strip().rpartition(":") for entry in str(value).split(",") if entry.strip()]
    numbers = [(name.strip(), int(number)) for name, _, number in named if NUMBER.fullmatch(number.strip())]
    usual = [number for name, number in numbers if not name]
    own = tuple((name, number) for name, number in numbers if name)
    if len(usual) != 1 or len(numbers) != len(named) or len(dict(own)) != len(own):
        raise ValueError(
            "It is one number from 1 on, and after it name:number for some agents, as 600,importer:3000."
        )
    return NumberPerAgent(usual[0], own)


PerAgent = Annotated[NumberPerAgent, NoDecode, BeforeValidator(number_per_agent)]


def require_readable(path: Path, known: Collection[str]) -> None:
    """Leave with a sentence where a line is none, or where a setting is misspelt: it would not count.

    Without its keys the gateway would be open to everyone on the machine.
    """
    if not path.is_file():
        return
    for line in parse_stream(io.StringIO(read_text(path))):
        text = line.original.string  # with the empty lines before it
        said = f"line {line.original.line + text[: len(text) - len(text.lstrip())].count(chr(10))}"
        if line.error:
            raise SystemExit(f"In {path} {said} is no line such as NAME=value.")
        name = (line.key or "").upper()
        if not name.startswith(OURS) or name.lower() in known:
            continue
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.85)
        if near:
            meant = near[0].upper()
            raise SystemExit(f"{name} in {said} of {path} is no setting. Is {meant} meant?")
