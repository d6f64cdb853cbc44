"""Groups in a policy: too few people are a warning and no end; a failing condition makes nothing milder."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_process import AGENT_KEY

from atlas.assessors.choose import build_judges
from atlas.assessors.policy import Policy
from atlas.assessors.policy.command import main
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.people.__main__ import main as people
from atlas.settings import Settings


def policy(directory: Path, *rules: str) -> Path:
    """A file of rules for the tool pay."""
    path = directory / "policy.toml"
    path.write_text("".join(f"[[rule]]\ntool = 'pay'\n{rule}\n" for rule in rules))
    return path


GROUPS: Mapping[str, Any] = {"seniors": ["anna", "ben"], "desk": ["carla"]}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("reviewers = ['group:seniors']\napprovals = 2", []),
        ("reviewers = ['group:desk', 'dora']\napprovals = 2", []),
        ("reviewers = ['group:leads']", ["names the group leads, to which no person belongs now"]),
        ("reviewers = ['group:desk']\napprovals = 2", ["its reviewers are 1 person now: no call of it"]),
        ("reviewers = ['group:seniors', 'anna']\napprovals = 3", ["its reviewers are 2 people now"]),
        ("score = 80\nescalate = {after = '1h', to = 'group:leads'}", ["names the group leads"]),
        ("reviewers = ['dora', 'anna']\napprovals = 2", []),
    ],
)
def test_a_group_without_enough_people_is_named_and_the_policy_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rule: str, said: list[str]
) -> None:
    """At a start, and when the file is read again."""
    caplog.set_level(logging.WARNING)
    path = policy(tmp_path, rule)
    in_force = PolicyInForce(path, threshold=70, members=lambda: GROUPS)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(said) and all(part in one for part, one in zip(said, told, strict=True))
    in_force.reload()
    assert in_force.problem is None and len(caplog.records) == 2 * len(said)


def test_the_people_of_the_store_are_those_who_count(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At a start and in `check`; without a store there is no one to count."""
    monkeypatch.chdir(tmp_path)
    path = policy(tmp_path, "reviewers = ['group:seniors']\napprovals = 2")
    given = {
        "ATLAS_DATA_DIR": str(tmp_path / "data"),
        "ATLAS_AGENT_KEY": AGENT_KEY,
        "ATLAS_REVIEWER_KEY": "anna:reviewer-key-of-the-tests",
        "ATLAS_POLICY": str(path),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def check(*file: str) -> str:
        capsys.readouterr()
        main(["check", *file])
        return capsys.readouterr().out

    assert check(str(path)).count("\n") == 1
    assert people(["add", "sarah", "--groups", "seniors"]) == 0
    assert "its reviewers are 1 person now" in check(str(path))
    caplog.set_level(logging.WARNING)
    build_judges(Settings.read())
    assert "its reviewers are 1 person now" in caplog.text
    assert people(["set", "anna", "--groups", "seniors"]) == 0  # who has a key, which no gateway has read
    assert check(str(path)).count("\n") == 1


def test_lists_with_groups_are_kept_apart_where_a_condition_fails(tmp_path: Path) -> None:
    """How many people a group has is not known, so that none of the lists can be left out."""
    worst = [
        (("'anna', 'ben'", "'carla'"), ("anna", "ben", "carla"), 3, ()),
        (("'group:a'", "'group:a'"), ("group:a",), 1, ()),
        (("'group:a'", "'carla'"), ("group:a", "carla"), 2, (("group:a",), ("carla",))),
        (
            ("'group:a', 'ben'", "'group:b'"),
            ("group:a", "ben", "group:b"),
            2,
            (("group:a", "ben"), ("group:b",)),
        ),
    ]
    for (first, second), reviewers, approvals, each_of in worst:
        path = policy(tmp_path, f"when = 'args.x > 1'\nreviewers = [{first}]", f"reviewers = [{second}]")
        ruling = Policy(path, threshold=70)._at_worst(list(Policy(path, threshold=70).file.rules), "a test")
        assert (ruling.reviewers, ruling.approvals, ruling.each_of) == (reviewers, approvals, each_of)
