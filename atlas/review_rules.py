"""What a policy asks of the people who decide on a call, beside reviewers, approvals and time."""

from collections.abc import Collection

from pydantic import Field

from atlas.frozen import Frozen

GROUP = "group:"  # before the name of a group, where a rule or an escalation names one


class Escalation(Frozen):
    """To whom a case goes that waits too long."""

    after_seconds: int = Field(ge=1)  # since it was put before a person, or of working time
    to: str  # a name, or `group:` and the name of a group


class ReviewRules(Frozen):
    """What the rules that match a call ask of its review; the strictest of them holds."""

    is_separate: bool = (
        False  # neither the agent's owner, nor anyone of an earlier round, nor their delegates
    )
    trainings: tuple[str, ...] = ()  # each of which a person needs to approve
    needs_passkey: bool = False  # to approve takes a passkey with user verification
    may_edit: tuple[str, ...] = ()  # paths of arguments that a person may change before they approve
    undo_seconds: int = Field(default=0, ge=0)  # the begin is delayed by so long, and can be taken back
    # By so long a question to the agent extends the time to decide, once a case; None: not at all.
    answer_seconds: int | None = None
    escalations: tuple[Escalation, ...] = ()  # in the order of time
    in_working_hours: bool = False  # time to decide, reminders and escalations count working hours alone
    hides_score: bool = False  # until a person has made a first choice
    reason_from: int | None = Field(default=None, ge=0, le=100)  # from this score on a reason has to be typed
    min_seconds: int = Field(default=0, ge=0)  # a decision faster than that is asked for once more
    allows_plans: bool = False  # whether a plan approved beforehand can let the call pass


def group_of(reviewer: str) -> str | None:
    """The group that an entry of `reviewers` names; None: it names a person."""
    return reviewer.removeprefix(GROUP) if reviewer.startswith(GROUP) else None


def has_groups(reviewers: Collection[str]) -> bool:
    """Whether some of these are groups, so that the number of people is not known."""
    return any(group_of(reviewer) is not None for reviewer in reviewers)
