"""An SDK app with a function for each thing that a run can wait for; its journal notes what was done."""

import asyncio
import collections
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import fastapi
import inngest
import inngest.fast_api

WEEK = timedelta(days=7)
Step = tuple[str, str]  # the run and the name of its step


class Journal:
    """What the app did: each execution of a step draws a value, and each memo that comes back is noted."""

    def __init__(self) -> None:
        self.executions: dict[Step, list[str]] = collections.defaultdict(list)
        self.memos: dict[Step, set[str]] = collections.defaultdict(set)
        self.ended: dict[str, Any] = {}  # by the `n` of the event that started the run
        self.run_ids: dict[str, set[str]] = collections.defaultdict(set)
        self.woken_by: dict[str, set[int]] = collections.defaultdict(set)  # numbers of the decision events

    async def step(self, ctx: inngest.Context, name: str) -> str:
        """Run a step whose value no one can guess, and note the memo."""

        async def draw() -> str:
            self.executions[ctx.run_id, name].append(secrets.token_hex(8))
            await asyncio.sleep(0)
            return self.executions[ctx.run_id, name][-1]

        memo = await ctx.step.run(name, draw)
        self.memos[ctx.run_id, name].add(memo)
        return memo

    def begin(self, ctx: inngest.Context) -> str:
        """Note which run an event has started."""
        self.run_ids[str(ctx.event.data["n"])].add(ctx.run_id)
        return str(ctx.event.data["n"])


def build_app(client: inngest.Inngest, journal: Journal) -> fastapi.FastAPI:
    """The app, to be served and synced."""
    web, functions = fastapi.FastAPI(), []

    def function(name: str, **options: Any) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
        def add(handler: Callable[..., Awaitable[Any]]) -> Any:
            trigger = inngest.TriggerEvent(event=f"crash/{name}")
            made = client.create_function(fn_id=name, trigger=trigger, **options)(handler)
            functions.append(made)
            return made

        return add

    _add_plain(function, journal)
    _add_waiting(function, journal)
    _add_invoking(function, journal)
    inngest.fast_api.serve(web, client, functions)
    return web


def _add_plain(function: Any, journal: Journal) -> None:
    @function("two")
    async def two(ctx: inngest.Context) -> list[str]:
        n = journal.begin(ctx)
        journal.ended[n] = [await journal.step(ctx, "first"), await journal.step(ctx, "second")]
        return journal.ended[n]

    @function("keyed", idempotency="event.data.key")
    async def keyed(ctx: inngest.Context) -> list[str]:
        return await two._handler(ctx)

    @function("parallel")
    async def parallel(ctx: inngest.Context) -> list[str]:
        n = journal.begin(ctx)
        steps = [lambda name=name: journal.step(ctx, name) for name in ("left", "middle", "right")]
        both = await ctx.group.parallel(tuple(steps))
        journal.ended[n] = [*both, await journal.step(ctx, "after")]
        return journal.ended[n]

    @function("flaky", retries=3)
    async def flaky(ctx: inngest.Context) -> list[str]:
        n = journal.begin(ctx)
        first = await journal.step(ctx, "first")
        if ctx.attempt == 0:
            raise RuntimeError("not yet")
        journal.ended[n] = [first, await journal.step(ctx, "second")]
        return journal.ended[n]


def _add_waiting(function: Any, journal: Journal) -> None:
    @function("sleeper")
    async def sleeper(ctx: inngest.Context) -> list[str]:
        n = journal.begin(ctx)
        first = await journal.step(ctx, "first")
        await ctx.step.sleep("nap", ctx.event.data["milliseconds"])
        journal.ended[n] = [first, await journal.step(ctx, "second")]
        return journal.ended[n]

    @function("waiter")
    async def waiter(ctx: inngest.Context) -> Any:
        n = journal.begin(ctx)
        await journal.step(ctx, "first")
        decided = await ctx.step.wait_for_event(
            "wait", event="crash/decided", if_exp="async.data.n == event.data.n", timeout=WEEK
        )
        journal.woken_by[n].add(decided.data["decision"] if decided else -1)
        await journal.step(ctx, "second")
        journal.ended[n] = decided and decided.data
        return journal.ended[n]

    cancel = inngest.Cancel(event="crash/cancelled", if_exp="async.data.n == event.data.n")

    @function("cancellable", cancel=[cancel])
    async def cancellable(ctx: inngest.Context) -> None:
        n = journal.begin(ctx)
        await journal.step(ctx, "first")
        await ctx.step.wait_for_event("wait", event="crash/never", timeout=WEEK)
        journal.ended[n] = "not cancelled"


def _add_invoking(function: Any, journal: Journal) -> None:
    @function("child")
    async def child(ctx: inngest.Context) -> str:
        return await journal.step(ctx, "of child")

    @function("parent")
    async def parent(ctx: inngest.Context) -> list[str]:
        n = journal.begin(ctx)
        answer = await ctx.step.invoke("ask", function=child, data={"n": f"child of {n}"})
        journal.memos[ctx.run_id, "ask"].add(str(answer))
        journal.ended[n] = [str(answer), await journal.step(ctx, "after")]
        return journal.ended[n]
