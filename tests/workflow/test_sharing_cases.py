"""Several couriers: each case is seen to by one of them, and by another one when that is gone."""

from collections import Counter

from atlas.workflow.courier import sees_to

LIVING = ["a", "b", "c"]
CASES = [f"evt_{number:016x}" for number in range(3000)]


def test_all_gateways_agree_and_each_has_its_share() -> None:
    """Also where they know of each other in another order."""
    shares = Counter(sees_to(case_id, LIVING) for case_id in CASES)
    assert all(sees_to(case_id, LIVING) == sees_to(case_id, LIVING[::-1]) for case_id in CASES)
    assert set(shares) == set(LIVING) and min(shares.values()) > 800


def test_when_one_is_gone_only_its_cases_are_seen_to_by_others() -> None:
    """So that none of the others is told once more for that."""
    for case_id in CASES:
        before = sees_to(case_id, LIVING)
        assert before == "b" or sees_to(case_id, ["a", "c"]) == before
