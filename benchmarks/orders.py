"""How often harmless texts are taken for orders, how many hostile ones are found, and what a text costs.

`python benchmarks/orders.py` prints the figures of docs/reference/orders.md.
"""

import json
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
DATA = ROOT / "tests" / "data"
HALVES = ("seen", "kept back")
TEXTS = 60  # that are timed of each size
RANDOM = random.Random(1)  # noqa: S311 - the same mixture each time


def texts(name: str, half: str) -> list[str]:
    """The texts of a file and of one half of it."""
    rows = map(json.loads, (DATA / "texts" / f"{name}_texts.jsonl").read_text().splitlines())
    return [row["text"] for row in rows if row["half"] == half]


def shares() -> list[tuple[str, str, int, int]]:
    """For each set and half, how many of its texts speak to the agent, and how many there are."""
    from atlas.origins.orders import orders_in

    sets = [("hostile", half) for half in HALVES] + [("harmless", half) for half in HALVES]
    counted = []
    for name, half in [*sets, ("hostile", "natural")]:
        read = texts(name, half)
        counted.append((name, half, sum(bool(orders_in(text)) for text in read), len(read)))
    return counted


def _milliseconds(text: str) -> float:
    from atlas.origins.orders import orders_in

    began = time.thread_time()
    orders_in(text)
    return (time.thread_time() - began) * 1000


def _of_size(size: int) -> str:
    pool, text = texts("harmless", "seen"), ""
    while len(text) < size:
        text += f"{RANDOM.choice(pool)}\n\n"
    return text[:size]


def main() -> None:
    """Print the shares and the times."""
    for name, half, found, count in shares():
        print(f"{name:9} {half:10} {found:4} of {count:4} speak to the agent: {100 * found / count:.1f} %")
    for size in (10_000, 200_000):
        read = [_of_size(size) for _ in range(TEXTS)]
        took = sorted([_milliseconds(text) for _ in range(2) for text in read][TEXTS:])  # warm
        middle, most = took[TEXTS // 2], took[TEXTS * 95 // 100]
        print(f"{size:7} characters of many mails: {middle:.2f} ms of CPU, p95 {most:.2f} ms")


if __name__ == "__main__":
    main()
