"""What it costs to rule on a call by the shipped policy: p50 and p95 in milliseconds, CPU time beside them.

python benchmarks/policy.py [CALLS]
"""

import asyncio
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.settings import Settings

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("no condition", "modify_welfare_record", {"changes": {"status": "ended"}}),
    ("one condition", "request_payment_extension", {"reason": "hospital stay, see D-17"}),
    ("a condition over a list", "request_extension", {"days": 7, "documents": ["D-17", "D-18"]}),
    ("no rule: the general rules", "send_money", {"amount": 900, "recipient": "someone@example.com"}),
]


async def main(calls: int) -> None:
    """Print one line for each case."""
    policy = Policy(Settings.model_fields["atlas_policy"].default, threshold=70)
    for title, tool, arguments in CASES:
        question = Question(tool=ToolFacts(name=tool), arguments=arguments, principal="agent")
        await policy.rule(question)
        taken, cpu = [], time.process_time()
        for _ in range(calls):
            begun = time.perf_counter()
            await policy.rule(question)
            taken.append((time.perf_counter() - begun) * 1000)
        cpu = (time.process_time() - cpu) * 1000 / calls
        print(f"{title:28} p50 {median(taken):.3f}  p95 {quantiles(taken, n=20)[-1]:.3f}  CPU {cpu:.3f}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
