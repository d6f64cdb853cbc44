"""Whether a policy still vouches for a tool from elsewhere: its rules were written for what the tool was.

They are about the first definition of an upstream tool that is seen under a policy file. A different one is
for a person, until it is the first one again, a rule names it, or the file changes: its editor has looked. A
call is for a person, too, while its tool is not there, because no one knows what would run.
"""

from functools import partial

from sqlalchemy.engine import Connection

from atlas.assessors import ToolFacts
from atlas.cases.definitions import differences, first_definition, note_first_definition, read_definition
from atlas.database.database import Database
from atlas.instants import now
from atlas.models import Ruling


async def as_first_seen(ruling: Ruling, tool: ToolFacts, database: Database, *, threshold: int) -> Ruling:
    """The ruling; of a tool that is missing, or changed since the policy did, one that wants a person."""
    present = tool.definition_sha256
    if ruling.is_denied:
        return ruling
    if present is None:
        return for_a_person(ruling, f"The tool {tool.name} is not there.", threshold=threshold)
    if not is_bound_to_first(ruling, tool):
        return ruling
    first = await _first_seen(database, tool.name, ruling.policy_sha256, present)
    if first == present:
        return ruling

    def compare(connection: Connection) -> str:
        return differences(read_definition(connection, first), read_definition(connection, present))

    what = await database.read(compare)
    reason = (
        f"The tool {tool.name} changed after the policy file was last edited: {what}. "
        "A person must approve it until the policy is updated."
    )
    return for_a_person(ruling, reason, threshold=threshold)


def is_bound_to_first(ruling: Ruling, tool: ToolFacts) -> bool:
    """Whether what was ruled holds for the first definition of the tool alone."""
    return not (ruling.is_denied or ruling.is_pinned or tool.upstream is None)


def for_a_person(ruling: Ruling, reason: str, *, threshold: int) -> Ruling:
    """The ruling with a score, and a floor for every model, that put the call before a person."""
    raised = {"score": max(ruling.score, threshold), "floor": max(ruling.floor, threshold)}
    # What a person approved beforehand was the tool as it was.
    review = ruling.review.model_copy(update={"allows_plans": False})
    return ruling.model_copy(update=raised | {"review": review, "rationale": f"{reason} {ruling.rationale}"})


async def _first_seen(database: Database, tool_name: str, policy_sha256: str, present: str) -> str:
    """The digest of the tool's first definition under the policy: the present one, if it is new."""
    key = (tool_name, policy_sha256)
    first = await database.read(lambda connection: first_definition(connection, *key))
    if first is None:
        note = partial(note_first_definition, sha256=present, at=now())
        first = await database.write(lambda connection: note(connection, *key))
    return first
