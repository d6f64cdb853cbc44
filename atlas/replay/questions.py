"""The question that a call on record is: arguments, the tool as it was, its trace, the calls before it."""

import asyncio
import json
import re
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.agents.arguments import as_the_tool_takes_them
from atlas.assessors import Question, ToolFacts
from atlas.assessors.policy import Policy
from atlas.database.beside import Beside
from atlas.grounds.present import Present, as_it_is, facts_of, facts_of_definition
from atlas.models import NO_TOOL, ToolCall
from atlas.origins.agent import MOST_CALLS
from atlas.replay.past import Past
from atlas.traces import NO_TRACE, Trace
from atlas.welfare import built_in_tools

NAMES_TAGS = re.compile(r"\btags\b")
DEFINITION = sa.text("SELECT definition FROM definitions WHERE definition_sha256 = :sha256")
MOST_DEFINITIONS = 2000  # kept at once


def reads_tags(policy: Policy) -> bool:
    """Whether a condition can depend on the tags of a tool, which are not on record."""
    return any(NAMES_TAGS.search(rule.when or "") for rule in policy.file.rules)


class Questions:
    """Makes the question of each call."""

    def __init__(self, store: Beside) -> None:
        self._store = store
        self._built_in = asyncio.run(_built_in())
        self.facts = lru_cache(MOST_DEFINITIONS)(self._facts)

    def of(self, past: Past) -> Question:
        """The question that the gateway would ask of a call."""
        trace, call = _trace(past), _call(past)
        return Question(
            tool=self.facts(past.tool_name, past.definition_sha256),
            arguments=call.with_answers(self._as_taken(past, call.arguments)),
            answers_as=call.answers_name,
            principal=past.principal,
            intent=past.intent,
            user_request=past.user_request,
            earlier=past.earlier,
            # A trace says that it is not complete where the session had more calls than were given.
            knows_session=len(past.earlier) < MOST_CALLS or (trace is not None and trace.is_complete),
            trace=trace,
        )

    def has_definition(self, past: Past) -> bool:
        """Whether it is known what the tool was, or that it was not there."""
        facts = self.facts(past.tool_name, past.definition_sha256)
        return past.definition_sha256 == NO_TOOL or facts.definition_sha256 is not None

    def _facts(self, tool_name: str, sha256: str | None) -> ToolFacts:
        if sha256 in (None, NO_TOOL):
            return ToolFacts(name=tool_name)
        present = self._built_in.get(tool_name)
        if present is not None and present.sha256 == sha256:
            return facts_of(present, tool_name)

        def read(connection: Connection) -> Any:
            return connection.execute(DEFINITION, {"sha256": sha256}).first()

        row = self._store.look(read)
        return facts_of_definition(tool_name, str(sha256), json.loads(row[0]) if row else {})

    def _as_taken(self, past: Past, arguments: dict[str, Any]) -> dict[str, Any]:
        """As the tool takes them, where it is a built-in one that is still the same."""
        present = self._built_in.get(past.tool_name)
        if present is None or present.sha256 != past.definition_sha256:
            return arguments
        try:
            return as_the_tool_takes_them(present.tool, arguments)
        except ValueError:  # as the gateway does: a person decided
            return arguments


def _call(past: Past) -> ToolCall:
    return ToolCall(
        principal=past.principal,
        tool_name=past.tool_name,
        arguments=json.loads(past.arguments),
        arguments_sha256="",  # which no judge reads
        continuation=None if past.continuation is None else json.loads(past.continuation),
    )


def _trace(past: Past) -> Trace | None:
    if past.judged is None or past.judged.has_lost_trace:
        return None
    return NO_TRACE if past.judged.trace is None else Trace.model_validate_json(past.judged.trace)


async def _built_in() -> dict[str, Present]:
    """The tools that come with the gateway, by name."""
    return {name: as_it_is(tool) for name, tool in (await built_in_tools()).items()}
