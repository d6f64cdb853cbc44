"""The page of plans: what people approved beforehand, what is used up of it, and one click that stops it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.desk.seen import is_plain
from atlas.errors import NotPermitted, PlanRefused
from atlas.frozen import Frozen
from atlas.instants import now
from atlas.models import Scope
from atlas.operate.error_shape import HTTP_STATUS
from atlas.plans.conditions import LONGEST_CONDITION
from atlas.plans.making import LONGEST_REASON, MOST_CALLS, Wish

PLANS = f"{DESK}/plans"
# How long a plan may hold, to choose from: no clock or zone of a browser is asked.
LASTS = {
    "1h": ("1 hour", timedelta(hours=1)),
    "8h": ("8 hours", timedelta(hours=8)),
    "1d": ("1 day", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}


class Written(Frozen):
    """What a person wrote into the form."""

    tool: str = ""
    agent: str = ""
    condition: str = ""
    most_calls: str = "10"
    lasts: str = "8h"
    reason: str = ""

    def wish(self) -> Wish:
        """The plan that is asked for; raises PlanRefused."""
        if self.lasts not in LASTS or not (self.most_calls.isascii() and self.most_calls.isdigit()):
            raise PlanRefused(reason="Say for how many calls the plan is, and how long it holds.")
        return Wish(
            tool=self.tool.strip(),
            agent=self.agent.strip() or None,
            condition=self.condition.strip() or None,
            most_calls=int(self.most_calls[:10]),
            ends_at=now() + LASTS[self.lasts][1],
            reason=self.reason,
        )


def written_in(form: Mapping[str, Any]) -> Written:
    """The form as it was written."""
    return Written(**{name: str(form[name]) for name in Written.model_fields if name in form})


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page of plans, and take its forms."""
    book = pages.parts.plans

    @router.get(PLANS)
    async def plans(request: Request) -> Response:
        """The plans, and the form; the address can say what it begins with."""
        return await _show(request, pages, written_in(request.query_params))

    @router.post(PLANS)
    async def make(request: Request) -> Response:
        """Make a plan, or say why not and keep what was written."""
        written = written_in(await request.form())
        try:
            await book.make(person_of(request), written.wish())
        except (PlanRefused, NotPermitted) as error:
            status = HTTP_STATUS.get(type(error), 422)
            return await _show(request, pages, written, status=status, mistake=str(error))
        return pages.redirect(PLANS)

    @router.post(f"{PLANS}/stop")
    async def stop(request: Request) -> Response:
        """Stop one; no question is asked, because a plan that is stopped costs a person's look at most."""
        form = await request.form()
        await book.stop(str(form.get("plan", ""))[:40], person_of(request))
        return pages.redirect(PLANS)


async def _show(
    request: Request, pages: Pages, written: Written, *, status: int = 200, mistake: str = ""
) -> Response:
    book = pages.parts.plans
    standing = await book.newest()
    return await pages.page(
        request,
        "plans.html",
        person=person_of(request),
        status=status,
        in_force=[one for one in standing if one.is_in_force],
        others=[one for one in standing if not one.is_in_force],
        written=written,
        mistake=mistake,
        tools=list(filter(is_plain, await pages.parts.stops.names(Scope.TOOL))),
        agents=list(filter(is_plain, book.agents)),
        lasts=LASTS,
        most_calls=MOST_CALLS,
        longest_reason=LONGEST_REASON,
        longest_condition=LONGEST_CONDITION,
    )
