"""What a person saw of a case before they approved it: one digest of call, tool, policy, score and round."""

from collections.abc import Iterator

from atlas.canonical import digest
from atlas.errors import CallChanged
from atlas.models import Case


def digest_of_seen(case: Case, *, is_score_hidden: bool = False) -> str:
    """The digest of what is approved; 64 hex digits. A person who is not shown the score has it without."""
    ruling = case.assessment.ruling if case.assessment else None
    is_shown = case.assessment is not None and not is_score_hidden
    return digest_of_parts(
        case_id=case.case_id,
        round_number=case.round_number,
        arguments_sha256=case.call_in_force.arguments_sha256,
        definition_sha256=case.definition_sha256,
        policy_sha256=ruling.policy_sha256 if ruling else None,
        risk_score=case.assessment.risk_score if case.assessment and is_shown else None,
    )


def seen_digests(case: Case) -> tuple[str, ...]:
    """What a person can have seen of a case: it with its score, and without it where a rule hides that."""
    ruling = case.assessment.ruling if case.assessment else None
    hides = ruling is not None and ruling.review.hides_score
    return (digest_of_seen(case), *([digest_of_seen(case, is_score_hidden=True)] if hides else ()))


def digest_of_parts(
    *,
    case_id: str,
    round_number: int,
    arguments_sha256: str,
    definition_sha256: str | None,
    policy_sha256: str | None,
    risk_score: int | None,
) -> str:
    """The same from what `GET /cases/{ref}` shows, so that a reviewer's program need not believe it."""
    return digest(
        {
            "case_id": case_id,
            "round": round_number,
            "arguments_sha256": arguments_sha256,
            "definition_sha256": definition_sha256,
            "policy_sha256": policy_sha256,
            "risk_score": risk_score,
        }
    )


def check_seen(case: Case, seen_sha256: str | None, *, is_score_hidden: bool = False) -> None:
    """Raise CallChanged if a case that waits is not what a person says they saw of it, in the same round.

    From whom the score is hidden, a digest with it is no more right than one with a wrong score.
    """
    possible = (digest_of_seen(case, is_score_hidden=True),) if is_score_hidden else seen_digests(case)
    if seen_sha256 is None or not case.status.is_undecided or seen_sha256 in possible:
        return
    changed = case.assessment.reopened_because if case.assessment else None
    reason = next(
        _since(case, seen_sha256, is_score_hidden=is_score_hidden), changed or "It is not what was shown."
    )
    raise CallChanged(case_id=case.case_id, reason=reason, then="Look at it again, and then decide.")


def _since(case: Case, seen_sha256: str, *, is_score_hidden: bool) -> Iterator[str]:
    """What has come to it within its round, one after the other."""
    score = (
        f": score {case.assessment.risk_score}" if case.assessment and len(seen_digests(case)) == 1 else ""
    )
    judged = f"It was judged after it was shown{score}."
    recorded = "The definition of its tool was recorded after it was shown."
    before = {
        judged: case.model_copy(update={"assessment": None}),
        recorded: case.model_copy(update={"definition_sha256": None}),
        f"{judged} {recorded}": case.model_copy(update={"assessment": None, "definition_sha256": None}),
    }
    for reason, then in before.items():
        if digest_of_seen(then, is_score_hidden=is_score_hidden) == seen_sha256:
            yield reason
