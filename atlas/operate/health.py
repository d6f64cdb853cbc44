"""What an operator asks: what is this, is it alive, can it work."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from atlas import __version__
from atlas.agents.transports import PREFIX
from atlas.assessors.guard import Guard
from atlas.assessors.policy import PolicyInForce
from atlas.database.sqlite import Database
from atlas.settings import Settings
from atlas.upstreams import Upstreams
from atlas.welfare import told_at_start
from atlas.workflow.edge import WorkflowEdge
from atlas.workflow.server import SERVE_PATH

OPEN_MODE = "OPEN MODE: no keys are set; every program on this machine can call tools and approve calls"


def add_index(app: FastAPI, settings: Settings) -> None:
    """Serve /."""

    @app.get("/")
    async def index() -> dict[str, str]:
        """Where things are."""
        places = {
            "status": "ATLAS Governance Gateway Running",
            "mcp_endpoint": f"{PREFIX}/sse",
            "inngest_endpoint": SERVE_PATH,
            "approval_endpoint": "/webhook/approval",
            "version": __version__,
        }
        return places | ({"mode": OPEN_MODE} if settings.is_open else {})


def add_health(
    app: FastAPI,
    *,
    database: Database,
    workflow: WorkflowEdge,
    policy: PolicyInForce,
    model: Guard | None,
    upstreams: Upstreams,
) -> None:
    """Serve /healthz and /readyz."""

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Each part that was chosen, and whether it answers; 503 where one does not."""
        parts = {
            "engine": _part(workflow.name, workflow.problem),
            "assessor": _assessor_part(policy, model),
            "policy": _policy_part(policy),
            "database": _part("sqlite", await database.check()),
        }
        is_ready = all(part["ok"] for part in parts.values())
        # Not among the parts: a server that is missing takes its own tools away, and nothing else.
        servers = {"upstreams": upstreams.report()} if upstreams.all else {}
        return JSONResponse({"ready": is_ready} | parts | servers, status_code=200 if is_ready else 503)


def _part(name: str, problem: str | None) -> dict[str, Any]:
    return {"name": name, "ok": problem is None} | ({"problem": problem} if problem else {})


def _policy_part(policy: PolicyInForce) -> dict[str, Any]:
    # After a reload that failed the former policy is in force: worth saying, but no reason to stop serving.
    problem = {"problem": policy.problem} if policy.problem else {}
    return {"name": policy.name, "ok": True, "sha256": policy.sha256} | problem


def _assessor_part(policy: PolicyInForce, model: Guard | None) -> dict[str, Any]:
    if model is None:
        return _part(policy.name, None)
    # Not ok only while it rests: if no one called the gateway because of it, it would never be asked again.
    problem = {"problem": model.problem} if model.problem else {}
    return {"name": model.assessor.name, "ok": not model.is_resting} | problem


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
        lines = [
            f"ATLAS Governance Gateway {__version__}",
            f"  MCP        {url}{PREFIX}/sse (SSE) and {url}{PREFIX} (streamable HTTP)",
            f"  engine     {workflow.name}",
            f"  policy     {policy.name}, a person decides from {settings.atlas_risk_threshold}",
            f"  assessor   {model.assessor.name if model else 'the policy alone'}",
            f"  database   {settings.atlas_data_dir / 'atlas.db'}",
            *([f"  upstreams  {', '.join(one.name for one in upstreams.all)}"] if upstreams.all else []),
            *([f"  welfare    {office}"] if office else []),
            f"  approve    curl {url}/webhook/approval{key} -H 'Content-Type: application/json' \\",
            """               -d '{"decision": "APPROVED", "event_id": "evt_…"}'""",
        ]
        return "\n".join([*lines, *([f"  {OPEN_MODE}"] if settings.is_open else [])])

    return text
