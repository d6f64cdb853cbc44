"""What holds for any value and any text: verbatim values are found, nothing raises, and time is bounded."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.origins.folding import folded, place_before_folding
from atlas.origins.forms import wanted
from atlas.origins.leaves import MOST_CHARACTERS, MOST_LEAVES, leaves_of
from atlas.origins.searchable import Searchable
from atlas.origins.tracing import trace
from atlas.origins.values import LONGEST_PASSAGE, find
from atlas.traces import How

SCALARS = some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=60)
ANY = some.recursive(
    SCALARS, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner), max_leaves=30
)
WORDS = some.text(some.characters(categories=["L", "N"]), min_size=1, max_size=20)
HOSTILE = some.sampled_from(
    (
        "%41" * 500,
        "a.a@" * 500,
        "\\u0041" * 500,
        "&amp;" * 500,
        "[" * 3000,
        "QUJD" * 500,
        "1,1" * 500,
        "+1 (1" * 500,
    )
)


@settings(max_examples=120, deadline=None, database=None)
@given(value=WORDS | some.text(max_size=80) | some.integers() | some.floats(), before=WORDS, after=WORDS)
def test_a_value_that_stands_between_blanks_is_always_found(value: Any, before: str, after: str) -> None:
    """If it is one that says something."""
    said = str(value)
    text = f"{before} {said} {after}"
    place = find(value, text)
    if wanted(value) is None:
        assert place is None
    else:
        assert place is not None
        assert place.how in (How.EXACT, How.NORMALISED)


@settings(max_examples=120, deadline=None, database=None)
@given(value=ANY | HOSTILE, text=some.text(max_size=300) | HOSTILE)
def test_nothing_that_is_looked_for_anywhere_raises(value: Any, text: str) -> None:
    """Not for any JSON, and not for lone surrogates, escapes that are no escapes, or halves of encodings."""
    place = find(value, text)
    assert place is None or len(place.passage) <= LONGEST_PASSAGE
    earlier = (Earlier(tool_name="read", result=text, is_outside=True),)
    asked = Question(
        tool=ToolFacts(name="send"),
        arguments={"it": value},
        principal="agent",
        user_request=text,
        earlier=earlier,
    )
    assert trace(asked, trusts_request=True).calls == 1


@settings(max_examples=80, deadline=None, database=None)
@given(text=some.text(max_size=600))
def test_a_place_of_the_folded_text_is_found_again_in_the_text(text: str) -> None:
    """Folding goes character by character, so that what stands before a place folds alone."""
    written = folded(text)
    for at in range(0, len(written), max(1, len(written) // 7)):
        place = place_before_folding(text, at)
        assert len(folded(text[:place])) <= at < len(folded(text[: place + 1]))


@settings(max_examples=60, deadline=None, database=None)
@given(arguments=some.dictionaries(some.text(max_size=5), ANY, max_size=5))
def test_leaves_are_bounded_and_their_paths_are_different(arguments: dict[str, Any]) -> None:
    """With any JSON."""
    leaves, _ = leaves_of(arguments)
    assert len(leaves) <= MOST_LEAVES
    assert sum(len(leaf.value) for leaf in leaves if isinstance(leaf.value, str)) <= MOST_CHARACTERS


def test_a_text_that_is_too_long_says_that_it_is_not_compared_whole() -> None:
    """Its memory is bounded, and the value behind the bound is not found."""
    form = Searchable("word " * 3_000_000 + "eve@example.net")
    assert form.is_partly_read
    assert form.size < 1_000_000
    assert find("eve@example.net", "word " * 3_000_000 + "eve@example.net") is None


def test_a_text_of_escapes_or_encodings_alone_says_that_they_were_not_all_read() -> None:
    """An author who hides one among thousands hides it from no person."""
    assert Searchable("%41" * 20_000).is_partly_read
    assert Searchable("QUJDREVGR0hJSktM " * 5_000).is_partly_read
    assert not Searchable("%41 and QUJDREVGR0hJSktM").is_partly_read


def test_arguments_that_are_too_many_too_long_or_too_deep_say_so() -> None:
    """What was compared is bounded."""
    deep: Any = "eve@example.net"
    for _ in range(5000):
        deep = [deep]
    for arguments in (
        {"to": ["a"] * 10_000},
        {"text": "a" * 4_000_000},
        {"deep": deep},
        {str(n): n for n in range(900)},
    ):
        _, is_whole = leaves_of(arguments)
        assert not is_whole
