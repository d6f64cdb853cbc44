"""An agent and a reviewer against a running gateway: a call is approved, another rejected, every step told.

    python test_handshake.py [--desk] [URL]

With `--desk` you are the reviewer: a call waits until you decide it at the desk, in a browser.
Keys and port come from `.env` beside this file, or from the environment; without keys it is for OPEN MODE.
"""

import asyncio
import os
import secrets
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import httpx2
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.types import CallToolResult, TextContent

from atlas.proxies import proxy_of
from atlas.settings import Settings, variables

BENEFICIARY = "BEN-123"
PENDING = "PENDING REVIEW (Ref: evt_"
WAITS = "PENDING_REVIEW"
FINAL = {"EXECUTED", "REJECTED", "DENIED", "EXPIRED", "FAILED", "OUTCOME_UNKNOWN"}
PATIENCE_SECONDS = 60.0  # a model may take half of it
DESK_SECONDS = 600.0  # for a person at the desk
STEPS = count(1)
NO_OFFICE = (
    "The example office is switched off, and this program plays with its tools. Nothing else is wrong: the "
    "gateway answers and takes the agent's key. To play, write ATLAS_WELFARE=on into .env and start the "
    "gateway again."
)


class HandshakeError(Exception):
    """A step did not end as it should; the message is a sentence that says which."""


def step(text: str) -> None:
    """Print, with a number, what the agent or the reviewer does next."""
    print(f"{next(STEPS):3}. {text}")


def answer(text: str) -> None:
    """Print what came back."""
    print("     " + text.strip().replace("\n", "\n     "))


def web_client(url: str) -> httpx.AsyncClient:
    """A client for the gateway; a key goes through no proxy to this machine."""
    way = httpx.AsyncHTTPTransport(proxy=proxy_of(url, variables()))
    return httpx.AsyncClient(timeout=10, transport=way)


def agents_client(url: str) -> Any:
    """What makes the clients of the agent, by the same rule."""

    def make(headers: Any = None, timeout: Any = None, auth: Any = None) -> httpx2.AsyncClient:
        way = httpx2.AsyncHTTPTransport(proxy=proxy_of(url, variables()))
        return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, transport=way)

    return make


@dataclass(frozen=True)
class Reviewer:
    """The person who decides, at the webhook."""

    url: str
    headers: dict[str, str]
    name: str | None = "Handshake"  # None: the key has a name of its own

    async def decide(self, decision: str, reference: str, reason: str) -> str:
        """Post a decision; returns what the gateway answered."""
        body = {"decision": decision, "event_id": reference, "reviewer": self.name, "reason": reason}
        async with web_client(self.url) as client:
            response = await client.post(f"{self.url}/webhook/approval", json=body, headers=self.headers)
        if response.status_code in (401, 403):
            raise HandshakeError(
                "The gateway refuses the reviewer's key: is ATLAS_REVIEWER_KEY the gateway's?"
            )
        expect(
            response.status_code == 200,
            f"The decision was answered with {response.status_code}",
            response.text,
        )
        return response.text


@dataclass(frozen=True)
class Held:
    """A risky call that waits for a person, and the words by which it is found in the record's history."""

    reference: str
    trace: str


