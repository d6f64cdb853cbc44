"""A gateway with a server behind it whose tools are the tests' own, and people who sign in at its desk."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from desk_browser import show_key
from gateway_process import GatewayProcess, reference_in
from playwright.async_api import BrowserContext, Page
from upstream_by_hand import ByHand, tool

KEYS = {"anna": "key-of-anna-at-the-desk", "ben": "key-of-ben-at-the-desk", "carl": "key-of-carl-at-the-desk"}
AGENTS = {"billing-bot": "key-of-the-billing-bot", "<b>bot</b>": "key-of-the-other-bot"}
POLICY = """
reject_reasons = ["The wrong invoice.", "Ask the customer first."]

[[rule]]
tool = "far_pay"
score = 90
floor = 70
classification = "money leaves"
rationale = "It pays money out."
legal_basis = "The house rules, section 4"

[[rule]]
tool = "far_pay_twice"
name = "four eyes"
score = 95
approvals = 2
reviewers = ["anna", "ben"]
"""
# A tool that takes anything, and a rule by which two people decide, who may change it.
FREE = tool("free", title="Do anything", description="Takes anything.", inputSchema={"type": "object"})
FREE_POLICY = """
[[rule]]
tool = "far_free"
score = 80
approvals = 2
may_edit = ["a", "b"]
"""
PAY = tool(
    "pay",
    title="Pay an invoice",
    description="Pays an invoice from the account of the house.",
    inputSchema={
        "type": "object",
        "properties": {"invoice_id": {"type": "string"}, "amount": {"type": "number"}},
        "required": ["invoice_id"],
    },
    annotations={"readOnlyHint": False, "destructiveHint": True},
)


def answered(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to a call: it says what was paid."""
    if message["method"] != "tools/call":
        return None
    said = json.dumps(message["params"].get("arguments") or {})[:200]
    return {"result": {"content": [{"type": "text", "text": f"paid {said}"}]}}


@dataclass
class Desk:
    """The gateway, and what the tests ask of it."""

    gateway: GatewayProcess
    upstream: ByHand
    policy: Path

    async def ask(self, name: str = "far_pay", /, *, agent: str = "billing-bot", **said: Any) -> str:
        """The reference of a call that waits; `meta` is what the agent claims, all else its arguments."""
        meta = said.pop("meta", None)
        async with self.gateway.agent(AGENTS[agent]) as client:
            return reference_in(await client.call_tool(name, said, meta=meta, raise_on_error=False))

    def person(self, name: str = "anna") -> httpx.AsyncClient:
        """A person's program, which reads and posts what a browser would."""
        headers = {"Authorization": f"Bearer {KEYS[name]}"}
        return httpx.AsyncClient(base_url=self.gateway.url, headers=headers, timeout=30)

    async def sign_in(self, browser: BrowserContext, name: str = "anna") -> Page:
        """An empty page in the browser of a person who has signed in."""
        page = await browser.new_page()
        await show_key(page, self.gateway.url, KEYS[name])
        return page

    def case(self, reference: str) -> str:
        """The address of a case."""
        return f"{self.gateway.url}/desk/cases/{reference}"


@asynccontextmanager
async def desk(
    directory: Path, *tools: dict[str, Any], policy: str = POLICY, **environment: str
) -> AsyncIterator[Desk]:
    """A gateway with the tools of the tests behind it."""
    upstream = ByHand(tools=[PAY, PAY | {"name": "pay_twice"}, *tools])
    upstream.answer = answered
    path = directory / "policy.toml"
    path.write_text(policy)
    async with upstream.listening() as entry:
        (directory / "mcp.json").write_text(json.dumps({"mcpServers": {"far": entry}}))
        settings = {
            "ATLAS_MCP_CONFIG": str(directory / "mcp.json"),
            "ATLAS_POLICY": str(path),
            "ATLAS_AGENT_KEY": ",".join(f"{name}:{key}" for name, key in AGENTS.items()),
            "ATLAS_REVIEWER_KEY": ",".join(f"{name}:{key}" for name, key in KEYS.items()),
            "ATLAS_ARGUMENTS_KB": "4000",
            "ATLAS_MCP_BODY": "4MiB",
        }
        gateway = GatewayProcess(directory, **(settings | environment))
        await gateway.start()
        try:
            yield Desk(gateway, upstream, path)
        finally:
            await asyncio.shield(gateway.kill())


async def ben_changes(at: Desk, reference: str, **fields: str) -> None:
    """Another person approves a call with changed arguments."""
    async with at.person("ben") as ben:
        form = form_of((await ben.get(f"/desk/cases/{reference}")).text, "CHANGED")
        fields = {f"edit:{name}": text for name, text in fields.items()}
        answer = await ben.post(f"/desk/cases/{reference}/decision", data=form | fields)
        assert answer.status_code == 303, answer.text


def field(page: str, name: str) -> str:
    """The value of a hidden field of a form."""
    _, _, rest = page.partition(f'name="{name}" value="')
    assert rest, f"the page has no field {name}"
    return rest.partition('"')[0]


def form_of(page: str, verdict: str, **said: str) -> dict[str, str]:
    """What the form of a page sends with one of its buttons."""
    hidden = {name: field(page, name) for name in ("form_token", "round", "seen", "key")}
    return hidden | {"verdict": verdict, "reason": ""} | said
