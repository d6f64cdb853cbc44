"""The desk, as the gateway builds it: its pages, its assets, and what guards them."""

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from atlas.cases.store import CaseStore
from atlas.desk import account, inbox, links, openid, sign_in
from atlas.desk.headers import DeskHeaders
from atlas.desk.pages import DESK, Pages
from atlas.desk.parts import Parts
from atlas.desk.routes import desk_route, strangers_route
from atlas.models import Case
from atlas.people.visitors import Visitors
from atlas.people.webhook import Decides
from atlas.settings import Settings

ASSETS = Path(__file__).parent / "assets"


def add_desk(
    app: FastAPI,
    settings: Settings,
    *,
    store: CaseStore,
    visitors: Visitors,
    decisions: Decides,
    announce: Callable[[Case], None],
) -> None:
    """Serve the desk under /desk; `announce` tells the workflow of what was decided."""
    pages = Pages(Parts(settings, store, visitors, decisions, announce))
    router = APIRouter(route_class=desk_route(pages), include_in_schema=False)
    for page in (inbox, account):
        page.add_to(router, pages)
    sign_in.add_out(router, pages)
    strangers = APIRouter(route_class=strangers_route(pages), include_in_schema=False)
    for page in (sign_in, links, openid):
        page.add_to(strangers, pages)
    app.router.routes.extend([*router.routes, *strangers.routes])
    app.mount(f"{DESK}/assets", StaticFiles(directory=ASSETS))
    app.add_middleware(DeskHeaders)
