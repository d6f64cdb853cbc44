"""Brings texts to one spelling, character by character, so that two ways to write the same compare as equal.

Without case, accents, zero-width characters, other forms of a character (NFKD), and letters that look Latin.
"""

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate

# Small letters that look Latin: Cyrillic, Greek, Armenian, rarer Latin; then signs that look like ASCII.
LOOKALIKES = str.maketrans(
    "авекмнорстухѕіјһԁԛԝӏү" + "αβεζηικμνορςτυχ" + "օսհց" + "ıɡɑɩʏ" + "⁄−‐。",
    "abekmhopctyxsijhdqwly" + "abezniku" + "vopctux" + "ouhg" + "igaiy" + "/--.",
)
JOINERS = "@.,'-_+/"  # hold the parts of one thing together, such as an address or a number
MARKS = range(0x300, 0x370)
TAGS = range(0xE0020, 0xE007F)  # invisible copies of ASCII, which some models read
UNSPACED = re.compile(  # scripts without blanks between words: each character is a word
    "[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u2fff\u3005-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff]"
)
LONGEST_CHARACTER = 8  # of what one character becomes: a text of U+FDFA would be 18 times as long
PIECE = 256  # characters that are folded at once to find a place again
HIDDEN_CATEGORIES = ("Cf", "Cs", "Cn", "Co")  # formats such as zero-width, surrogates, private use


class _Characters(dict[int, str]):
    """What becomes of each character beyond ASCII, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        if code < 128:
            return chr(code)
        made = self[code] = _folded_character(chr(code))
        return made


def _folded_character(character: str) -> str:
    if ord(character) in TAGS:
        return chr(ord(character) - 0xE0000)
    if unicodedata.category(character) in HIDDEN_CATEGORIES:
        return ""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    kept = "".join(part for part in parts[:LONGEST_CHARACTER] if ord(part) not in MARKS)
    kept = kept.translate(LOOKALIKES)
    if UNSPACED.search(kept):
        return f" {kept} "
    return "".join(part if part.isalnum() or part in JOINERS else " " for part in kept)


_CHARACTERS = _Characters()
_BEYOND = re.compile(r"[^\x00-\x7f]+")


def _table(kept: str) -> bytes:
    codes = bytearray(range(256))
    for code in range(128):
        character = chr(code).lower()
        codes[code] = ord(character) if character.isalnum() or character in kept else ord(" ")
    return bytes(codes)


_WITH_JOINERS, _WITHOUT = _table(JOINERS), _table("")


def folded(text: str) -> str:
    """The text in one spelling, in small letters; a blank for each character that joins nothing."""
    return _ascii_only(text).encode("utf-8", "replace").translate(_WITH_JOINERS).decode()


def spaced(folded_text: str) -> str:
    """A folded text with a blank for each joining character too, so that only words are left."""
    return folded_text.encode("utf-8", "replace").translate(_WITHOUT).decode()


def _ascii_only(text: str) -> str:
    if text.isascii():
        return text
    if len(text.encode("utf-8", "replace")) > len(text) * 5 // 4:
        return text.translate(_CHARACTERS)
    return _BEYOND.sub(lambda found: found[0].translate(_CHARACTERS), text)


def place_before_folding(text: str, at: int) -> int:
    """Where a place of the folded text is in the text itself."""
    if text.isascii():
        return at
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    ends = list(accumulate(len(folded(piece)) for piece in pieces))
    piece = bisect_right(ends, at)
    if piece == len(pieces):
        return len(text)
    begun = ends[piece - 1] if piece else 0
    steps = accumulate(len(folded(character)) for character in pieces[piece])
    return piece * PIECE + bisect_right(list(steps), at - begun)
