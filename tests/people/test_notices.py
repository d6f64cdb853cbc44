"""What the log says of a call that waits, at once and without its arguments."""

from pathlib import Path

import pytest
from gateway_process import eventually
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, tool_call

from atlas.cases.rounds import next_round
from atlas.cases.store import add_assessment, transition
from atlas.instants import now
from atlas.models import Case, Scope, Status, Stop
from atlas.people.notices import Notifier
from atlas.review_rules import ReviewRules


async def test_the_log_names_the_case_without_its_arguments(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which round it is, why, and what only the server checks; and the courier is woken."""
    woken: list[None] = []
    async with open_store(tmp_path) as store:
        notifier = Notifier(store.database, wake=lambda: woken.append(None))
        call = tool_call("modify_welfare_record", secret="of a person")
        case = await open_case(store, call, not_checked=["properties.id.type"])

        def wait(connection: Connection) -> Case:
            because = {"reopened_because": "It changed."}
            judged = assessment_of(case.call).model_copy(update=because)
            again = next_round(case, definition_sha256=None)
            return transition(connection, add_assessment(connection, again, judged), Status.PENDING_REVIEW)

        notifier.tell(await store.change(case.case_id, wait))
        unchecked = f"arguments of {case.case_id} only the server checks ['properties.id.type']"

        async def is_said() -> bool:
            return unchecked in caplog.text

        await eventually(is_said)
        await notifier.close()
    assert woken and "of a person" not in caplog.text
    assert "; round 2, judged again: It changed." in caplog.text


def test_the_log_of_a_stop_is_one_line_whatever_was_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """A name with a line break and an escape sequence forges no entry of its own."""
    target = "pay\n2026-11-28 12:00:00 WARNING bruno lifted the stop of everything\x1b[2J"
    stop = Stop(
        stop_id="stop_0", scope=Scope.TOOL, target=target, reason="x", stopped_by="a", stopped_at=now()
    )
    Notifier().tell_of_stop(stop)
    (record,) = caplog.records
    assert "\n" not in record.getMessage() and "\x1b" not in record.getMessage()


async def test_the_log_does_not_say_a_score_that_a_rule_hides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A person who reads the log would know it before their first choice."""
    async with open_store(tmp_path) as store:
        notifier = Notifier(store.database, wake=lambda: None)
        case = await open_case(store, tool_call("modify_welfare_record"))
        judged = assessment_of(case.call, 83, review=ReviewRules(hides_score=True))

        def wait(connection: Connection) -> Case:
            return transition(connection, add_assessment(connection, case, judged), Status.PENDING_REVIEW)

        notifier.tell(await store.change(case.case_id, wait))
        await notifier.close()
    assert "risk score hidden by a rule" in caplog.text and "83 (test)" not in caplog.text
