"""The executor: sleeps until work is due, then calls the apps, many at once, and applies their answers."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx

from atlas.engine.calls import Answer, Call, Errored, call_app, call_lost, load_call
from atlas.engine.errors import StoreFailed
from atlas.engine.events import fire_due, transact
from atlas.engine.functions import Function
from atlas.engine.history import History
from atlas.engine.keys import EngineKeys
from atlas.engine.opcodes import apply_answer, put_off
from atlas.engine.patience import Patience
from atlas.engine.runs import AFTER_WHAT_IS_NEW, AT_ONCE, fail_run
from atlas.engine.schema import touch_store
from atlas.engine.store import Store
from atlas.engine.times import now
from atlas.engine.transaction import Transaction
from atlas.engine.troubles import END, FORGET, LOOK, Troubles

logger = logging.getLogger(__name__)

_MOST_CALLS = 512  # at once: a call may wait for something slow, and the others must not wait for it
_AHEAD = 64
# Calls of runs whose time ran out, at once: very many may fall due together, and none of them is in a hurry.
# One that takes longer than a moment waits for something slow: it costs nothing, and is not counted any more.
_MOST_TIMED_OUT = 4
_MOMENT = 1.0  # seconds
_LONGEST_NAP = 30.0  # seconds; a clock set forward or a laptop that slept is noticed by then
_REST = 5  # times as long as it took to forget some, so that calls hardly notice
_STORE_PAUSE = 1.0  # seconds before a store that failed is tried again


class _Item(NamedTuple):
    item_id: int
    lane: str
    function_id: str
    due_at: int


class Executor:
    """Runs what is queued, woken by commits and the clock; the queue on disk is its only memory."""

    def __init__(
        self,
        store: Store,
        *,
        functions: Callable[[], Mapping[str, Function]],
        transport: httpx.AsyncBaseTransport,
        keys: EngineKeys | None,
        history: History,
    ) -> None:
        self._store = store
        self._functions = functions
        self._transport = transport
        self._keys = keys
        self._history = history
        self._patience = Patience()
        self._woken = asyncio.Event()
        self._troubles = Troubles()
        self._items: dict[int, _Item] = {}  # those whose calls are in flight, by their ids
        self._timed_out: dict[int, float] = {}  # when those of runs whose time ran out were begun
        self._calls: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._fired: asyncio.Task[None] | None = None
        self._forgetting: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """What does not go on at the moment, in a sentence, or None."""
        for task in (self._loop_task, self._forgetting):
            if task is not None and task.done():
                return f"The task {task.get_name()} has ended: start the engine again."
        return self._troubles.first

    def wake(self) -> None:
        """Have the executor look for work."""
        self._woken.set()

    def start(self) -> None:
        """Start looking for work, first for what was left when the engine last stopped."""
        self._loop_task = asyncio.create_task(self._run(), name="atlas-engine-executor")
        self._forgetting = asyncio.create_task(self._forget(), name="atlas-engine-history")
        self.wake()

    async def stop(self) -> None:
        """Abandon the calls in flight: they are repeated when the engine starts again."""
        tasks = [
            task
            for task in (self._loop_task, self._fired, self._forgetting, *self._calls)
            if task is not None
        ]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.5)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            nap = await self._look()
            await asyncio.sleep(0)  # what was begun gets its turn, also where the next look is made at once
            alarm = asyncio.get_running_loop().call_later(nap, self._woken.set)
            await self._woken.wait()
            alarm.cancel()

    async def _look(self) -> float:
        """Begin what is due, unless it could not be kept; returns the seconds until the next look."""
        try:
            if self._store.problem is not None:
                await self._store.write(touch_store)
            moment = now()  # one for both: what falls due between them would be seen by neither
            self._start_calls(moment)
            nap = self._fire_due(moment)
        except Exception as error:
            self._note(LOOK, error)
            # No nap, which each change that fails would end: the store would be tried without a pause.
            await asyncio.sleep(_STORE_PAUSE)
            return 0.0
        self._troubles.end(LOOK)
        return min(nap, _MOMENT) if self._timed_out else nap

    def _note(self, task: str, error: Exception) -> None:
        if not isinstance(error, StoreFailed):  # of which the store has told
            self._store.note(error)
            self._troubles.begin(task, error)

    def _start_calls(self, moment: int) -> None:
        free = _MOST_CALLS - len(self._items)  # a task whose call has ended may still be there
        if free <= 0:
            return
        items, is_cut = self._due_items(moment)
        for item in items:
            if free and item.item_id not in self._items and not self._is_full(item):
                self._start_call(item)
                free -= 1
                if self._is_full(item):
                    self.wake()  # those behind it were not looked at: very many may have waited for this lane
        if is_cut and free:
            self.wake()  # there may be more; at least one was begun, so that this comes to an end

    def _start_call(self, item: _Item) -> None:
        self._items[item.item_id] = item
        if item.due_at == AFTER_WHAT_IS_NEW:
            self._timed_out[item.item_id] = time.monotonic()
        task = asyncio.create_task(self._call(item.item_id))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _due_items(self, moment: int) -> tuple[list[_Item], bool]:
        """Some of what is due, and whether there may be more of it that could begin."""
        most, busy = len(self._items) + _AHEAD, list(self._full_lanes())
        begun = [at for at in self._timed_out.values() if at > time.monotonic() - _MOMENT]
        timed_out = len(self._timed_out) + _MOST_TIMED_OUT - len(begun) if len(begun) < _MOST_TIMED_OUT else 0
        found = (
            self._select("due_at = ?", AT_ONCE, busy=busy, most=most),
            self._select("due_at > 0 AND due_at <= ?", moment, busy=busy, most=most),
            self._select("due_at = ?", AFTER_WHAT_IS_NEW, busy=busy, most=timed_out),
        )
        # In turns: none of them waits for the end of another.
        items = [item for items in itertools.zip_longest(*found) for item in items if item is not None]
        return items, most in (len(found[0]), len(found[1]))

    def _select(self, due: str, moment: int, *, busy: list[str], most: int) -> list[_Item]:
        rows = self._store.reader.execute(  # only question marks are put in
            "SELECT item_id, queue.lane, function_id, due_at FROM queue JOIN runs USING (run_id)"  # noqa: S608
            f" WHERE {due} AND queue.lane NOT IN ({','.join('?' * len(busy))})"
            " ORDER BY due_at, item_id LIMIT ?",
            (moment, *busy, most),
        )
        return [_Item(*row) for row in rows]

    def _full_lanes(self) -> set[str]:
        return {item.lane for item in self._items.values() if self._is_full(item)}

    def _is_full(self, item: _Item) -> bool:
        function = self._functions().get(item.function_id)
        if function is None or function.concurrency_limit is None:
            return False
        return sum(other.lane == item.lane for other in self._items.values()) >= function.concurrency_limit

    def _fire_due(self, moment: int) -> float:
        """End due pauses; returns the seconds until something else falls due."""
        pause_at, item_at = self._store.reader.execute(
            # Without its condition SQLite would look at all pauses: the index is of those with a moment.
            "SELECT (SELECT min(due_at) FROM pauses WHERE due_at IS NOT NULL),"
            " (SELECT min(due_at) FROM queue WHERE due_at > ?)",
            (moment,),
        ).fetchone()
        if pause_at is not None and pause_at <= moment:
            if self._fired is None or self._fired.done():
                self._fired = asyncio.create_task(self._fire())
            pause_at = None
        nearest = min((at for at in (pause_at, item_at) if at is not None), default=None)
        return _LONGEST_NAP if nearest is None else min(_LONGEST_NAP, max(0.0, (nearest - moment) / 1000))

    async def _fire(self) -> None:
        begun = time.monotonic()
        try:
            await self._store.write(transact(fire_due, self._functions()))
            rest = time.monotonic() - begun  # where very many are due others get their turn in between
            self._troubles.end(END)
        except Exception as error:
            self._note(END, error)
            rest = _STORE_PAUSE
        await asyncio.sleep(rest)
        self.wake()

    async def _forget(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                has_more = await self._store.write(self._history.forget_some)
                self._troubles.end(FORGET)
            except Exception as error:  # tried again later
                self._note(FORGET, error)
                has_more = False
            took = time.monotonic() - begun
            await asyncio.sleep(took * _REST if has_more else self._history.pause)

    async def _call(self, item_id: int) -> None:
        try:
            call = load_call(self._store.reader, item_id)
            if call is not None:
                await self._carry_out(call)
        except Exception as error:  # still queued; without a pause it would be tried in a tight loop
            self._store.note(error)
            logger.exception("A call could not be carried out; trying again.")
            await asyncio.sleep(_STORE_PAUSE)
        finally:
            del self._items[item_id]
            self._timed_out.pop(item_id, None)
            self.wake()

    async def _carry_out(self, call: Call) -> None:
        function = self._functions().get(call.function_id)
        if function is None:
            message = f"Function {call.function_id} is not registered."
            await self._write(lambda tx: fail_run(tx, call.run_id, "FunctionNotFound", message))
            return
        try:
            await self._ask(call, function)
        except Exception as error:  # counted: what fails each time must come to an end
            logger.exception("A call could not be carried out; it counts as an attempt that failed.")
            lost = call_lost(error)
            await self._write(lambda tx: apply_answer(tx, call, function, lost))

    async def _ask(self, call: Call, function: Function) -> None:
        answer: Answer = await call_app(self._transport, call, function, self._keys)
        is_unreached = isinstance(answer, Errored) and answer.is_unreached
        wait = self._patience.wait(call.item_id, is_unreached=is_unreached)
        if wait is not None:
            await self._write(lambda tx: put_off(tx, call, wait))
        else:
            await self._write(lambda tx: apply_answer(tx, call, function, answer))

    async def _write(self, work: Callable[[Transaction], None]) -> None:
        # What an app did is done: its answer is held until the disk takes it, not asked for twice.
        while True:
            try:
                return await self._store.write(transact(work, self._functions()))
            except StoreFailed:  # the store has told
                await asyncio.sleep(_STORE_PAUSE)
