"""The tool give_information: what an agent says to a person who asked about its call."""

from functools import partial
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools import ToolResult
from mcp.types import ToolAnnotations
from pydantic import Field

from atlas.agents.answers import GIVE_INFORMATION, outcome_answer
from atlas.agents.keys import current_principal
from atlas.agents.receipt import own_case
from atlas.cases.store import CaseStore
from atlas.errors import NoQuestion, RequestInvalid
from atlas.models import Case
from atlas.reviews.asking import LONGEST_ANSWER, answer_people

ABOUT = (
    "Answer what a person asks about a call of yours that waits (INFORMATION REQUESTED).\n\n"
    "Say what you know, and say so where you do not know it. The answer approves nothing."
)


def add_give_information(server: FastMCP, store: CaseStore) -> None:
    """Offer the tool, which is not governed: it tells people something of the caller's own cases."""

    @server.tool(
        name=GIVE_INFORMATION,
        title="Answer a question about a held call",
        description=ABOUT,  # and no docstring: see add_welfare_tools
        output_schema=None,
        annotations=ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
        ),
    )
    async def give_information(
        ref: Annotated[str, Field(description="The reference from the notice: evt_…")],
        text: Annotated[str, Field(description=f"The answer, up to {LONGEST_ANSWER} characters")],
    ) -> ToolResult:
        case = await own_case(store, ref)
        if case is None:
            # Another agent's reference is answered like one that never existed.
            raise ToolError(f"You have no call with the reference {ref}.")
        try:
            return outcome_answer(await keep_answer(store, case, text, way="tool"))
        except (NoQuestion, RequestInvalid) as error:
            raise ToolError(str(error)) from error


async def keep_answer(store: CaseStore, case: Case, text: str, *, way: str, known: int | None = None) -> Case:
    """Keep an answer of the present agent to what it is asked; raises NoQuestion and RequestInvalid."""
    by = current_principal()
    # A lone surrogate, which no file can hold, becomes a question mark.
    said = text.encode("utf-8", "replace").decode()
    answer = partial(answer_people, case_id=case.case_id, by=by, text=said, way=way, known=known)
    return await store.change(case.case_id, lambda connection: answer(connection))
