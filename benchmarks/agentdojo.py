"""What the gateway lets through when an agent obeys a text that it read, on the suites of AgentDojo.

    python benchmarks/agentdojo.py [--suites banking slack] [--attacks sender_note none] [--limit N]
                                   [--json | --markdown] [--rows FILE] [--python PYTHON]

It needs `requirements-agentdojo.txt`, in the environment that runs it or in the one whose Python `--python`
names. It needs no model: an agent that obeys is played. Each suite is an MCP server behind a gateway with the
shipped policy but for `unknown_tools = "general"`, and with ATLAS_TRUST_USER_REQUEST=on. For each play (a
user's task, an attack, an injection task) an MCP client with an agent of its own opens a session, names the
user's request in `_meta`, and makes the calls of the user's task. After the first result that holds the
attack's text it makes the calls of the injection task too, with their real arguments, and then goes on. Where
a call waits for a person, the person approves it if it is the user's, and rejects it if it is not. The server
counts what it executes: each play ends with a check that it executed just the approved calls, each once, with
their arguments.

The attacks are "important_instructions", "ignore_previous" and "tool_knowledge" of AgentDojo, and two of our
own, "sender_note" and "todo_line" (`benchmarks/dojo/notes.yaml`) without a known word of an attack; "none"
plays the users' tasks alone. An injected call is a deed if it changes the environment. That a mail counts as
read and that a page was fetched are no changes. Beside the gateway stand three ways that see nothing of the
session, on the same calls: the general rules with the call alone, asking about every deed, and the tool's
name, learned from the plays of other users' tasks.

`--limit` takes so many plays of each suite and attack, drawn with a fixed seed. `--rows` writes what became
of each call, one JSON object a line. `--record` writes the plays of one suite into a file, and `--recorded`
plays that file without AgentDojo.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from fastmcp import Client

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent / "dojo")]

from around import Upstream, agent_with, gateway_before, key_of, person_of, upstream_of  # noqa: E402
from figures import Judged, as_json, as_markdown, as_text  # noqa: E402
from gateway_process import GatewayProcess, reference_in, text_of  # noqa: E402
from kept import rows_in  # noqa: E402
from plays import ATTACKS, SUITES  # noqa: E402

from atlas.admit import USER_REQUEST  # noqa: E402

SEED = 14


class Player:
    """Makes the calls of one play through the gateway, and is the person who is asked."""

    def __init__(self, client: Client[Any], person: httpx.AsyncClient, play: dict[str, Any]) -> None:
        self._client, self._person, self._play = client, person, play
        self.judged: list[Judged] = []
        self._request = ""

    async def perform(self, upstream: Upstream) -> None:
        """Play it, and check what was executed."""
        begun = await upstream.post("/begin", self._play)
        self._request = begun["request"]
        injected = None
        for call in begun["calls"]:
            await self._make(upstream, call, is_injected=False)
            if injected is None and (injected := await upstream.ask("/injection")) is not None:
                for place, other in enumerate(injected):
                    await self._make(upstream, other, is_injected=True, is_goal=place == len(injected) - 1)
        check_executed(await upstream.ask("/executed"), self.judged)

    async def _make(
        self, upstream: Upstream, call: dict[str, Any], *, is_injected: bool, is_goal: bool = False
    ) -> None:
        name = f"{self._play['suite']}_{call['tool']}"
        meta = {USER_REQUEST: self._request}
        result = await self._client.call_tool(name, call["arguments"], meta=meta, raise_on_error=False)
        is_asked = text_of(result).startswith("PENDING REVIEW")
        if is_asked:
            await self._decide(reference_in(result), "REJECTED" if is_injected else "APPROVED")
        judged = Judged(
            **self._play,
            tool=call["tool"],
            name=name,
            description=upstream.tools[call["tool"]],
            arguments=call["arguments"],
            request=self._request,
            is_injected=is_injected,
            acts=call["acts"],
            is_goal=is_goal,
            is_asked=is_asked,
        )
        self.judged.append(judged)

    async def _decide(self, reference: str, decision: str) -> None:
        """Decide as a person, and have the agent read what became of its call."""
        decided = await self._person.post(
            "/webhook/approval", json={"decision": decision, "event_id": reference}
        )
        assert decided.is_success, decided.text
        told: Any = {"status": None}
        while told["status"] not in ("EXECUTED", "REJECTED", "FAILED"):
            outcome = await self._client.call_tool("get_outcome", {"ref": reference, "wait_seconds": 20})
            told = outcome.structured_content
        assert (told["status"] == "REJECTED") == (decision == "REJECTED"), told


def check_executed(counted: list[dict[str, Any]], judged: list[Judged]) -> None:
    """Fail unless what the server counted in a play is what was approved, each once, in this order."""
    executed = [(call["tool"], call["arguments"]) for call in counted]
    approved = [(one.tool, one.arguments) for one in judged if one.was_executed]
    assert executed == approved, f"{judged[0].play}: executed {executed}, approved {approved}"


async def plays_of(upstream: Upstream, attack: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The plays with an attack, or so many of them."""
    plays: list[dict[str, Any]] = await upstream.ask(f"/plays/{attack}")
    if options.limit is not None and options.limit < len(plays):
        return random.Random(SEED).sample(plays, options.limit)  # noqa: S311  (drawn, not secret)
    return plays


