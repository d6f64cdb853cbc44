"""How soon a gateway knows what another one changed in PostgreSQL, and what hearing of it costs.

    python benchmarks/hints.py [--url postgresql://…] [--changes 300] [--seconds-between 0.02]

One process changes a case that another one follows, each through its own store. Printed are the times from
the commit, as the changing process learns it, until the other one has read the case again: by a hint, and by
the looks of one who waits while no hints come. Then a case changes that no one follows there: what the other
process spends on a hint. Without `--url` it starts a server of its own, from Debian's package.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from gateway_process import eventually  # noqa: E402

from atlas import ledger  # noqa: E402
from atlas.cases.opening import open_case  # noqa: E402
from atlas.cases.store import CaseStore, read_case  # noqa: E402
from atlas.cases.tables import cases  # noqa: E402
from atlas.database.hints import Hints  # noqa: E402
from atlas.database.postgresql.address import Address  # noqa: E402
from atlas.database.postgresql.store import PostgresDatabase  # noqa: E402
from atlas.models import Case, ToolCall  # noqa: E402


class Followed:
    """Follows one case, and notes when it was told of each change."""

    def __init__(self, case_id: str) -> None:
        self._case_id = case_id
        self.told_at: dict[int, float] = {}  # by how many looks were finished

    def follows(self, case_id: str) -> bool:
        """Whether it is the one."""
        return case_id == self._case_id

    def followed(self) -> tuple[str, ...]:
        """The one."""
        return (self._case_id,)

    def tell(self, case: Case) -> None:
        """Note the number that the change wrote into the case."""
        self.told_at.setdefault(case.round_number, time.monotonic())


def change(connection: Connection, *, case_id: str, number: int) -> Case:
    """Write a number into a case, and an entry of the ledger."""
    connection.execute(cases.update().where(cases.c.case_id == case_id).values(round_number=number))
    ledger.append(connection, case_id, ledger.Action.COMMENTED, actor="benchmark", detail={"number": number})
    return read_case(connection, case_id)


def is_newer(known: int, case: Case) -> bool:
    """Whether a case was changed since."""
    return case.round_number > known


def opened(connection: Connection, *, number: int) -> Case:
    """A new case."""
    call = ToolCall(principal="agent", tool_name="tool", arguments={}, arguments_sha256=f"{number:064x}")
    return open_case(connection, call)


async def change_many(url: str, case_id: str, changes: int, pause: float) -> None:
    """In the process of its own: change, and print when each change was on disk."""
    with tempfile.TemporaryDirectory() as folder:
        database = PostgresDatabase(Address(url), Path(folder))
        await database.open()
        store = CaseStore(database)
        for number in range(2, changes + 2):
            await store.change(case_id, partial(change, case_id=case_id, number=number))
            print(json.dumps([number, time.monotonic()]), flush=True)
            await asyncio.sleep(pause)
        await database.close()


async def committed(url: str, case_id: str, changes: int, pause: float) -> dict[int, float]:
    """Have another process change the case; when each change was on disk."""
    command = [sys.executable, __file__, "--url", url, "--change", case_id]
    process = await asyncio.create_subprocess_exec(
        *command, "--changes", str(changes), "--seconds-between", str(pause), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return {int(number): at for number, at in map(json.loads, output.decode().splitlines())}


def told(name: str, seconds: list[float]) -> None:
    """Print the quantiles, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    figures = f"p50 {cuts[49] * 1000:.1f} ms, p95 {cuts[94] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"
    print(f"{name}: {figures}, most {max(seconds) * 1000:.1f} ms ({len(seconds)} changes)")


async def by_hints(url: str, database: PostgresDatabase, options: argparse.Namespace) -> None:
    """From the commit to the case, read again."""
    store = CaseStore(database)
    case = await database.write(partial(opened, number=1))
    followed = Followed(case.case_id)
    store.elsewhere.shows.append(followed)
    at = await committed(url, case.case_id, options.changes, options.seconds_between)
    heard = [followed.told_at[number] - moment for number, moment in at.items() if number in followed.told_at]
    told("by a hint", heard)
    print(f"  {len(at) - len(heard)} changes were read together with the next one")


async def by_looks(url: str, database: PostgresDatabase, options: argparse.Namespace) -> None:
    """The same for one who waits, and to whom nothing is told: the worst that a lost hint costs."""
    database.hints = Hints(is_sound=False)
    store = CaseStore(database)
    case = await database.write(partial(opened, number=2))
    found: dict[int, float] = {}

    async def follow() -> None:
        with store.watch(case) as watch:
            while True:
                known = watch.case.round_number
                await watch.until(partial(is_newer, known), seconds=3600)
                found.setdefault(watch.case.round_number, time.monotonic())

    following = asyncio.create_task(follow())
    at = await committed(url, case.case_id, 12, 1.7)
    following.cancel()
    told("by looking", [found[number] - moment for number, moment in at.items() if number in found])


async def unfollowed(url: str, database: PostgresDatabase, options: argparse.Namespace) -> None:
    """CPU for each hint that concerns no one here."""
    case = await database.write(partial(opened, number=3))
    heard: list[object] = []
    database.hints.listeners.append(heard.append)
    began = time.process_time()
    await committed(url, case.case_id, options.changes * 5, 0.0)
    spent = time.process_time() - began
    print(f"CPU of the one who hears: {spent / len(heard) * 1e6:.0f} µs a hint ({len(heard)} hints)")


async def is_heard(database: PostgresDatabase) -> bool:
    """Whether hints come."""
    return database.hints.is_sound


async def measure(url: str, options: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        database = PostgresDatabase(Address(url), Path(folder))
        await database.open()
        await eventually(lambda: is_heard(database))
        await by_hints(url, database, options)
        await unfollowed(url, database, options)
        await by_looks(url, database, options)
        await database.close()


def main() -> None:
    """Measure, or be the process that changes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url")
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--seconds-between", type=float, default=0.02)
    parser.add_argument("--change", help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    if options.change:
        work = change_many(options.url, options.change, options.changes, options.seconds_between)
        asyncio.run(work)
        return
    with ExitStack() as stack:
        if options.url is None:
            from postgres import postgres_server

            server = stack.enter_context(postgres_server())
            options.url = server.new_database("hints")
        asyncio.run(measure(options.url, options))


if __name__ == "__main__":
    main()
