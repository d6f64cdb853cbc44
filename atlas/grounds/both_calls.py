"""What is asked of people where one of them changed the arguments: what the policy asks for both calls.

Else a person could change a call into one on which fewer people decide, and another judgement of it, such as
after a change of the policy, would ask for no more than the changed call does.
"""

import math

from atlas.models import Assessment, Ruling


def of_both_calls(first: Assessment | None, ruled: Assessment) -> Assessment:
    """An assessment of the changed call, with what the first one asks of people where it is stricter."""
    before, after = first.ruling if first else None, ruled.ruling
    if before is None or after is None:
        return ruled
    old, new = before.review, after.review
    review = new.model_copy(
        update={
            "is_separate": old.is_separate or new.is_separate,
            "trainings": tuple(dict.fromkeys((*new.trainings, *old.trainings))),
            "needs_passkey": old.needs_passkey or new.needs_passkey,
            "may_edit": tuple(path for path in new.may_edit if path in old.may_edit),
            "undo_seconds": max(old.undo_seconds, new.undo_seconds),
            "hides_score": old.hides_score or new.hides_score,
            "reason_from": _lower(old.reason_from, new.reason_from),
            "min_seconds": max(old.min_seconds, new.min_seconds),
        }
    )
    return ruled.model_copy(
        update={"ruling": after.model_copy(update=_people(before, after) | {"review": review})}
    )


def _lower(one: int | None, other: int | None) -> int | None:
    given = [score for score in (one, other) if score is not None]
    return min(given, default=None)


def _people(before: Ruling, after: Ruling) -> dict[str, object]:
    """Who has to approve: of each list that is named as many as one of the two calls asks for."""
    lists = tuple(dict.fromkeys((*_lists(after), *_lists(before))))
    each = max(_of_each(before), _of_each(after))
    named = tuple(dict.fromkeys(name for one in lists for name in one))
    several = len(lists) > 1
    return {
        "approvals": each * max(1, len(lists)),
        "reviewers": named,
        "each_of": lists if several else (),
    }


def _lists(ruling: Ruling) -> tuple[tuple[str, ...], ...]:
    return ruling.each_of or ((ruling.reviewers,) if ruling.reviewers else ())


def _of_each(ruling: Ruling) -> int:
    """How many of each list have to approve."""
    return math.ceil(ruling.approvals / max(1, len(_lists(ruling))))
