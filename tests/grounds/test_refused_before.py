"""A person's "no" binds the next identical call: no score lifts it, however a model scores it then."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from assessing import assessments_of, decisions_by
from kept import entries_in
from models_that_say import GOOD, Says
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, rejection, tool_call

from atlas.agents.same_call import take_stored
from atlas.cases.store import CaseStore, add_assessment, add_decision, mark_collected
from atlas.cases.tables import cases
from atlas.decide import decide_by_score
from atlas.instants import now
from atlas.models import SEEDED, Case, Decision, Status, ToolCall, Verdict

DAY = timedelta(days=1)
PAY = tool_call("check_status", amount=5)


def by_model() -> str:
    """A policy that leaves the score to the model."""
    return '[[rule]]\ntool = "check_status"\nscore = 12\n'


async def test_a_call_that_a_person_rejected_does_not_pass_when_a_model_scores_it_lower(
    tmp_path: Path,
) -> None:
    """Right: the same call, said with another intent, is a person's again, and the reason names the earlier
    one. Wrong: one sample of the model below the threshold executes what a person refused."""
    scores = iter([80, 10])
    model = Says(lambda: GOOD | {"risk_score": next(scores)})
    async with open_store(tmp_path) as store:
        stages = assessments_of(store, tmp_path, policy=by_model(), model=model)
        first = await stages.assess((await open_case(store, PAY)).case_id)
        assert first.status is Status.PENDING_REVIEW
        await decisions_by(stages, store).record(first.case_id, rejection("anna", "no"))
        collected = await store.database.write(lambda connection: take_stored(connection, PAY))
        assert collected is not None
        reworded = PAY.model_copy(update={"intent": "It is only a look."})
        again = await stages.assess((await open_case(store, reworded)).case_id)
    assert again.assessment is not None and again.assessment.risk_score == 10
    assert again.status is Status.PENDING_REVIEW
    reason = entries_in(tmp_path)[-1]["detail"]["reason"]
    assert reason.startswith("Risk Score [10] is below 70, but does not count.")
    assert "A person rejected the same call on " in reason and reason.endswith(f": {first.case_id}.")


@dataclass(frozen=True)
class Ended:
    """A call that has ended, so many days ago."""

    status: Status
    days: float = 1
    was_asked: bool = True  # whether people were
    verdict: Verdict | None = None
    by: str | None = None
    call: ToolCall = field(default=PAY)
    is_edited: bool = False  # by the person who approved


REJECTED = Ended(Status.REJECTED, verdict=Verdict.REJECTED)
EXPIRED, WITHDRAWN = Ended(Status.EXPIRED), Ended(Status.WITHDRAWN)
UNASKED = Ended(Status.WITHDRAWN, was_asked=False)
EXECUTED = Ended(Status.EXECUTED, was_asked=False)  # by its score
APPROVED = Ended(Status.EXECUTED, verdict=Verdict.APPROVED)

HISTORIES: list[tuple[list[Ended], str | None]] = [
    # what ended before, the oldest first; what the reason says, where a person decides
    ([], None),
    ([EXECUTED], None),
    ([REJECTED], "A person rejected the same call on "),
    ([EXPIRED], "No person decided in time on the same call"),
    ([WITHDRAWN], "The same call was taken back"),
    ([UNASKED], None),
    ([Ended(Status.DENIED, was_asked=False)], None),
    ([EXECUTED, REJECTED], "A person rejected"),
    # A person's yes ends it.
    ([REJECTED, APPROVED], None),
    ([REJECTED, Ended(Status.OUTCOME_UNKNOWN, verdict=Verdict.APPROVED)], None),
    ([REJECTED, APPROVED, REJECTED], "A person rejected"),
    # A yes to other arguments does not, although the agent asked for these.
    ([REJECTED, Ended(Status.EXECUTED, verdict=Verdict.APPROVED, is_edited=True)], "A person rejected"),
    # What an agent can bring about itself does not, nor what was not done.
    ([REJECTED, UNASKED], "A person rejected"),
    ([REJECTED, Ended(Status.DENIED, was_asked=False)], "A person rejected"),
    ([REJECTED, Ended(Status.FAILED, verdict=Verdict.APPROVED)], "A person rejected"),
    # For a while.
    ([Ended(Status.REJECTED, days=29, verdict=Verdict.REJECTED)], "A person rejected"),
    ([Ended(Status.REJECTED, days=31, verdict=Verdict.REJECTED)], None),
    # Of what the gateway made itself, of another agent, and of another call it says nothing.
    ([Ended(Status.REJECTED, verdict=Verdict.REJECTED, by=SEEDED)], None),
    ([REJECTED, Ended(Status.EXPIRED, by=SEEDED)], "A person rejected"),
    ([Ended(Status.REJECTED, call=tool_call("check_status", "other", amount=5))], None),
    ([Ended(Status.REJECTED, call=tool_call("check_status", amount=6))], None),
]


async def end(store: CaseStore, ended: Ended, number: int) -> Case:
    """A case that has ended so."""
    case = await open_case(store, ended.call)
    at = now() - timedelta(days=ended.days) + timedelta(seconds=number)

    def work(connection: Connection) -> Case:
        if ended.verdict is not None:
            decided = Decision(
                decision=ended.verdict,
                reviewer="anna",
                reason=None,
                arguments_sha256=case.call.arguments_sha256,
                decided_at=at,
            )
            add_decision(connection, case, decided)
        columns: dict[str, Any] = {"status": ended.status.value, "reported_at": at, "claimed_by": ended.by}
        columns |= {"edited_round": 2 if ended.is_edited else None}
        columns |= {"opened_at": at, "expires_at": at if ended.was_asked else None}
        connection.execute(cases.update().where(cases.c.case_id == case.case_id).values(columns))
        return mark_collected(connection, case)

    return await store.database.write(work)


@pytest.mark.parametrize(("history", "said"), HISTORIES)
async def test_what_became_of_the_same_call_before_says_whether_a_score_approves_it(
    tmp_path: Path, history: list[Ended], said: str | None
) -> None:
    """A person's newest word holds for 30 days."""
    async with open_store(tmp_path) as store:
        for number, ended in enumerate(history):
            await end(store, ended, number)
        case = await open_case(store, PAY)

        def judge(connection: Connection) -> Case:
            judged = add_assessment(connection, case, assessment_of(case.call, 10))
            return decide_by_score(connection, judged, timeout=DAY)

        decided = await store.change(case.case_id, judge)
    entry = entries_in(tmp_path)[-1]
    if said is None:
        assert (decided.status, entry["action"]) == (Status.AUTHORIZED, "decide.auto_approved")
    else:
        assert decided.status is Status.PENDING_REVIEW and said in entry["detail"]["reason"]
