"""Whether a text from outside speaks to the agent: gives it orders, claims authority, presses, or hides.

The rules are a published table (`atlas/origins/order_rules.py`). A text is first brought to what it shows.
"""

import html
import re
import unicodedata
from collections.abc import Iterator

import re2  # type: ignore[import-untyped]  # as in the conditions of the policy

from atlas.models import plain_text
from atlas.origins.hiding import hidden_in
from atlas.origins.order_rules import RULES
from atlas.traces import Order

MOST_ORDERS = 3
MOST_CHARACTERS = 200_000  # of one text: of a longer one the beginning and the end are read
PASSAGE_CHARACTERS = 200
BEFORE, BEHIND = 300, 1_500  # bytes around an order in which it can name what it is about
MOST_KNOWN = 10_000  # answers whose orders are kept, so that each is read once and not for each later call

_UNSEEN = re2.compile(r"[\x{ad}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}\x{e0000}-\x{e007f}]+")
_LONGEST = str.maketrans("\ufdfa\ufdfb", "  ")  # single characters that stand for a whole sentence in Arabic
_MIXED = re2.compile(r"(?i)[a-z][\x{370}-\x{4ff}]|[\x{370}-\x{4ff}][a-z]")
_ALIKE = str.maketrans(
    "асеорхуіїјѕԁһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοАВСЕНІКМОРТХЅ", "aceopxyiijsdhABEZHIKMNOPTYXoABCEHIKMOPTXS"
)
# JSON in JSON has more backslashes; without a limit a long run of them would take quadratic time.
_ESCAPED = re.compile(r"\\{1,8}(?:u([0-9a-fA-F]{4})|([nrt\"/]))")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "/": "/"}
_SPACED = re2.compile(r"\b(?:\pL {1,2}){8,}\pL\b")
_QUOTES = tuple(mark.encode() for mark in "\"'`\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a")

_GAP = re.compile(r"(\[\^\.!?\?\\n\]\{\d+,\d+\})")


def _over_lines(pattern: str) -> str:
    """A pattern that also fits over the end of a line: where it has a blank, and once in each gap."""
    gaps = _GAP.sub(r"\1(?:\\n\1)?", pattern)
    return re.sub(r"\[[^\]]*\]| ", lambda found: r"(?:\s+)" if found[0] == " " else found[0], gaps)


def _one_of(patterns: tuple[str, ...]) -> str:
    return "(?i)" + "|".join(f"(?:{_over_lines(pattern)})" for pattern in patterns)


_MAY_HOLD = re2.Set.SearchSet()
for _rule in RULES:
    _MAY_HOLD.Add(_one_of((_rule.words,)))
_MAY_HOLD.Compile()
_PATTERNS = tuple(re2.compile(_one_of(rule.patterns)) for rule in RULES)

_known: dict[tuple[str, int, str], tuple[Order, ...]] = {}


def orders_in(text: str, *, case_id: str | None = None) -> tuple[Order, ...]:
    """The passages of a text that speak to the agent, at most three, of different kinds first."""
    if case_id is None:
        return _read(text, None)
    key = (case_id, len(text), text[-64:])  # what a call answered never changes
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = _read(text, case_id)
    return _known.get(key) or ()


def _read(text: str, case_id: str | None) -> tuple[Order, ...]:
    if len(text) > MOST_CHARACTERS:
        text = f"{text[: MOST_CHARACTERS // 2]}\n{text[-MOST_CHARACTERS // 2 :]}"
    text = _unescaped(text)
    shown, raw = as_it_shows(text), _in_utf_8(text)
    found = [*_said(shown), *(("hidden", passage, passage) for _, passage in hidden_in(raw))]
    first = {kind: (kind, passage, around) for kind, passage, around in reversed(found)}
    chosen = list(dict.fromkeys([*reversed(first.values()), *found]))[:MOST_ORDERS]
    return tuple(
        Order(kind=kind, passage=_plain(passage), around=around.decode("utf-8", "ignore"), case_id=case_id)
        for kind, passage, around in chosen
    )


def _unescaped(text: str) -> str:
    """A text out of JSON as it was before: many tools answer with JSON in a text."""
    if "\\" not in text:
        return text
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else _LETTERS[found[2]], text)
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # joins pairs


def _in_utf_8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # half of a pair of surrogates would be an error


def _plain(passage: bytes) -> str:
    shown = passage[: 4 * PASSAGE_CHARACTERS].decode("utf-8", "ignore")[:PASSAGE_CHARACTERS]
    return plain_text(shown)[:PASSAGE_CHARACTERS].strip()


def as_it_shows(text: str) -> bytes:
    """A text without what is not seen, with letters alike as Latin ones, and with words closed up."""
    if "&#" in text or "&nbsp;" in text:
        text = html.unescape(text)
    shown = _in_utf_8(text)
    if not text.isascii():
        plain = _UNSEEN.sub(b"", shown).decode().translate(_LONGEST)
        if not unicodedata.is_normalized("NFKC", plain):
            plain = unicodedata.normalize("NFKC", plain)
        shown = plain.replace("\u2019", "'").encode()
        if _MIXED.search(shown):
            shown = plain.translate(_ALIKE).encode()
    return bytes(_SPACED.sub(_closed_up, shown)) if _SPACED.search(shown) else shown


def _closed_up(spaced: re.Match[bytes]) -> bytes:
    return b" ".join(word.replace(b" ", b"") for word in spaced[0].split(b"  "))


def _said(text: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """The kind of each order, the words from where it begins, and a longer part of the text around it."""
    for place in sorted(_MAY_HOLD.Match(text) or ()):
        for found in _PATTERNS[place].finditer(text):
            if not _is_mentioned(text, found.start(), found.end()):
                passage = text[max(0, found.start() - 20) :][: 4 * PASSAGE_CHARACTERS]
                around = text[max(0, found.start() - BEFORE) : found.start() + BEHIND]
                yield RULES[place].kind, passage, around
                break


def _is_mentioned(text: bytes, start: int, end: int) -> bool:
    """Whether quotation marks stand close around it: then a text speaks of it, and does not say it."""
    before, behind = text[max(0, start - 3) : start], text[end : end + 4]
    return before.endswith(_QUOTES) and any(mark in behind for mark in _QUOTES)
