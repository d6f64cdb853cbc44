"""What stands in a text behind an encoding: base64, hex, percent signs, HTML entities, JSON escapes."""

import base64
import binascii
import html
import re
from urllib.parse import unquote

MOST_RUNS = 50  # of one text
LONGEST_RUN = 20_000  # characters
SHORTEST_RUN, LINE = 12, 60
SHORTEST = 4  # characters of what was decoded

_RUN = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_BROKEN = re.compile(r"(?<=[A-Za-z0-9+/]{60})\r?\n(?=[A-Za-z0-9+/])")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\([nrtbf\"/\\])")


def decoded_texts(text: str) -> list[str]:
    """The readable texts that stand in a text behind an encoding."""
    lines = (
        [made for line in text.split("\n") if (made := _unescaped(line)) != line]
        if _may_be_escaped(text)
        else []
    )
    runs = list(filter(None, map(_decoded_run, _runs(text))))
    return ["\n".join(made) for made in (lines, runs) if made]


def _may_be_escaped(text: str) -> bool:
    return "%" in text or "&" in text or "\\" in text


def _runs(text: str) -> list[str]:
    """What could be base64 or hex; lines as a mail breaks them belong together."""
    long = [word for word in text.split() if len(word) >= SHORTEST_RUN]
    if max(map(len, long), default=0) >= LINE:
        long = _BROKEN.sub("", text).split()
    return _RUN.findall(" ".join(long))[:MOST_RUNS]


def _unescaped(line: str) -> str:
    line = unquote(line) if "%" in line else line
    line = html.unescape(line) if "&" in line else line
    return _ESCAPE.sub(_character, line) if "\\" in line else line


def _character(found: "re.Match[str]") -> str:
    code = found[1] or found[2]
    return chr(int(code, 16)) if code else {"n": "\n", "r": "\r", "t": "\t"}.get(found[3], " ")


def _decoded_run(run: str) -> str | None:
    run = run[:LONGEST_RUN]
    if _HEX.fullmatch(run) and (made := _readable(bytes.fromhex(run))):
        return made
    bare = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(bare[: len(bare) - (len(bare) % 4 == 1)] + "=" * (-len(bare) % 4)))
    except (binascii.Error, ValueError):
        return None


def _readable(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return text if len(text) >= SHORTEST and printable == len(text) else None