@dataclass(frozen=True)
class Agent:
    """The agent, connected over SSE; its reviewer helps where even reading needs a person."""

    session: ClientSession
    reviewer: Reviewer

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool; the call and its answer are printed."""
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        step(f"The agent calls {tool}({shown}).")
        result = await self.session.call_tool(tool, arguments)
        if not isinstance(result, CallToolResult):
            raise HandshakeError(f"{tool} was answered with a {type(result).__name__} instead of a result.")
        answer(text_of(result))
        return result

    async def read_record(self) -> dict[str, Any]:
        """The beneficiary's record; a slow model answers later, and a cautious one wants a person."""
        result = await self.call("check_status", beneficiary_id=BENEFICIARY)
        record = result.structured_content or {}
        if is_held(result):
            reference, outcome = reference_in(result), await self.judged(result)
            if status_in(outcome) == WAITS:
                step(f"The assessor wants a person for this as well; the reviewer approves {reference}.")
                answer(await self.reviewer.decide("APPROVED", reference, "Reading harms nobody"))
                outcome = await self.wait_for(reference, FINAL)
            record = (outcome.structured_content or {}).get("result") or {}
        expect("history" in record, "check_status gave no record", text_of(result))
        return record

    async def ask_for_something_risky(self, reason: str) -> Held:
        """Make a call that waits for a person, with any assessor."""
        result = await self.call("request_payment_extension", beneficiary_id=BENEFICIARY, reason=reason)
        if await self.waits_for_person(result):
            return Held(reference_in(result), reason)
        step("The assessor's model has let this one pass. What the policy never leaves to a model:")
        amount = 100 + secrets.randbelow(900)
        changes = {"monthly_amount_eur": amount}
        result = await self.call("modify_welfare_record", beneficiary_id=BENEFICIARY, changes=changes)
        expect(await self.waits_for_person(result), "The risky call was not held", text_of(result))
        return Held(reference_in(result), f'"monthly_amount_eur": {amount}')

    async def waits_for_person(self, result: CallToolResult) -> bool:
        """Whether a call that was made waits for a person, once it has been judged."""
        return is_held(result) and status_in(await self.judged(result)) == WAITS

    async def judged(self, result: CallToolResult) -> CallToolResult:
        """The answer to a held call, or what get_outcome says of it as soon as it has been judged."""
        if status_in(result) == WAITS:
            return result
        return await self.wait_for(reference_in(result), FINAL | {WAITS})

    async def wait_for(
        self, reference: str, statuses: set[str], *, seconds_in_all: float = PATIENCE_SECONDS
    ) -> CallToolResult:
        """What the agent reads about a call once it stands where it is waited for."""
        end = asyncio.get_running_loop().time() + seconds_in_all
        while asyncio.get_running_loop().time() < end:
            seconds = 1 if WAITS in statuses else 10
            result = await self.call("get_outcome", ref=reference, wait_seconds=seconds)
            if status_in(result) in statuses:
                return result
        raise HandshakeError(f"No outcome of {reference} within {seconds_in_all:.0f} seconds.")


def is_held(result: CallToolResult) -> bool:
    """Whether a call was answered with its reference."""
    return text_of(result).startswith(PENDING)


def expect(condition: bool, problem: str, evidence: str) -> None:
    """Stop the handshake with a sentence when a step did not end as it should."""
    if not condition:
        raise HandshakeError(f"{problem}: {evidence}")


def reference_in(result: CallToolResult) -> str:
    """The reference in a pending notice."""
    return text_of(result).partition("(Ref: ")[2].partition(")")[0]


def status_in(result: CallToolResult) -> str:
    """The state of a call as get_outcome tells it to machines."""
    return str((result.structured_content or {}).get("status"))