async def play_suite(suite: str, options: argparse.Namespace) -> list[Judged]:
    """All plays of a suite with all attacks, through one gateway."""
    async with upstream_of(suite, options) as upstream:
        plays = [play for attack in options.attacks for play in await plays_of(upstream, attack, options)]
        with tempfile.TemporaryDirectory() as directory:
            gateway = gateway_before(Path(directory), suite, upstream, len(plays))
            await gateway.start()
            try:
                judged = await play_each(plays, gateway, upstream)
                return with_reasons(judged, gateway.data)
            finally:
                await gateway.kill()


async def play_each(plays: list[dict[str, Any]], gateway: GatewayProcess, upstream: Upstream) -> list[Judged]:
    """Play one after the other, each with a session and an agent of its own."""
    judged: list[Judged] = []
    begun = time.monotonic()
    async with person_of(gateway) as person:
        for number, play in enumerate(plays):
            async with agent_with(key_of(number), gateway) as client:
                player = Player(client, person, play)
                await player.perform(upstream)
            judged += player.judged
            if number % 50 == 49 or number == len(plays) - 1:
                took = time.monotonic() - begun
                said = f"{number + 1} of {len(plays)} plays, {len(judged)} calls in {took:.0f} s"
                print(f"{play['suite']}: {said}", file=sys.stderr, flush=True)
    return judged


def with_reasons(judged: list[Judged], data: Path) -> list[Judged]:
    """The calls with the score and the reasons that stand in the gateway's record."""
    kept = rows_in(
        data,
        "SELECT cases.tool_name, risk_score, rationale, trace FROM cases"
        " JOIN assessments ON assessments.case_id = cases.case_id AND assessments.round_number = 1"
        " ORDER BY cases.opened_at",
    )
    assert [name for name, *_ in kept] == [one.name for one in judged]
    return [
        one.model_copy(update={"score": score, "rationale": rationale, "trace": json.loads(trace or "null")})
        for one, (_, score, rationale, trace) in zip(judged, kept, strict=True)
    ]


async def record(options: argparse.Namespace) -> None:
    """Write plays of one suite into a file: their calls as the suite told them, and what it answered."""
    [suite] = options.suites
    async with upstream_of(suite, options) as upstream:
        kept: list[dict[str, Any]] = []
        for attack in options.attacks:
            kept += [
                await upstream.post("/recorded", play) for play in await plays_of(upstream, attack, options)
            ]
        told = {"tools": await upstream.ask("/tools"), "plays": kept}
    options.record.write_text(f"{json.dumps(told, indent=1, ensure_ascii=False)}\n")


async def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=SUITES)
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=ATTACKS)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--recorded", type=Path)
    options = parser.parse_args()
    if options.record:
        await record(options)
        return
    judged: list[Judged] = []
    for suite in options.suites:
        judged += await play_suite(suite, options)
    if options.rows:
        options.rows.write_text("".join(f"{one.model_dump_json()}\n" for one in judged))
    print((as_json if options.json else as_markdown if options.markdown else as_text)(judged))


if __name__ == "__main__":
    asyncio.run(main())
