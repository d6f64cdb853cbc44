"""The durable story of one call: assess, decide, wait for a person if need be, execute.

What passes through here is references, digests, scores and states; arguments, rationales and results stay in
the case store. Nothing here is trusted with a decision either: a step's memo can be forged and an event sent
by anyone who holds the event key, so every step reads the case store and acts on what it finds there.

Governance logic: Anna Ko (UC Berkeley).
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import inngest

from atlas.errors import AssessmentLost, CaseNotFound
from atlas.models import Case, Status
from atlas.reviews.undo import seconds_to_begin
from atlas.settings import Settings
from atlas.workflow.courier import EXECUTION_REQUESTED, SARAH_DECISION
from atlas.workflow.patience import seconds_to_wait
from atlas.workflow.server import create_client
from atlas.workflow.stages import stages

Standing = dict[str, Any]

# A call that no person has approved goes before one after so many attempts: an agent waits, and so do people.
MOST_UNAPPROVED = 5
# After so many more an approved call ends as FAILED. The embedded engine makes them in 19 minutes or more,
# Inngest's server in two hours or more: so long a database may be away.
RETRIES = 9

inngest_client = create_client(Settings.read())


async def report_failure(ctx: inngest.Context) -> Standing:
    """Runs when a run of handle_governance has failed for good: no agent waits for ever."""
    data: Any = ctx.event.data
    case_id, error = str(data["event"]["data"]["event_id"]), str(data["error"].get("message", ""))

    async def report() -> Standing:
        try:
            return _standing(await stages.get().report_failure(case_id, error))
        except CaseNotFound:
            return {"status": None}  # there is no one to report to

    return await ctx.step.run("report", report)


@inngest_client.create_function(
    fn_id="handle-governance",
    name="Handle governance",
    trigger=inngest.TriggerEvent(event=EXECUTION_REQUESTED),
    on_failure=report_failure,
    retries=RETRIES,
)
async def handle_governance(ctx: inngest.Context) -> Standing:
    """Bring one call from its admission to its ending."""
    stage, case_id = stages.get(), str(ctx.event.data["event_id"])

    async def ask() -> Standing:
        return await _patiently(ctx, stage.ask)

    try:
        # Not a step, and neither is the execution: the case store knows already whether it was done, so a
        # memo would only cost a call. A call that its score approves needs none.
        standing = await _patiently(ctx, stage.assess)
    except CaseNotFound as error:
        # Someone with the event key made it up, or the data directory is another one.
        raise inngest.NonRetriableError(str(error)) from error
    if Status(standing["status"]).is_undecided and not standing["is_judged_anew"]:
        # A model elsewhere is at work, and its answer is fetched here, after a restart too. Or a person has
        # to be told, once, even if the run is replayed many times.
        standing = await ctx.step.run("assess", ask)
    if standing["status"] == Status.QUEUED.value:
        # The run began in an older gateway, which kept in this step that a model elsewhere was asked.
        standing = await ctx.step.run("assess", ask)
    while Status(standing["status"]).is_judged:
        if standing["status"] == Status.PENDING_REVIEW.value or _may_not_begin(standing):
            standing = await _wait_for_sarah(ctx, case_id, seconds=standing["wait_seconds"])
            continue
        # If tool or policy have changed, the case comes back PENDING_REVIEW, and the run waits again. A later
        # replay comes through here, too: the case store then says the same, or that the case went on without
        # it. As the steps stand in one row, the run finds its place among them, or ends as the case has.
        standing = await _patiently(ctx, stage.execute)
        if _may_not_begin(standing):
            continue
        if standing["status"] == Status.QUEUED.value:
            await _patiently(ctx, _lost)  # which has the run tried again, from its beginning
        if standing["status"] != Status.PENDING_REVIEW.value or not standing["is_judged_anew"]:
            break  # it has ended, or this run had no authority
    return _report(standing) | {"case_id": case_id}


async def _wait_for_sarah(ctx: inngest.Context, case_id: str, *, seconds: int) -> Standing:
    """Sleep until a decision event or the time-out, then let the case store say what happened.

    What may not begin waits here too. Of a stop that is lifted the courier sends the event; an approval that
    can be taken back has a begin, at which the wait ends.
    """
    event = await ctx.step.wait_for_event(
        "wait-for-sarah",
        event=SARAH_DECISION,
        if_exp="async.data.event_id == event.data.event_id",
        timeout=timedelta(seconds=seconds),
    )

    async def decide() -> Standing:
        return await _patiently(ctx, partial(stages.get().decide, is_woken=event is not None))

    return await ctx.step.run("decide", decide)


async def _lost(case_id: str) -> Case:
    raise AssessmentLost(case_id=case_id)


async def _patiently(ctx: inngest.Context, stage: Callable[[str], Awaitable[Case]]) -> Standing:
    """Take a case through a stage; what fails is tried again, and for longer where a person has approved."""
    case_id = str(ctx.event.data["event_id"])
    try:
        return _standing(await stage(case_id))
    except CaseNotFound:
        raise
    except Exception as error:
        if ctx.attempt + 1 < MOST_UNAPPROVED or await stages.get().is_approved(case_id):
            raise
        raise inngest.NonRetriableError(str(error)) from error


def _standing(case: Case) -> Standing:
    """What a step says of a case: states and numbers, nothing of what was asked or answered."""
    return {
        "status": case.status.value,
        "risk_score": case.assessment.risk_score if case.assessment else None,
        "is_judged_anew": case.round_number > 1,
        "is_stopped": case.stop is not None,
        "is_put_off": seconds_to_begin(case) > 0,
        "wait_seconds": seconds_to_wait(case),
    }


def _may_not_begin(standing: Standing) -> bool:
    """Whether a stop holds the call, or its approval can still be taken back."""
    return bool(standing.get("is_stopped") or standing.get("is_put_off"))  # older gateways did not say it


def _report(standing: Standing) -> Standing:
    """What the run returns: AUTHORIZED for what was executed, with the case's own status beside it."""
    ran = Status(standing["status"]).may_have_run
    status = "AUTHORIZED" if ran else standing["status"]
    return {"status": status, "case_status": standing["status"], "risk_score": standing["risk_score"]}
