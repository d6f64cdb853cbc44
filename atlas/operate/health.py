"""What an operator asks: what is this, is it alive, can it work."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError

from atlas import __version__
from atlas.agents.transports import PREFIX
from atlas.assessors.guard import Guard
from atlas.assessors.policy.in_force import PolicyInForce
from atlas.cases.store import CaseStore
from atlas.database.choose import beside_gateway
from atlas.database.database import Database
from atlas.desk.pages import DESK
from atlas.operate.accept import wants_page
from atlas.outbox.addresses import Addresses
from atlas.outbox.troubles import troubles
from atlas.people.programs.webhook import APPROVAL_PATH
from atlas.settings import Settings
from atlas.stop.covering import stops_in_force
from atlas.upstreams import Upstreams
from atlas.welfare import told_at_start
from atlas.workflow.edge import WorkflowEdge
from atlas.workflow.server import SERVE_PATH

if TYPE_CHECKING:
    from atlas.upstreams.upstream import Upstream

OPEN_MODE = "OPEN MODE: no keys are set; every program on this machine can call tools and approve calls"
BY_ACCEPT = {
    "Vary": "Accept",
    "Cache-Control": "no-store",
}  # so that no cache gives one the answer of the other
ASKED_WITH = ["GET", "HEAD", "OPTIONS"]  # the last two by load balancers, which look at the status alone


def add_index(app: FastAPI, settings: Settings) -> None:
    """Serve /: browsers are sent to the desk, and everything else is told where things are."""

    root_path = settings.atlas_root_path

    @app.api_route("/", methods=ASKED_WITH)
    async def index(request: Request) -> Response:
        """Where things are."""
        if request.method == "GET" and wants_page(request.headers.get("accept", "")):
            return RedirectResponse(root_path + DESK, status_code=303, headers=BY_ACCEPT)
        places = {
            "status": "ATLAS Governance Gateway Running",
            "desk": root_path + DESK,
            "mcp_endpoint": f"{root_path}{PREFIX}/sse",
            "inngest_endpoint": root_path + SERVE_PATH,
            "approval_endpoint": root_path + APPROVAL_PATH,
            "version": __version__,
        }
        mode = {"mode": OPEN_MODE} if settings.is_open else {}
        return JSONResponse(places | mode, headers=BY_ACCEPT)


def add_health(
    app: FastAPI,
    *,
    store: CaseStore,
    workflow: WorkflowEdge,
    policy: PolicyInForce,
    model: Guard | None,
    upstreams: Upstreams,
) -> None:
    """Serve /healthz and /readyz."""

    database = store.database

    @app.api_route("/healthz", methods=ASKED_WITH)
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.api_route("/readyz", methods=ASKED_WITH)
    async def readyz() -> JSONResponse:
        """Each part that was chosen, and whether it answers; 503 where one does not, and before a stop."""
        parts = {
            "engine": _part(workflow.name, workflow.problem),
            "assessor": _assessor_part(policy, model),
            "policy": _policy_part(policy),
            "database": _part(database.kind, await database.check()),
        }
        is_leaving = store.draining.is_leaving
        # Without its model a person decides; a balancer that went elsewhere would find no gateway at all.
        is_ready = not is_leaving and all(part["ok"] for name, part in parts.items() if name != "assessor")
        # Not among the parts: a server that is missing takes its own tools away, and nothing else.
        servers = {"upstreams": upstreams.report()} if upstreams.all else {}
        leaving = {"stopping": True} if is_leaving else {}
        said = {"ready": is_ready} | leaving | parts | servers
        said |= await _stops_part(database) | await _notices_part(database)
        return JSONResponse(said, status_code=200 if is_ready else 503)


async def _stops_part(database: Database) -> dict[str, Any]:
    """What is stopped, which is no failure; every one may ask, so without the words and names of people."""
    with suppress(SQLAlchemyError):  # the part of the database says so
        found = await database.read(stops_in_force)
        if found:
            shown = {"stop_id", "scope", "target", "stopped_at"}
            return {"stops": [stop.model_dump(mode="json", include=shown) for stop in found]}
    return {}


async def _notices_part(database: Database) -> dict[str, Any]:
    """Notices that no receiver took so far, which is no failure of the gateway; without names of people."""
    with suppress(SQLAlchemyError):  # the part of the database says so
        found = await database.read(troubles)
        if found:
            return {"notices": [trouble.model_dump(mode="json", exclude={"person"}) for trouble in found]}
    return {}


def _part(name: str, problem: str | None) -> dict[str, Any]:
    return {"name": name, "ok": problem is None} | ({"problem": problem} if problem else {})


def _policy_part(policy: PolicyInForce) -> dict[str, Any]:
    # After a reload that failed the former policy is in force: worth saying, but no reason to stop serving.
    # One that refuses to judge is of no use: a balancer leaves it to the others.
    problem = policy.refusal or policy.problem
    said = {"problem": problem} if problem else {}
    return {"name": policy.name, "ok": policy.refusal is None, "sha256": policy.sha256} | said


def _assessor_part(policy: PolicyInForce, model: Guard | None) -> dict[str, Any]:
    if model is None:
        return _part(policy.name, None)
    # Not ok only while it rests: if no one called the gateway because of it, it would never be asked again.
    problem = {"problem": model.problem} if model.problem else {}
    return {"name": model.assessor.name, "ok": not model.is_resting} | problem


def _named(upstream: "Upstream") -> str:
    """The name of a server, with what the servers file says of whom its tools speak for."""
    said = {"outside": "speaks for third parties", "inside": "speaks for the house", None: ""}
    trust = said[upstream.config.trust]
    return f"{upstream.name} ({trust})" if trust else upstream.name


def banner(
    settings: Settings,
    *,
    workflow: WorkflowEdge,
    policy: PolicyInForce,
    model: Guard | None,
    upstreams: Upstreams,
) -> Callable[[str], str]:
    """What start-up prints, made from the gateway's URL: where things are, and how to approve."""

    office = told_at_start(settings, upstreams.all)

    def text(url: str) -> str:
        key = "" if settings.is_open else ' -H "Authorization: Bearer $ATLAS_REVIEWER_KEY"'
        sign_in = "" if settings.is_open else " (python -m atlas.people enter: a link that signs you in)"
        lines = [
            f"ATLAS Governance Gateway {__version__}",
            f"  desk       {url}{settings.atlas_root_path}/desk{sign_in}",
            f"  MCP        {url}{PREFIX}/sse (SSE) and {url}{PREFIX} (streamable HTTP)",
            f"  engine     {workflow.name}",
            f"  policy     {policy.name}, a person decides from {settings.atlas_risk_threshold}",
            f"  assessor   {model.assessor.name if model else 'the policy alone'}",
            f"  database   {beside_gateway(settings).place}",
            *([f"  upstreams  {', '.join(map(_named, upstreams.all))}"] if upstreams.all else []),
            *([f"  welfare    {office}"] if office else []),
            *(
                [f"  proxy      {settings.atlas_root_path}{PREFIX}/sse and the like, behind a proxy"]
                if settings.atlas_root_path
                else []
            ),
            *[f"  people     {way}" for way in _other_ways(settings)],
            f"  reviewers  {how_told(settings)}",
            f"  approve    curl {url}{APPROVAL_PATH}{key} -H 'Content-Type: application/json' \\",
            """               -d '{"decision": "APPROVED", "event_id": "evt_…"}'""",
        ]
        return "\n".join([*lines, *([f"  {OPEN_MODE}"] if settings.is_open else [])])

    return text


def _other_ways(settings: Settings) -> list[str]:
    """From where else people come in than by a key or an account."""
    proxies = ", ".join(str(network) for network in settings.atlas_trusted_proxies)
    ways = [f"sign in at {settings.atlas_oidc_issuer}"] if settings.atlas_oidc_issuer else []
    return [*ways, *([f"are known to a proxy at {proxies}"] if proxies else [])]


def how_told(settings: Settings) -> str:
    """How a reviewer hears of a call that waits; of the URL only the host, for its path may be a secret."""
    ways = [f"a POST to {settings.atlas_notify_url.host}"] if settings.atlas_notify_url else []
    ways += [way.channel for way in Addresses(settings).of_house]
    ways += [f"{name}, where a profile has an address" for name in settings.notify_channels]
    if not ways:
        return "no one is told of a call that waits, but for a line in this log: docs/how-to/notices.md"
    return f"told by {', '.join(ways)}"
