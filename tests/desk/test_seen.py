"""Text that others wrote is inert, isolated and readable on a page, and nothing in it stays unseen."""

import random
import re
import sys
import unicodedata
from html import unescape

import pytest

from atlas.desk.seen import FOLDED, INLINE, is_unseen, marked, seen, seen_plain, seen_text
from atlas.models import HIDDEN

TAGS = re.compile(r"<[^>]*>")


def text_in(markup: str) -> str:
    """What a reader sees of a piece of HTML."""
    return unescape(TAGS.sub("", str(markup)))


@pytest.mark.parametrize(
    ("hostile", "read"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\"><img src=x onerror=alert(1)>'", "\"><img src=x onerror=alert(1)>'"),
        ("&lt;b&gt; {{ 7 * 7 }} {% raw %}", "&lt;b&gt; {{ 7 * 7 }} {% raw %}"),
        ("pay\u202eexe.fdp", "payU+202Eexe.fdp"),  # turns the text round
        ("a\u2066b\u2069c\u200f", "aU+2066bU+2069cU+200F"),  # isolates, and a mark of direction
        ("zero\u200bwid\u200cth\ufeff", "zeroU+200BwidU+200CthU+FEFF"),
        ("\x1b[31mred\x1b]0;title\x07", "U+001B[31mredU+001B]0;titleU+0007"),  # a terminal obeys it
        ("\x9b2J\x85", "U+009B2JU+0085"),  # the same in C1
        ("null\x00byte\x7f", "nullU+0000byteU+007F"),
        ("line\r\nend\ttab\u2028\u2029", "lineU+000D↵end⇥tabU+2028U+2029"),
        ("\ud83d lone \udc00", "U+D83D lone U+DC00"),  # halves of characters, which no page can hold
        ("\U000e0069\U000e0067\U000e006e\U000e006f\U000e0072\U000e0065", "tags: ignore"),  # smuggled ASCII
        ("\u3164\uffa0\u115f\u1160\u2800", "U+3164U+FFA0U+115FU+1160U+2800"),  # letters without a shape
        ("a\ufe0fb\U000e0100", "aU+FE0FbU+E0100"),  # variation selectors carry bytes, too
        ("soft\u00adhy\u034fphen\u180e", "softU+00ADhyU+034FphenU+180E"),
        ("no\u00a0break\u3000wide", "noU+00A0breakU+3000wide"),  # blanks that compare as others
        ("\ue000\U0010ffff\ufdd0", "U+E000U+10FFFFU+FDD0"),  # private, and no characters at all
        ("p\u0430ypal", "pаypalCyrillic+Latin"),
        ("\uff41dmin", "ａdminFullwidth+Latin"),
        ("привет мир, 日本Tシャツ, naïve, Ελλάδα", "привет мир, 日本Tシャツ, naïve, Ελλάδα"),
        ("עברית and عربي", "עברית and عربي"),
        ("e" + "\u0301" * 9 + "x", "e\u0301\u0301\u0301U+0301 ×6x"),  # stacked over the lines around
        ("\u0301x", "U+0301x"),  # would sit on what stands before
        ("a" + " " * 200 + "b", "aU+0020 ×200b"),  # pushes the end out of sight
        ("a\u200b\u200b\u200bb", "aU+200B ×3b"),
    ],
)
def test_a_hostile_text_is_read_as_it_is(hostile: str, read: str) -> None:
    """One row for each way to hide, to turn round, to obey or to look like another."""
    assert text_in(seen(hostile)) == read
    assert str(seen(hostile)).startswith('<bdi class="seen">')
    str(seen(hostile)).encode()  # it can be sent


def test_no_character_of_unicode_stays_unseen_and_no_other_is_marked() -> None:
    """Every code point, one by one, between two letters."""
    for first in range(0, sys.maxunicode + 1, 0x1000):
        characters = [chr(code) for code in range(first, first + 0x1000)]
        kept = set(seen_plain("".join(f"a{character}" for character in characters), most=0x2000))
        shapeless = {item for item in characters if unicodedata.category(item) in (*HIDDEN, "Zs")} - {" "}
        assert not kept & shapeless
        assert {item for item in characters if is_unseen(item)} == set(characters) - kept


def test_any_text_gives_only_our_own_elements_and_loses_nothing() -> None:
    """Texts put together at random; what is not marked stands there character for character."""
    chance = random.Random(13)  # noqa: S311
    pool = "<>&\"'`=/{}%ab \n\té\u0301\u202e\u200b\x00\x1b\ud800\U000e0041\u3164я日א\U0001f600"
    for _ in range(500):
        text = "".join(chance.choices(pool, k=chance.randrange(60)))
        shown = str(marked(text))
        elements = set(re.findall(r"</?([a-z]*)[^>]*>", shown))
        assert elements <= {"span"}, text
        assert re.search(r"[<>\"'](?![^<]*>)(?!span|/span)", TAGS.sub("", shown)) is None, text
        plain = unescape(re.sub(r"<span[^>]*>.*?</span>", "", shown))
        kept = [character for character in text if character in plain]
        assert not any(map(is_unseen, plain)), text
        assert [character for character in "<>&\"'`=/{}%ab" if character in text] == [
            character for character in "<>&\"'`=/{}%ab" if character in kept
        ]


def test_a_megabyte_stays_small_and_says_how_much_more_there_is() -> None:
    """Within a line, and as a block that is folded, with a way to all of it."""
    long = "x" * 1_000_000
    assert text_in(seen(long)) == "x" * INLINE + f" … {1_000_000 - INLINE:,} more characters"
    block = str(seen_text(long, whole="/all"))
    assert len(block) < 2 * FOLDED
    assert "<details><summary>998,000 more characters</summary>" in block
    assert f"… {1_000_000 - FOLDED:,} more characters" in block
    assert '<a href="/all">' in block


def test_a_tall_text_is_folded_after_some_lines_and_empty_lines_are_counted() -> None:
    """A text can be long with few characters."""
    assert str(seen_text("a\n" * 100)).partition("<details>")[0].count("\n") == 40
    assert "↵ ×30" in str(seen_text("a" + "\n" * 30 + "b"))
    assert "<details>" not in str(seen_text("a\n\nb"))


def test_a_title_is_plain_and_shows_the_same() -> None:
    """Of `<title>` and of attributes a browser shows no elements."""
    assert seen_plain("<b>\u202e\n") == "<b>[U+202E][↵]"
    assert seen_plain("x" * 1000, 10) == "x" * 10 + "…"
    assert seen_plain(None) == ""
