"""The table of differences is the truth: every row of it is named by a case that shows it."""

import pathlib
import re

import atlas.engine

ROOT = pathlib.Path(__file__).parents[2]
CASES = ROOT / "tests" / "engine" / "conformance"
# Rows that only a look into the store or at a killed process can show, and the test that does.
ELSEWHERE = {
    "`inngest/function.*` events": "test_engine_runs.py::test_what_no_one_listens_for_is_not_said",
    "runs of a killed process": "test_engine_durability.py::test_a_run_that_waits_survives_kill_9",
    "what has ended": "test_engine_runs.py::test_what_ended_long_ago_is_forgotten_at_the_next_start",
}


def rows():
    lines = [line for line in atlas.engine.__doc__.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip() for line in lines[1:]]


def test_every_row_is_named_by_a_case():
    text = "".join(path.read_text() for path in CASES.glob("test_*.py"))
    named = set(re.findall(r'differs\("(.+?)"\)', text)) | set(ELSEWHERE)
    named |= set(re.findall(r'"([^"]+)"', "".join(re.findall(r"for row in \((.+?)\):", text))))
    assert set(rows()) == named


def test_what_is_shown_elsewhere_is_there():
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / "engine" / file).read_text(), place
