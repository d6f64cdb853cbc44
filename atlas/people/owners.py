"""Who owns an agent cannot approve its calls; to reject them is open to all."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from atlas.errors import NotPermitted
from atlas.models import Approval, Case, as_seen
from atlas.people.votes import Vote

NO_OWNERS: Mapping[str, frozenset[str]] = MappingProxyType({})  # by agent, their names as they are seen


def check_owner(case: Case, vote: Vote, owners: frozenset[str]) -> None:
    """Raise NotPermitted if one of the agent's owners would approve its call, or a name that no one checked.

    An owner could claim another name.
    """
    if not owners:
        return
    agent = case.call.principal
    if not vote.is_signed:
        raise NotPermitted(
            reason=f"Case {case.case_id} is a call of {agent}, which has an owner (ATLAS_AGENT_OWNERS). "
            "To approve it takes a name that is checked: your own sign-in, or a reviewer's key that has a "
            "name. Nothing was approved."
        )
    if as_seen(vote.reviewer) in owners:
        raise NotPermitted(
            reason=f"{vote.reviewer} owns the agent {agent} (ATLAS_AGENT_OWNERS), and cannot approve its "
            f"case {case.case_id}. Another person has to. You can reject it. Nothing was approved."
        )


def not_of(owners: frozenset[str], approvals: Sequence[Approval]) -> list[Approval]:
    """The approvals that count: those that no owner gave, and none gave for an owner.

    That holds also for those from before the settings said who owns it.
    """
    return [
        one
        for one in approvals
        if as_seen(one.reviewer) not in owners and as_seen(one.on_behalf_of or "") not in owners
    ]
