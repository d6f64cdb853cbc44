"""What stands in a text behind an encoding: base64, hex, percent signs, HTML entities, JSON escapes."""

import base64
import binascii
import html
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

MOST_RUNS = 500  # of one text
MOST_SIGNS = 3000  # that begin an escape, in one text
LONGEST_RUN = 20_000  # characters
SHORTEST_RUN, LINE = 12, 60
SHORTEST = 4  # characters of what was decoded

_OF_RUNS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_MARKS = bytes(ord("x") if code in _OF_RUNS else ord(" ") for code in range(256))
_BROKEN = re.compile(r"\n(?<=[A-Za-z0-9+/]{60}\n)(?=[A-Za-z0-9+/])")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


class Decoded(NamedTuple):
    """What was decoded, and whether it is all."""

    texts: tuple[str, ...]
    is_whole: bool


def decoded(text: str) -> Decoded:
    """The readable texts that stand in a text behind an encoding."""
    signs = text.count("%") + text.count("&")
    if has_escapes := "\\" in text:
        signs += text.count("\\u") + text.count("\\x")
    lines: list[str] = []
    if signs <= MOST_SIGNS and (signs or has_escapes):
        lines = [made for line in text.split("\n") if (made := _unescaped(line)) != line]
    found = _runs(text)
    runs = list(filter(None, map(_decoded_run, found[:MOST_RUNS])))
    texts = tuple("\n".join(made) for made in (lines, runs) if made)
    return Decoded(texts, signs <= MOST_SIGNS and len(found) <= MOST_RUNS)


def _runs(text: str) -> list[str]:
    """What could be base64 or hex; lines as a mail breaks them belong together."""
    marks = _marks(text)
    if b"x" * LINE in marks:
        text = _BROKEN.sub("", text.replace("\r\n", "\n"))
        marks = _marks(text)
    return [run for run in _marked(text, marks) if not run.islower() or _HEX.fullmatch(run)]


def _marks(text: str) -> bytes:
    """An x for each character that base64 or hex can have, a blank for each other one."""
    return text.encode("ascii", "replace").translate(_MARKS)


def _marked(text: str, marks: bytes) -> Iterator[str]:
    shortest = b"x" * SHORTEST_RUN
    begin = marks.find(shortest)
    while begin >= 0:
        end = marks.find(b" ", begin)
        yield text[begin : end if end >= 0 else None]
        begin = marks.find(shortest, end) if end >= 0 else -1


def _unescaped(line: str) -> str:
    line = unquote(line) if "%" in line else line
    line = html.unescape(line) if "&" in line else line
    if "\\" not in line:
        return line
    for written, meant in (("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\/", "/"), ('\\"', '"')):
        line = line.replace(written, meant)
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), line)


def _decoded_run(run: str) -> str | None:
    run = run[:LONGEST_RUN]
    if _HEX.fullmatch(run) and (made := _readable(bytes.fromhex(run))):
        return made
    bare = run.rstrip("=").replace("-", "+").replace("_", "/")
    bare = bare[: len(bare) - (len(bare) % 4 == 1)]
    try:
        return _readable(base64.b64decode(bare + "=" * (-len(bare) % 4)))
    except (binascii.Error, ValueError):
        return None


def _readable(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if len(text) >= SHORTEST and "".join(text.split()).isprintable() else None
