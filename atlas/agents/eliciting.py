"""What a person asks, put to the agent's client as an elicitation, where it takes such: form and answer."""

import asyncio
import logging
from typing import Any

from fastmcp.server.context import Context
from mcp.server.session import ServerSession
from mcp.types import ElicitRequest, ElicitRequestFormParams

from atlas.agents.give_information import keep_answer
from atlas.cases.store import CaseStore
from atlas.cases.watch import Watch
from atlas.models import Case, plain_text
from atlas.reviews.asking import LONGEST_ANSWER

ANSWER = "answer"  # the one field of the form
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {ANSWER: {"type": "string", "title": "Your answer", "maxLength": LONGEST_ANSWER}},
    "required": [ANSWER],
}

logger = logging.getLogger(__name__)


def takes_elicitations(session: ServerSession) -> bool:
    """Whether the client of a session says that it can be asked by a form."""
    capabilities = session.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def form_of(case: Case) -> ElicitRequest:
    """What is asked, as the form of one answer to all of it."""
    asked = (f"“{one.question}”" for one in case.open_questions)
    head = f"A person decides on the call {plain_text(case.call.tool_name)} (Ref: {case.case_id}) and asks:"
    message = "\n".join([head, *asked])
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=SCHEMA))


def text_in(action: Any, content: Any) -> str | None:
    """The answer in what a client sends back; None: it declined, or sent none."""
    said = content.get(ANSWER) if action == "accept" and isinstance(content, dict) else None
    return said if isinstance(said, str) else None


async def elicit(context: Context, store: CaseStore, watch: Watch, *, seconds: float) -> Case:
    """Ask the client of a held call, until it answers, someone else did, or time is up.

    Where it cannot be asked, or declines, the case comes back with its question still open.
    """
    session = context.session
    if seconds <= 0 or not (session.can_send_request and takes_elicitations(session)):
        return watch.case
    asking = asyncio.create_task(_ask(context, store, watch.case))
    known = len(watch.case.questions)
    try:
        return await watch.until(
            lambda case: asking.done() or not case.open_questions or len(case.questions) > known,
            seconds=seconds,
        )
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def _ask(context: Context, store: CaseStore, case: Case) -> None:
    form = form_of(case).params
    assert isinstance(form, ElicitRequestFormParams)  # noqa: S101  (made above)
    try:
        answered = await context.session.elicit_form(
            form.message, form.requested_schema, related_request_id=context.request_id
        )
        text = text_in(answered.action, answered.content)
        if text is not None:
            await keep_answer(store, case, text, way="elicitation", known=len(case.questions))
    except Exception as error:  # the agent reads the question in the answer to its call
        logger.warning("An agent could not be asked in its call: %s", type(error).__name__)
