"""What the trace of a call says, in plain words: each value of its arguments, and which facts hold."""

from collections.abc import Iterator

from atlas.assessors import Question
from atlas.assessors.policy.facts import call_facts, session_facts
from atlas.models import plain_text
from atlas.traces import Origin


def about_trace(question: Question) -> list[str]:
    """A line for each value, and one for the facts that hold and for those that do not."""
    if question.trace is None:
        return ["Origins    where all values came from could not be found out, so that a person decides", ""]
    count = len([one for one in question.earlier if not one.is_other_session])
    facts = {f"call.{name}": value for name, value in call_facts(question).items()}
    facts |= {f"session.{name}": value for name, value in session_facts(question).items()}
    return [
        f"Session    {count or 'no'} earlier call{'' if count == 1 else 's'}"
        + ("" if count else " (--session: what the agent did and read before)"),
        f"Deed       {facts.pop('call.deed')}",
        f"Holds      {', '.join(name for name, holds in facts.items() if holds) or 'nothing'}",
        f"Holds not  {', '.join(name for name, holds in facts.items() if not holds) or 'nothing'}",
        *_about_origins(question.trace.origins),
        "",
    ]


def _about_origins(origins: tuple[Origin, ...]) -> Iterator[str]:
    width = max((len(plain_text(origin.path)) for origin in origins), default=0)
    for place, origin in enumerate(origins):
        target = " (target)" if origin.is_target else ""
        title = "Origins" if place == 0 else ""
        yield f"{title:11}{plain_text(origin.path):{min(width, 40)}}  {_came(origin)}{target}"


def _came(origin: Origin) -> str:
    tools = ", ".join(dict.fromkeys(plain_text(place.tool_name) for place in origin.found))
    ordered = ", in a passage that gives orders" if any(place.gives_orders for place in origin.found) else ""
    returned = f"{tools} returned it{ordered}"
    if origin.is_from_user:
        return "from the user" + (f", and {returned}" if tools else "")
    if not origin.is_traced and not origin.found:
        return "too short or too common to be compared"
    if origin.is_made:
        return "made by the agent"
    return f"from outside: {returned}" if origin.is_outside else f"from a tool: {returned}"
