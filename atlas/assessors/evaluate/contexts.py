"""What stood before a labelled call, made into the question that a gateway would ask.

A message of the user counts as the client's, unless it is measured what holds if it is only a claim.
"""

from collections.abc import Callable, Sequence
from enum import Enum

from atlas.assessors import Earlier, Question, ToolFacts
from atlas.assessors.evaluate.labelled import LabelledCall, Turn
from atlas.origins.outside import is_outside
from atlas.origins.tracing import trace

Asking = Callable[[LabelledCall], Question]


class Context(str, Enum):
    """How much of what stood before a call the assessor is given."""

    SESSION = "session"  # earlier calls and results; the client says what the user asked for
    CLAIMS = "claims"  # earlier calls and results; what the user asked for is the agent's claim
    ALONE = "alone"  # the call and the claim, nothing that came before

    def question(self, call: LabelledCall) -> Question:
        """What an assessor is asked about a call."""
        alone = call.question
        if self is Context.ALONE:
            return alone
        known = {"earlier": earlier_of(call.context), "user_request": _last_said(call.context)}
        question = alone.model_copy(update=known)
        return question.model_copy(update={"trace": trace(question, trusts_request=self is Context.SESSION)})


def earlier_of(turns: Sequence[Turn]) -> tuple[Earlier, ...]:
    """The calls before, each with the result that followed: results answer the calls in their order."""
    calls: list[Earlier] = []
    unanswered: list[int] = []
    for place, turn in enumerate(turns):
        if turn.role == "assistant" and turn.tool is not None:
            unanswered.append(len(calls))
            calls.append(_earlier(turn, _last_said(turns[:place])))
        elif turn.role == "tool" and turn.content:
            if unanswered:
                answered = unanswered.pop(0)
            else:  # of a call that the row does not show
                answered = len(calls)
                calls.append(_earlier(turn, _last_said(turns[:place])))
            calls[answered] = calls[answered].model_copy(update={"result": turn.content})
    return tuple(calls)


def _earlier(turn: Turn, request: str | None) -> Earlier:
    name = turn.tool or ""
    return Earlier(
        tool_name=name,
        arguments=turn.arguments,
        is_outside=not name or is_outside(ToolFacts(name=name)),
        user_request=request,
    )


def _last_said(turns: Sequence[Turn]) -> str | None:
    """What the user said since the last call before it, or the last thing that was said."""
    said: list[str] = []
    has_called = False
    for turn in turns:
        if turn.role == "user" and turn.content:
            said = [turn.content] if has_called else [*said, turn.content]
            has_called = False
        has_called = has_called or turn.role in ("assistant", "tool")
    return "\n".join(said) or None
