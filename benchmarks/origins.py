"""What it costs to find where the arguments of a call came from: p50 and p95 in milliseconds of CPU time.

python benchmarks/origins.py [CALLS]
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from how_many import how_many
from percentiles import p95

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.origins.leaves import leaves_of
from atlas.origins.search import Search
from atlas.origins.searchable import Searchable
from atlas.origins.tracing import trace

RESULTS, CHARACTERS = 100, 10_000
SYLLABLES = [consonant + vowel for consonant in "bdfklmnprst" for vowel in "aeio"]
FIXED = ["the", "of", "and", "to", "in", "for", "is", "on", "that", "with", "as", "at", "by", "this", "from"]


def main(calls: int) -> None:
    """Print one line for each case."""
    chance = random.Random(14)  # noqa: S311 - no secret hangs on it
    vocabulary = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(6000)]
    texts = [_result(chance, vocabulary) for _ in range(calls + RESULTS)]
    print(f"{'':46}    p50    p95   (ms of CPU)")
    _show("index a result of 10 KB", [_timed(lambda text=text: Searchable(text)) for text in texts[:calls]])
    for number in (0, RESULTS):
        _calls(f"trace a call of 10 leaves, {number} results", chance, texts, calls, number)
    hostile = {
        "index a result of 16 MB": lambda: Searchable("Lorem ipsum 12,5 " * 1_000_000),
        "index a result of tiny words": lambda: Searchable("a b c 1 " * 2_000_000),
        "index a result of percent signs": lambda: Searchable("%41&amp;\\u0041" * 200_000),
        "index a result of base64": lambda: Searchable("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo= " * 5_000),
        "index a result of other letters": lambda: Searchable("еѵе привет " * 20_000),
    }
    for title, run in hostile.items():
        _show(title, [_timed(run) for _ in range(20)])
    earlier = tuple(Earlier(tool_name="read", result=text, is_outside=True) for text in texts[:RESULTS])
    for title, arguments in _hostile_arguments().items():
        _show(title, [_timed(lambda said=arguments: _search(earlier, said)) for _ in range(20)])


def _result(chance: random.Random, vocabulary: list[str]) -> str:
    """A text as mails and JSON have it: words, addresses, amounts, dates."""
    made, length = [], 0
    while length < CHARACTERS:
        word = chance.choice(vocabulary)
        kind = chance.random()
        if kind < 0.3:
            word = chance.choice(FIXED)
        elif kind < 0.33:
            word = f"{word}@{chance.choice(vocabulary)}.net"
        elif kind < 0.36:
            word = f"https://www.{chance.choice(vocabulary)}.net/{word}?id={chance.randint(1, 9999)}"
        elif kind < 0.42:
            word = f"{chance.randint(1, 99999):,}.{chance.randint(10, 99)}"
        elif kind < 0.44:
            word = f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T10:00:00Z"
        elif kind < 0.5:
            word = f'"{word.title()}",\n'
        made.append(word)
        length += len(word) + 1
    return " ".join(made)[:CHARACTERS]


def _calls(title: str, chance: random.Random, texts: list[str], calls: int, number: int) -> None:
    """Each call comes after one new result, which is made searchable within the time that is taken."""
    earlier = [
        Earlier(tool_name="read", result=text, is_outside=place % 2 == 0)
        for place, text in enumerate(texts[:number])
    ]
    _search(earlier, {})
    searched, traced = [], []
    for text in texts[number : number + calls]:
        said = _arguments(chance, earlier[-1].result if earlier else text)
        if number:
            earlier = [*earlier[1:], Earlier(tool_name="read", result=text, is_outside=True)]
        question = Question(
            tool=ToolFacts(name="send_mail"), arguments=said, principal="agent", earlier=tuple(earlier)
        )
        searched.append(_timed(lambda said=said, earlier=earlier: _search(earlier, said)))
        traced.append(_timed(lambda question=question: trace(question, trusts_request=True)))
    _show(f"{title}: the search, with a new result", searched)
    _show(f"{title}: the whole trace", traced)


def _arguments(chance: random.Random, text: str) -> dict[str, Any]:
    words = text.split()
    some = lambda: chance.choice(words)  # noqa: E731
    return {
        "recipient": next((word for word in words if "@" in word), "eve@example.net"),
        "subject": " ".join(some() for _ in range(4)),
        "body": " ".join(some() for _ in range(40)),
        "amount": 1234.5,
        "iban": "DE89 3704 0044 0532 0130 00",
        "due": "2026-05-15",
        "url": next((word for word in words if "http" in word), "https://example.net/a"),
        "priority": "high",
        "is_urgent": True,
        "reference": f"INV-{chance.randint(1000, 9999)}",
    }


def _search(earlier: Any, said: dict[str, Any]) -> None:
    Search(earlier).sought(leaves_of(said)[0])


def _hostile_arguments() -> dict[str, dict[str, Any]]:
    deep: Any = "eve@example.net"
    for _ in range(5_000):
        deep = [deep]
    return {
        "a call of 10,000 leaves": {"to": [f"eve{number}@example.net" for number in range(10_000)]},
        "a call with a text of 4 MB": {"body": "Lorem ipsum dolor " * 230_000},
        "a call with 4 MB of one letter": {"body": "a" * 4_000_000},
        "a call with 4 MB of one joined word": {"body": "a.a@" * 1_000_000},
        "a call nested 5,000 deep": {"body": deep},
    }


def _timed(run: Callable[[], object]) -> float:
    begun = time.thread_time()
    run()
    return (time.thread_time() - begun) * 1000


def _show(title: str, taken: list[float]) -> None:
    print(f"{title:62} {median(taken):6.3f} {p95(taken):6.3f}")


if __name__ == "__main__":
    main(how_many(__doc__, usual=300))
