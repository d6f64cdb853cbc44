"""Text that others wrote: their editors and shells write UTF-8 or UTF-16, byte order marks, any line ends."""

import codecs
import re
import sys
from collections.abc import Sequence
from pathlib import Path

MARK = "\ufeff"
# UTF-32 before UTF-16: the mark of the latter is the beginning of the former's.
ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_KEEPABLE = re.compile("[\0\ud800-\udfff]")


class TextUnreadable(ValueError):
    """The bytes are no text; its words are the end of a sentence that begins with the file."""


def words_of(arguments: Sequence[str] | None) -> list[str]:
    """The words of a command line; leaves with a sentence where one is no text."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if any(0xD800 <= ord(sign) <= 0xDFFF for word in words for sign in word):
        raise SystemExit("An argument has bytes that are no UTF-8. Nothing was done.")
    return words


def read_text(path: Path) -> str:
    """The text of a file, with `\\n` at the end of its lines; raises OSError or TextUnreadable."""
    return text_of(path.read_bytes())


def text_of(content: bytes) -> str:
    """Bytes as text, without byte order mark; raises TextUnreadable."""
    encoding = encoding_of(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        name = encoding.removesuffix("-sig").upper()
        raise TextUnreadable(f"line {line}: this is no {name} text") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TextUnreadable(f"line {line}: this is no UTF-8 text, but may be UTF-16 without its mark")
    # A second mark is left behind where two files were put together.
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix(MARK)


def encoding_of(content: bytes) -> str:
    """The encoding that a byte order mark names, as Python calls it; without a mark it is UTF-8."""
    return next((name for mark, name in ENCODINGS if content.startswith(mark)), "utf-8")


def keepable(text: str) -> str:
    """The text with U+FFFD in the place of what not every store can hold: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return _NOT_KEEPABLE.sub("\N{REPLACEMENT CHARACTER}", text)
