"""What the policy asks of the people who decide on a call, in plain words: who, when, and what else."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from atlas.models import Ruling
from atlas.review_rules import group_of, has_groups

REMINDERS = {"half": 0.5, "nine tenths": 0.9}  # of the time to decide


Members = Mapping[str, Collection[str]]  # by group


def about_review(ruling: Ruling, *, usual: timedelta, members: Members | None = None) -> list[str]:
    """A line for each thing; `usual` is ATLAS_REVIEW_TIMEOUT, `members` who belongs to which group."""
    said = [*_who(ruling, members), *_when(ruling, usual, members), *_what_else(ruling)]
    return [f"{name:<10} {text}" for name, text in said]


def _named(reviewer: str, members: Members | None) -> str:
    """A name, or a group with those who belong to it now."""
    group = group_of(reviewer)
    if group is None or members is None:
        return reviewer
    return f"{reviewer} ({', '.join(sorted(members.get(group, ()))) or 'no one belongs to it yet'})"


def _who(ruling: Ruling, members: Members | None) -> Iterator[tuple[str, str]]:
    review = ruling.review
    yield "Reviewers", ", ".join(_named(one, members) for one in ruling.reviewers) or "every reviewer"
    yield "Approvals", str(ruling.approvals)
    named = len(set(ruling.reviewers))
    if ruling.reviewers and not has_groups(ruling.reviewers) and ruling.approvals > named:
        yield "Careful", "No one can approve this: fewer may decide than have to approve."
    if review.is_separate:
        yield "Separate", "not the owner of the agent, not a person of an earlier round, no delegate of them"
    if review.trainings:
        yield "Training", f"each of them needs: {', '.join(review.trainings)}"
    if review.needs_passkey:
        yield "Passkey", "an approval takes one, at the desk"


def _when(ruling: Ruling, usual: timedelta, members: Members | None) -> Iterator[tuple[str, str]]:
    review, seconds = ruling.review, ruling.review_seconds
    time = timedelta(seconds=seconds) if seconds else usual
    of_working = " of working time" if review.in_working_hours else ""
    where = "" if seconds else ", as ATLAS_REVIEW_TIMEOUT says"
    yield "Time", f"{time}{of_working}{where}; then it expires, which is a refusal"
    yield "Reminders", ", ".join(f"after {time * share} ({name})" for name, share in REMINDERS.items())
    for step in review.escalations:
        after = timedelta(seconds=step.after_seconds)
        is_late = "; too late: the time is over before" if after >= time else ""
        yield "Escalates", f"after {after}{of_working} to {_named(step.to, members)}{is_late}"
    if review.answer_seconds is not None:
        yield "Question", f"a question to the agent extends the time once by {_time(review.answer_seconds)}"
    if review.undo_seconds:
        yield "Undo", f"an approval can be taken back for {_time(review.undo_seconds)}; the call begins then"


def _what_else(ruling: Ruling) -> Iterator[tuple[str, str]]:
    review = ruling.review
    if review.may_edit:
        yield "Changes", f"a person may change {', '.join(review.may_edit)}"
    if review.hides_score:
        yield "Score", "hidden until a person has made a first choice"
    if review.reason_from is not None:
        yield "Reason", f"typed, for an approval from a score of {review.reason_from} on"
    if review.min_seconds:
        yield "Asks again", f"where an approval comes within {review.min_seconds} seconds of the opening"
    yield "Plans", "a plan may let it pass" if review.allows_plans else "no plan lets it pass"


def _time(seconds: int) -> str:
    return str(timedelta(seconds=seconds))
