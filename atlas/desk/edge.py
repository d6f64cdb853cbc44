"""The desk, as the gateway builds it: its pages, its assets, and what guards them."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from atlas.assessors.policy.in_force import PolicyInForce
from atlas.cases.figures.period import FiguresKept
from atlas.cases.store import CaseStore
from atlas.database.location import Location
from atlas.desk import missing, people_page, plans_page, stop_page, trial_page
from atlas.desk.account import browsers, links, openid, passkeys, sign_in
from atlas.desk.account import page as account
from atlas.desk.case import page as case
from atlas.desk.figures import overview, statistics
from atlas.desk.headers import DeskHeaders
from atlas.desk.history import page as history
from atlas.desk.inbox import page as inbox
from atlas.desk.inbox import together as together_page
from atlas.desk.live import stream as live
from atlas.desk.live.teller import Teller
from atlas.desk.pages import DESK, Pages
from atlas.desk.parts import Parts
from atlas.desk.routes import desk_route, strangers_route
from atlas.desk.trials import Trials
from atlas.models import Case
from atlas.people.deciding import Decides
from atlas.people.visitors import Visitors
from atlas.plans.making import PlanBook
from atlas.settings import Settings
from atlas.stop.stops import Stops

ASSETS = Path(__file__).parent / "assets"


def add_desk(
    app: FastAPI,
    settings: Settings,
    *,
    store: CaseStore,
    visitors: Visitors,
    decisions: Decides,
    announce: Callable[[Case], None],
    stops: Stops,
    plans: PlanBook,
    policy: PolicyInForce,
) -> None:
    """Serve the desk under /desk; `announce` tells the workflow of what was decided."""
    teller = Teller(store, valid=visitors.sessions.that_last)
    trials = Trials(
        Location.of(settings),
        threshold=settings.atlas_risk_threshold,
        idle=settings.atlas_session_idle,
    )

    def at_the_stop() -> None:
        teller.close()
        trials.close()

    app.state.at_the_stop = at_the_stop
    parts = Parts(
        settings,
        store,
        visitors,
        decisions,
        announce,
        stops=stops,
        plans=plans,
        teller=teller,
        figures=FiguresKept(store.database),
        policy=policy,
        trials=trials,
    )
    teller.follow(parts.looking.case_ids)
    parts.looking.changed = teller.looks_changed
    pages = Pages(parts)
    router = APIRouter(route_class=desk_route(pages), include_in_schema=False)
    own = (
        inbox,
        case,
        live,
        account,
        passkeys,
        browsers,
        history,
        overview,
        people_page,
        statistics,
        stop_page,
        plans_page,
        together_page,
        trial_page,
    )
    for page in own:
        page.add_to(router, pages)
    sign_in.add_out(router, pages)
    strangers = APIRouter(route_class=strangers_route(pages), include_in_schema=False)
    for page in (sign_in, links, openid):
        page.add_to(strangers, pages)
    app.router.routes.extend([*router.routes, *strangers.routes])
    app.mount(f"{DESK}/assets", StaticFiles(directory=ASSETS))
    missing.add_to(app.router, pages)  # last: it takes what no other route does
    app.add_middleware(DeskHeaders)