def text_of(result: CallToolResult) -> str:
    """The text an agent reads."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def play_approval(agent: Agent, reviewer: Reviewer) -> None:
    """A risky call waits, is approved, and changes the record."""
    print("\nA risky call that a person approves")
    before = await agent.read_record()
    reason = f"hospital stay {secrets.token_hex(4)}"
    held = await agent.ask_for_something_risky(reason)
    reference, unchanged = held.reference, await agent.read_record()
    times = sum(held.trace in entry for entry in unchanged["history"])
    expect(times == 0, "The record changed before a person approved", reference)
    step(f"The reviewer approves {reference}.")
    answer(await reviewer.decide("APPROVED", reference, "The file supports it"))
    outcome = await agent.wait_for(reference, FINAL)
    expect(status_in(outcome) == "EXECUTED", "The approved call did not run", text_of(outcome))
    after = await agent.read_record()
    times = sum(held.trace in entry for entry in after["history"])
    expect(times == 1, f"The approved call is in the record {times} times instead of once", reference)
    changed = [name for name in after if name != "history" and after[name] != before.get(name)]
    answer("; ".join(f"{name} was {before.get(name)} and is now {after[name]}" for name in changed) + ".")


async def play_rejection(agent: Agent, reviewer: Reviewer) -> None:
    """A risky call waits, is rejected, and changes nothing; the agent reads why."""
    print("\nA risky call that a person rejects")
    held = await agent.ask_for_something_risky(f"no reason at all {secrets.token_hex(4)}")
    reference, before = held.reference, await agent.read_record()
    why = f"Nothing in the file supports it ({secrets.token_hex(4)})"
    step(f"The reviewer rejects {reference}: {why}.")
    answer(await reviewer.decide("REJECTED", reference, why))
    outcome = await agent.wait_for(reference, FINAL)
    expect(status_in(outcome) == "REJECTED", "The rejected call was not refused", text_of(outcome))
    expect(why in text_of(outcome), "The agent does not read the reviewer's reason", text_of(outcome))
    expect(await agent.read_record() == before, "The rejected call changed the record", reference)
    answer("The record is as it was.")


async def play_at_desk(agent: Agent, url: str) -> None:
    """A risky call waits until a person decides it in a browser, and what they decided is done."""
    print("\nA risky call that you decide at the desk")
    held = await agent.ask_for_something_risky(f"hospital stay {secrets.token_hex(4)}")
    step(f"Open {url}/desk/cases/{held.reference} and decide. This program waits for ten minutes.")
    outcome = await agent.wait_for(held.reference, FINAL, seconds_in_all=DESK_SECONDS)
    status, record = status_in(outcome), await agent.read_record()
    times = sum(held.trace in entry for entry in record["history"])
    expected = {"EXECUTED": 1, "REJECTED": 0}.get(status)
    expect(expected is not None, "The call was neither executed nor rejected", text_of(outcome))
    expect(times == expected, f"The call is {status}, and in the record {times} times", held.reference)


async def shake_hands(
    url: str, agent_headers: dict[str, str], reviewer: Reviewer, *, is_at_desk: bool = False
) -> None:
    """Connect over SSE and play the calls; raises HandshakeError at the first step that fails."""
    await check_gateway(url, agent_headers)
    async with (
        sse_client(f"{url}/mcp/sse", headers=agent_headers, httpx_client_factory=agents_client(url)) as (
            incoming,
            outgoing,
        ),
        ClientSession(incoming, outgoing) as session,
    ):
        step(f"The agent connects to {url}/mcp/sse and lists the tools.")
        await session.initialize()
        names = [tool.name for tool in (await session.list_tools()).tools]
        answer(", ".join(names))
        if "check_status" not in names:
            raise HandshakeError(NO_OFFICE)
        agent = Agent(session=session, reviewer=reviewer)
        if is_at_desk:
            await play_at_desk(agent, url)
        else:
            await play_approval(agent, reviewer)
            await play_rejection(agent, reviewer)


async def check_gateway(url: str, agent_headers: dict[str, str]) -> None:
    """Tell a missing gateway and a refused key apart before the agent connects."""
    try:
        async with web_client(url) as client:
            alive = await client.get(f"{url}/healthz")
            knock = await client.post(f"{url}/mcp/messages/", headers=agent_headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HandshakeError(
            f"No gateway answers at {url} ({type(error).__name__}): start it with ./setup.sh."
        ) from None
    expect(
        alive.status_code == 200,
        f"What answers at {url} is no healthy gateway",
        f"status {alive.status_code}",
    )
    if knock.status_code in (401, 403):
        raise HandshakeError("The gateway refuses the agent's key: is ATLAS_AGENT_KEY the gateway's?")


def bearer(key: str | None) -> dict[str, str]:
    """The header that carries a key; none in OPEN MODE."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def sentence_of(error: BaseException) -> str:
    """What went wrong, inside the groups of exceptions that the clients' tasks have wrapped around it."""
    leaves = leaves_of(error)
    failed = [str(leaf) for leaf in leaves if isinstance(leaf, HandshakeError)]
    broken = f"The connection to the gateway broke: {type(leaves[0]).__name__}: {leaves[0]}"
    return failed[0] if failed else broken


def leaves_of(error: BaseException) -> list[BaseException]:
    """The exceptions in a group of groups; ExceptionGroup itself is new in Python 3.11."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return [leaf for each in inner for leaf in leaves_of(each)] or [error]


def main(arguments: list[str]) -> int:
    """Run the handshake against a URL, by default this machine's gateway; returns the exit status."""
    os.chdir(Path(__file__).parent)  # where .env is
    settings = Settings.read()
    is_at_desk = "--desk" in arguments
    urls = [argument for argument in arguments if argument != "--desk"]
    if len(urls) > 1 or any(argument.startswith("-") for argument in urls):
        print("usage: python test_handshake.py [--desk] [URL]", file=sys.stderr)
        return 2
    url = urls[0].rstrip("/") if urls else f"http://127.0.0.1:{settings.atlas_port}"
    key, name = next(iter(settings.reviewer_keys.items()), (None, None))
    reviewer = Reviewer(url=url, headers=bearer(key), name=None if name else "Handshake")
    agent_headers = bearer(next(iter(settings.agent_keys), None))
    try:
        asyncio.run(shake_hands(url, agent_headers, reviewer, is_at_desk=is_at_desk))
    except Exception as error:
        print(f"\nFAILED. {sentence_of(error)}", file=sys.stderr)
        return 1
    done = (
        "What you decided was done." if is_at_desk else "The approved call ran once, the rejected one never."
    )
    print(f"\nPASSED. {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
