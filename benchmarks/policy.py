"""What it costs to rule on a call by the shipped policy: p50 and p95 in milliseconds, CPU time beside them.

python benchmarks/policy.py [CALLS]

The rules for every tool are measured as they are, left out, and with conditions that only CEL can evaluate.
The session has read one text from outside.
"""

import asyncio
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from how_many import how_many
from percentiles import p95

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.origins.tracing import trace
from atlas.settings import Settings

READ = Earlier(tool_name="read_email", result="Please come to the office on Monday.", is_outside=True)
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("no condition", "modify_welfare_record", {"changes": {"status": "ended"}}),
    ("a read", "check_status", {"beneficiary_id": "BEN-123"}),
    ("one condition", "request_payment_extension", {"reason": "hospital stay, see D-17"}),
    ("a condition over a list", "request_extension", {"days": 7, "documents": ["D-17", "D-18"]}),
    ("no rule: the general rules", "send_money", {"amount": 900, "recipient": "someone@example.com"}),
]


def without_rules(policy: Policy) -> None:
    """Leave out the rules for every tool."""
    rules = tuple(rule for rule in policy.file.rules if rule.tool != "*")
    policy.file = policy.file.model_copy(update={"rules": rules})


def by_cel(policy: Policy) -> None:
    """Have CEL evaluate the conditions of the rules for every tool."""
    rules = tuple(
        rule.model_copy(update={"when": f"[{rule.when}] == [true]"}) if rule.tool == "*" else rule
        for rule in policy.file.rules
    )
    policy.file = policy.file.model_copy(update={"rules": rules})


WAYS = {"as shipped": None, "without them": without_rules, "by CEL": by_cel}


async def main(calls: int) -> None:
    """Print one line for each case, under each way."""
    for way in WAYS:
        print(f"The rules for every tool: {way}")
        for title, *_ in CASES:
            taken, cpu = await measured(way, title, calls)
            figures = f"p50 {median(taken):.3f}  p95 {p95(taken):.3f}  CPU {cpu:.3f}"
            print(f"  {title:28} {figures}")


async def measured(way: str, title: str, calls: int) -> tuple[list[float], float]:
    """Milliseconds of each ruling on a case, and of CPU time for one."""
    policy = Policy(Settings.model_fields["atlas_policy"].default, threshold=70)
    if (change := WAYS[way]) is not None:
        change(policy)
    [(tool, arguments)] = [case[1:] for case in CASES if case[0] == title]
    facts = ToolFacts(name=tool)
    asked = Question(tool=facts, arguments=arguments, principal="agent", earlier=(READ,))
    question = asked.model_copy(update={"trace": trace(asked, trusts_request=False)})
    await policy.rule(question)
    taken, cpu = [], time.process_time()
    for _ in range(calls):
        begun = time.perf_counter()
        await policy.rule(question)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken, (time.process_time() - cpu) * 1000 / calls


if __name__ == "__main__":
    asyncio.run(main(how_many(__doc__, usual=2000)))
