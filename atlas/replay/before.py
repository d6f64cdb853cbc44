"""What an agent did and read before each of its calls on record, where a policy can depend on it."""

import re
from functools import lru_cache

from sqlalchemy.engine import Connection

from atlas.assessors import Earlier
from atlas.assessors.policy import Policy
from atlas.instants import read_instant
from atlas.models import Case, ToolCall
from atlas.origins.recollection import Recollection
from atlas.replay.past import Past
from atlas.replay.span import Span

COUNTS = re.compile(r"\b(?:calls|sum)\b")  # `session.calls()` and `session.sum()`, however they are written
MOST_TOOLS = 10_000


class Before:
    """Follows the ledger to each call, as the memory of the gateway did."""

    def __init__(self, policy: Policy, span: Span) -> None:
        self._policy = policy
        self._recollection = Recollection(idle=span.idle)
        self.counts_for = lru_cache(MOST_TOOLS)(self._counts_for)

    def earlier(self, connection: Connection, past: Past) -> tuple[Earlier, ...]:
        """The calls of the same agent before this one, with their answers; none where no rule reads them."""
        if past.judged is None or past.judged.trace is None or not self.counts_for(past.tool_name):
            return ()
        return self._recollection.records(connection, _case(past))

    def _counts_for(self, tool_name: str) -> bool:
        """Whether what the policy says of a tool's calls can depend on what was before."""
        rules = [rule for rule in self._policy.file.rules if rule.fits(tool_name) and not rule.only_marks]
        if any(COUNTS.search(rule.when or "") for rule in rules):
            return True
        always = [rule for rule in rules if rule.when is None]
        is_named = any(
            rule.names_one_tool or (rule.score is not None and rule.definition is None) for rule in always
        )
        return self._policy.file.unknown_tools == "general" and not is_named


def _case(past: Past) -> Case:
    """As much of a case as its place among the others takes."""
    call = ToolCall(
        principal=past.principal,
        tool_name=past.tool_name,
        arguments={},
        arguments_sha256="",
        session=past.session,
    )
    return Case(case_id=past.case_id, call=call, status=past.status, opened_at=read_instant(past.opened_at))
