"""The durable story of one call: assess, decide, wait for a person if need be, execute.

What passes through here is references, digests, scores and states; arguments, rationales and results stay in
the case store. Nothing here is trusted with a decision either: a step's memo can be forged and an event sent
by whoever holds the event key, so every step reads the case store and acts on what it finds there.

Governance logic: Anna Ko (UC Berkeley).
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import inngest
from starlette.types import ASGIApp, Receive, Scope, Send

from atlas.events import EXECUTION_REQUESTED, SARAH_DECISION
from atlas.inngest_server import create_client
from atlas.models import Status
from atlas.settings import Settings

Standing = dict[str, Any]


@dataclass(frozen=True)
class Stages:
    """The stages of the gateway that serves the request, each called with the case's reference."""

    assess: Callable[[str], Awaitable[Standing]]
    decide: Callable[[str], Awaitable[Standing]]
    conclude: Callable[..., Awaitable[Standing]]
    execute: Callable[[str], Awaitable[Standing]]
    report_failure: Callable[[str, str], Awaitable[Standing]]


stages: ContextVar[Stages] = ContextVar("stages")  # set by the gateway for each request of Inngest

inngest_client = create_client(Settings.read())


async def report_failure(ctx: inngest.Context) -> Standing:
    """Runs when a run of handle_governance has failed for good: no agent waits for ever."""
    data: Any = ctx.event.data
    case_id, error = str(data["event"]["data"]["event_id"]), str(data["error"].get("message", ""))
    return await ctx.step.run("report", stages.get().report_failure, case_id, error)


@inngest_client.create_function(
    fn_id="handle-governance",
    name="Handle governance",
    trigger=inngest.TriggerEvent(event=EXECUTION_REQUESTED),
    on_failure=report_failure,
)
async def handle_governance(ctx: inngest.Context) -> Standing:
    """Bring one call from its admission to its ending."""
    stage, case_id = stages.get(), str(ctx.event.data["event_id"])
    assessed = await ctx.step.run("assess", stage.assess, case_id)
    standing = await ctx.step.run("decide", stage.decide, case_id)
    while standing["status"] == Status.PENDING_REVIEW.value:
        standing = await _wait_for_sarah(ctx, case_id, seconds=standing["wait_seconds"])
    if standing["status"] in (Status.AUTHORIZED.value, Status.EXECUTING.value):
        standing = await ctx.step.run("execute", stage.execute, case_id)
    return _report(standing) | {"risk_score": assessed["risk_score"], "case_id": case_id}


async def _wait_for_sarah(ctx: inngest.Context, case_id: str, *, seconds: int) -> Standing:
    """Sleep until a decision event or the time-out, then let the case store say what happened."""
    event = await ctx.step.wait_for_event(
        "wait-for-sarah",
        event=SARAH_DECISION,
        if_exp="async.data.event_id == event.data.event_id",
        timeout=timedelta(seconds=seconds),
    )
    return await ctx.step.run("conclude", partial(stages.get().conclude, case_id, is_woken=event is not None))


def _report(standing: Standing) -> Standing:
    """What the workflow says of an ending: AUTHORIZED for what ran, with the case's own status beside it."""
    ran = standing["status"] in (Status.EXECUTED.value, Status.OUTCOME_UNKNOWN.value)
    status = "AUTHORIZED" if ran else standing["status"]
    return {"status": status, "case_status": standing["status"]}


class BindStages:
    """ASGI middleware: the requests that pass here find the stages of this gateway."""

    def __init__(self, app: ASGIApp, bound: Stages) -> None:
        self._app = app
        self._bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind for the duration of the request."""
        token = stages.set(self._bound)
        try:
            await self._app(scope, receive, send)
        finally:
            stages.reset(token)
