"""Text that an agent, a server or another person wrote, as a page shows it: inert, isolated, nothing unseen.

Every character that shows nothing, turns the text round or moves the cursor becomes a mark with its code
point. It is the only way in which such a text gets onto a page of the desk.
"""

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum
from itertools import groupby
from typing import Any

from markupsafe import Markup, escape

from atlas.canonical import finite_json
from atlas.models import HIDDEN

INLINE = 300  # characters of a text that stands within a line
OPEN = 2_000  # characters of a long text that are seen without unfolding it
OPEN_LINES = 40  # of it, likewise
FOLDED = 20_000  # characters that are in the page at most

# Beside what Unicode puts into the categories of HIDDEN: letters, symbols and marks without a shape.
SHAPELESS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159")
MOST_BLANKS = 20  # in a row, and line ends: more push what follows out of sight
MANY_BLANKS = " " * (MOST_BLANKS + 1)
MOST_ENDS = 3
MOST_STACKED = 3  # combining marks on one letter; more of them cover the lines around
TAGS = range(0xE0020, 0xE007F)  # ASCII once more, without a shape
SHORT = {"\n": "↵", "\t": "⇥"}
CONTROLS = {0x00: "NULL", 0x07: "BELL", 0x08: "BACKSPACE", 0x09: "TAB", 0x0A: "LINE FEED"} | {
    0x0D: "CARRIAGE RETURN",
    0x1B: "ESCAPE",
    0x7F: "DELETE",
    0x85: "NEXT LINE",
    0x9B: "CONTROL SEQUENCE INTRODUCER",
}
# Alphabets with letters that look like Latin ones, by the first word of the names of their letters.
ALIKE = frozenset(
    ("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "FULLWIDTH", "GREEK", "LISU", "MATHEMATICAL")
)
BEGIN, END = Markup('<bdi class="seen">'), Markup("</bdi>")
_TOKENS = re.compile(r"\w+|\W+")


def is_unseen(character: str) -> bool:
    """Whether a character has no shape of its own, or is a blank other than the one of the keyboard."""
    if character == " ":
        return False
    category = unicodedata.category(character)
    return category in HIDDEN or category == "Zs" or character in SHAPELESS or _selects_variation(character)


def seen(value: Any, most: int = INLINE) -> Markup:
    """A text within a line; a longer one is cut, and says so."""
    text = _text(value)
    return BEGIN + marked(text[:most]) + _cut(len(text) - most) + END  # `format` takes ten times as long


def seen_all(value: Any) -> Markup:
    """A whole text where every character counts, with its line ends both shown and kept."""
    return BEGIN + marked(_text(value), Ends.BOTH) + END


def seen_text(value: Any, most: int = OPEN, whole: str = "") -> Markup:
    """A text as a block with its line ends, folded where it is long; `whole` is the address of all of it."""
    text = _text(value)
    most = _opening(text, most)
    first = Markup('<div class="seen-text" dir="auto">{}</div>').format(marked(text[:most], Ends.LINE))
    if most == len(text):
        return first
    folded = Markup('<div class="seen-text" dir="auto">{}{}</div>').format(
        marked(text[most:FOLDED], Ends.LINE), _cut(len(text) - FOLDED)
    )
    link = Markup('<p><a href="{}">All of it</a></p>').format(whole) if whole else ""
    summary = f"{len(text) - most:,} more characters"
    return first + Markup("<details><summary>{}</summary>{}{}</details>").format(summary, folded, link)


def seen_plain(value: Any, most: int = INLINE) -> str:
    """The same without markup, for titles and attributes; the template escapes it."""
    text = _text(value)
    begin = text[:most]
    if begin.isascii() and begin.isprintable():  # as nearly all are, of which a file can hold very many
        shown = begin
    else:
        shown = "".join(
            f"[{_label(character)}]" if not " " <= character <= "~" and _is_marked(text, index) else character
            for index, character in enumerate(begin)
        )
    return f"{shown}…" if len(text) > most else shown


def exact_json(value: Any) -> str:
    """A value as JSON in which each character that would be marked is an escape: it can be edited."""
    text = finite_json(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(character) if not " " <= character <= "~" and _is_marked_in(text, index) else character
        for index, character in enumerate(text)
    )


def _is_marked_in(text: str, index: int) -> bool:
    """The same within JSON, where the quote before a combining mark is no letter of the text."""
    return _is_marked(text, index) or (text[index - 1 : index] == '"' and _combines(text[index]))


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class Ends(str, Enum):
    """What becomes of a line feed."""

    MARK = "mark"  # within a line
    LINE = "line"  # in a text of people
    BOTH = "both"  # where every character counts


def is_plain(text: str) -> bool:
    """Whether a text shows all that it holds, so that it can stand in a list of a browser's own."""
    return seen_plain(text, len(text)) == text


def marked(text: str, ends: Ends = Ends.MARK) -> Markup:
    """The whole text, escaped, with its marks."""
    if text.isascii() and text.isprintable() and MANY_BLANKS not in text:
        return escape(text)
    return Markup("").join(_pieces(text, ends))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _cut(count: int) -> Markup:
    if count <= 0:
        return Markup("")
    return Markup(' <span class="cut">… {} more characters</span>').format(f"{count:,}")


def _opening(text: str, most: int) -> int:
    """How many characters are seen without unfolding: so many, or so many lines."""
    ends = [end.start() for _, end in zip(range(OPEN_LINES), re.finditer("\n", text[:most]), strict=False)]
    return min(len(text), most, ends[-1] + 1 if len(ends) == OPEN_LINES else most)


def _pieces(text: str, ends: Ends) -> Iterator[Markup]:
    for token in _TOKENS.finditer(text):
        if token[0].isascii() and token[0].isprintable() and MANY_BLANKS not in token[0]:
            yield escape(token[0])
        else:
            yield from _odd(text, token, ends)


def _odd(text: str, token: re.Match[str], ends: Ends) -> Iterator[Markup]:
    """A token with characters beyond the printable ones of ASCII, or with very many blanks."""
    characters = ((text[index], _is_marked(text, index)) for index in range(*token.span()))
    for (key, is_marked), group in groupby(characters, key=_kind):
        run = [character for character, _ in group]
        is_usual = (key == " " and len(run) <= MOST_BLANKS) or (
            key == "\n" and ends is Ends.LINE and len(run) <= MOST_ENDS
        )
        yield _mark(key, run) if is_marked and not is_usual else escape("".join(run))
        if key == "\n" and ends is Ends.BOTH:
            yield Markup("\n")
    mixed = _alphabets(token[0])
    if mixed:
        yield Markup('<span class="unseen" title="{}">{}</span>').format(
            "Letters of more than one alphabet in one word: some look like others", "+".join(mixed)
        )


def _kind(item: tuple[str, bool]) -> tuple[str, bool]:
    """What one mark stands for: the same character many times, or a text of tags."""
    character, is_marked = item
    if character == " ":
        return character, True
    if not is_marked:
        return "", False
    return ("tags" if ord(character) in TAGS else character), True


def _mark(key: str, run: list[str]) -> Markup:
    if key == "tags":
        label = "tags: " + "".join(chr(ord(character) - 0xE0000) for character in run)
        title = f"A text in {len(run)} characters without a shape, from {_code(run[0])}"
    else:
        label, title = _label(key), f"{_code(key)} {_name(key)}"
        label += f" ×{len(run):,}" if len(run) > 1 else ""
    return Markup('<span class="unseen" title="{}">{}</span>').format(title, label)


def _label(character: str) -> str:
    return SHORT.get(character) or _code(character)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _name(character: str) -> str:
    usual = {"Cs": "half of a character", "Co": "private use", "Cn": "not assigned", "Cc": "control"}
    named = unicodedata.name(character, "") or CONTROLS.get(ord(character), "")
    return named or usual.get(unicodedata.category(character), "without a name")


def _is_marked(text: str, index: int) -> bool:
    """Whether a character shows nothing, or stands where a combining mark covers something else."""
    if is_unseen(text[index]):
        return True
    if not _combines(text[index]):
        return False
    before = text[max(0, index - MOST_STACKED) : index]
    is_alone = not before or is_unseen(before[-1])
    return is_alone or (len(before) == MOST_STACKED and all(map(_combines, before)))


def _combines(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Me")


def _selects_variation(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _alphabets(word: str) -> list[str]:
    """The alphabets of a word that mixes letters which look alike; else none."""
    found = {unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha()}
    look_alike = sorted(found & ALIKE)
    is_mixed = bool(look_alike) and ("LATIN" in found or len(look_alike) > 1)
    return [name.title() for name in sorted(found & (ALIKE | {"LATIN"}))] if is_mixed else []
