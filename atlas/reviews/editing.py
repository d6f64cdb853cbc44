"""An approval with changed arguments: judged beforehand, it begins another round of its case."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import anyio
import sqlalchemy as sa
from fastmcp import FastMCP
from fastmcp.exceptions import ValidationError
from sqlalchemy.engine import Connection

from atlas.agents.arguments import check_arguments
from atlas.canonical import NotCanonical, canonical_json, digest_of_call, form_of_call
from atlas.errors import (
    AskedAgain,
    AtlasError,
    CallChanged,
    CaseFinished,
    RequestInvalid,
    RuleRefuses,
)
from atlas.grounds.editing import begin_edited_round
from atlas.grounds.present import fit_to_show
from atlas.instants import now
from atlas.models import Assessment, Case, Edit, Status, ToolCall
from atlas.people.votes import Vote
from atlas.reviews.changing import (
    MAY_EDIT,
    arguments_with,
    changes_between,
    changes_of,
    check_allowed,
    paths_of,
)
from atlas.reviews.permission import check_person
from atlas.reviews.situation import Situation
from atlas.reviews.tables import edits

MOST_EDITS = 20  # of one case: each begins a round, with its own time to decide
LOOKUP_SECONDS = 10.0  # for the tool that has to take the arguments

Rules = Callable[[Case], Awaitable[Assessment]]
Accepts = Callable[[ToolCall], Awaitable[str | None]]  # the digest of the definition that takes the call


@dataclass(frozen=True)
class Wanted:
    """A case with other arguments, as the policy judges it before it is recorded."""

    edit: Edit
    ruled: Assessment
    definition_sha256: str | None  # of the tool that takes them


class Editing:
    """Judges what a person wants instead, before the transaction that records it."""

    def __init__(self, *, rule: Rules, accepts: Accepts) -> None:
        self._rule = rule
        self._accepts = accepts

    async def wanted(self, case: Case, vote: Vote) -> Wanted | None:
        """What the vote wants changed of a case that waits; None: nothing. Raises RequestInvalid."""
        if vote.arguments is None or case.round_number != vote.round_number:
            return None
        edit = edit_of(case, vote)
        if edit.arguments_sha256 == case.call_in_force.arguments_sha256:
            return None
        changed = case.model_copy(update={"edit": edit})
        accepted = await self._accepts(changed.call_in_force)
        return Wanted(edit, await self._rule(changed), accepted)

    async def allowed(self, case: Case, ruled: Assessment | None) -> tuple[str, ...]:
        """What the policy in force lets people change of what the agent proposed."""
        if case.edit is not None:
            ruled = await self._rule(case.model_copy(update={"edit": None}))
        return ruled.ruling.review.may_edit if ruled is not None and ruled.ruling is not None else ()


async def no_edits(call: ToolCall) -> str | None:
    """Refuse all changed arguments, where no tool can be asked whether it takes them."""
    raise RequestInvalid(reason=f"No one can say whether {call.tool_name} takes these arguments.")


async def accepted_by(server: FastMCP, call: ToolCall, *, most_kilobytes: int) -> str | None:
    """The digest of the tool's definition, whose schema takes the call as the admission has it checked.

    Raises RequestInvalid.
    """
    if len(canonical_json(form_of_call(call.arguments, call.continuation))) > most_kilobytes * 1024:
        raise RequestInvalid(
            reason=f"These arguments have more than {most_kilobytes} KB, which is the limit."
        )
    with anyio.fail_after(LOOKUP_SECONDS):
        present = fit_to_show(await server.get_tool(call.tool_name))
    if present.tool is None:
        raise RequestInvalid(reason=f"The tool {call.tool_name} is not there. Nothing was approved.")
    try:
        await check_arguments(present.tool, call.arguments)
    except ValidationError as error:
        raise RequestInvalid(reason=f"{error} Nothing was approved.") from error
    return present.sha256


def edit_of(case: Case, vote: Vote) -> Edit:
    """The edit that a vote asks for, in the round after its own; raises RequestInvalid."""
    arguments = arguments_with(case.call.arguments, vote.arguments or {})
    return Edit(
        round_number=vote.round_number + 1,
        arguments=arguments,
        arguments_sha256=_digest_of(arguments, case.call.continuation),
        edited_by=vote.reviewer,
        edited_at=now(),
    )


def _digest_of(arguments: dict[str, Any], continuation: dict[str, Any] | None) -> str:
    try:
        return digest_of_call(arguments, continuation)
    except NotCanonical as error:  # with what the agent added, they have a level more
        raise RequestInvalid(reason="These arguments have too many levels. Nothing was done.") from error


def is_said_again(case: Case, vote: Vote) -> bool:
    """Whether the newest round of a case began with this very vote."""
    edit = case.edit
    if vote.arguments is None or edit is None or edit.edited_by != vote.reviewer:
        return False
    is_next = case.round_number == edit.round_number == vote.round_number + 1
    return is_next and edit_of(case, vote).arguments_sha256 == edit.arguments_sha256


def check_edit_allowed(case: Case, may_edit: tuple[str, ...]) -> None:
    """Raise RuleRefuses where a policy that came later does not let people change what was changed."""
    check_allowed(changes_of(case), may_edit)


def check_may_edit(
    connection: Connection,
    case: Case,
    vote: Vote,
    owners: frozenset[str],
    *,
    wanted: Wanted,
    may_edit: tuple[str, ...],
) -> None:
    """Raise what keeps a person from changing a case that waits: its state, the rules, or the policy."""
    if case.status is not Status.PENDING_REVIEW or case.decision is not None:
        raise CaseFinished(case_id=case.case_id, status=case.status.value)
    count = sa.select(sa.func.count()).select_from(edits).where(edits.c.case_id == case.case_id)
    if (connection.scalar(count) or 0) >= MOST_EDITS:
        reason = f"The arguments were changed {MOST_EDITS} times, which is the limit. Approve or reject them."
        raise RuleRefuses(rule=MAY_EDIT, reason=reason)
    check_allowed(tuple(changes_between(case.call.arguments, wanted.edit.arguments)), may_edit)
    if wanted.ruled.is_denied:
        reason = f"The policy denies this call with these arguments: {wanted.ruled.rationale}"
        raise RuleRefuses(rule=MAY_EDIT, reason=reason)
    _check_same(case, wanted)
    # The rules on the agent's call have to let this person approve; those on the changed one are asked later.
    check_person(Situation(connection, case, owners), vote)


def _check_same(case: Case, wanted: Wanted) -> None:
    """Raise CallChanged if tool or policy changed while the edit was judged."""
    judged = case.assessment.ruling if case.assessment else None
    ruling = wanted.ruled.ruling
    is_same = judged is not None and ruling is not None and judged.policy_sha256 == ruling.policy_sha256
    tools = {wanted.definition_sha256, wanted.ruled.definition_sha256, case.definition_sha256}
    if not is_same or len(tools) != 1:
        reason = "Tool or policy changed while the new arguments were judged."
        raise CallChanged(case_id=case.case_id, reason=reason, then="Look at it again, and then decide.")


def begin_edit(
    connection: Connection,
    case: Case,
    vote: Vote,
    timeout: timedelta,
    wanted: Wanted,
    may_edit: tuple[str, ...],
) -> tuple[Case, Vote]:
    """The case in the round of the edit, and the vote as it counts there."""
    paths = paths_of(tuple(changes_between(case.call.arguments, wanted.edit.arguments)), may_edit)
    case = begin_edited_round(connection, case, wanted.ruled, timeout, edit=wanted.edit, paths=paths)
    return case, replace(vote, round_number=case.round_number, seen_sha256=None, idempotency_key=None)


def read_too_early(case: Case) -> CallChanged:
    """What to raise where a round began between the look at a case and the transaction that takes an edit."""
    reason = f"Round {case.round_number} began while the new arguments were judged."
    return CallChanged(case_id=case.case_id, reason=reason, then="Send the same once more.")


def in_new_round(again: AtlasError, case: Case) -> AtlasError:
    """What a person is asked once more, where the arguments are changed by then."""
    if not isinstance(again, AskedAgain):
        return again
    now_is = f"The arguments are changed. The call waits in round {case.round_number}: approve that"
    at_desk = {"reason": f"{again.fields['reason']} {now_is}, as the page shows it now."}
    return AskedAgain(reason=f'{again.fields["reason"]} {now_is} ("round").', at_desk=at_desk)


def needs_second_look(case: Case) -> bool:
    """Whether an approval needs a passkey, which signs the changed call, and so a round that is there."""
    ruling = case.assessment.ruling if case.assessment else None
    return ruling is not None and ruling.review.needs_passkey
