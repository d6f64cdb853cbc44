"""The lines that a driver in Python exchanges with its test: one JSON object each way."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

import anyio

RUN_SECONDS = 150.0


class Agent(Protocol):
    """An agent of one framework, and its connection to the gateway."""

    async def connect(self) -> tuple[list[str], str | None]:
        """Connect, again if need be: the names of the tools, and the instructions if they can be had."""

    async def run(self, calls: list[dict[str, Any]]) -> list[tuple[str, bool | None]]:
        """What the model reads of each call of one turn, and whether it is marked as an error."""

    async def close(self) -> None:
        """End the connection."""


def drive(agent: Callable[[str, str, dict[str, str]], Agent]) -> None:
    """Be the driver of an agent, made of the URL, `http` or `sse`, and headers, until stdin ends."""
    url, transport = sys.argv[1:3]
    headers = {"Authorization": f"Bearer {os.environ['ATLAS_AGENT_KEY']}"}
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the framework prints is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    asyncio.run(_answer_lines(agent(url, transport, headers), say))


async def _answer_lines(agent: Agent, say: Callable[[dict[str, Any]], None]) -> None:
    tools, instructions = await agent.connect()
    say({"ready": True, "tools": tools, "instructions": instructions})
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        if request.get("reconnect"):
            with contextlib.suppress(Exception):  # what is dead may be unable to say goodbye
                await agent.close()
            await agent.connect()
            say({"ready": True})
        else:
            say(await _run(agent, request["calls"]))
    await agent.close()


async def _run(agent: Agent, calls: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        with anyio.fail_after(RUN_SECONDS):
            readings = await agent.run(calls)
    except (Exception, asyncio.CancelledError) as error:  # some frameworks let a cancelled task show
        nothing = [None] * len(calls)
        return {"read": nothing, "flagged": nothing, "error": f"{type(error).__name__}: {error}"}
    return {"read": [text for text, _ in readings], "flagged": [flag for _, flag in readings], "error": None}
