"""The list of an agent's cases: what it has to hear of, the newest first, however long the results are."""

from pathlib import Path

from fastmcp import Client, FastMCP
from kept import without_trigger
from store import open_case, open_store, tool_call

from atlas.agents.resources import MOST_LISTED, add_case_resources
from atlas.cases.store import add_outcome
from atlas.instants import now
from atlas.models import EVERY_AGENT, Outcome


async def test_the_newest_cases_are_listed_without_what_came_of_them(tmp_path: Path) -> None:
    """A result that is there and cannot be read as JSON would end the list if it were read."""
    async with open_store(tmp_path) as store:
        server = FastMCP("listing")
        add_case_resources(server, store)
        opened = []
        for number in range(MOST_LISTED + 5):
            case = await open_case(store, tool_call(principal=EVERY_AGENT, beneficiary_id=f"BEN-{number}"))
            opened.append(case)
        outcome = Outcome(result={}, detail=None, finished_at=now())
        newest = opened[-1]
        await store.change(newest.case_id, lambda connection: add_outcome(connection, newest, outcome))
        await store.database.write(
            lambda connection: connection.exec_driver_sql(without_trigger("outcomes_no_update", "outcomes"))
        )
        await store.database.write(
            lambda connection: connection.exec_driver_sql("UPDATE outcomes SET result = 'no JSON'")
        )
        async with Client(server) as client:
            listed = [str(resource.uri) for resource in await client.list_resources()]
    assert listed == [f"atlas://cases/{case.case_id}" for case in reversed(opened[-MOST_LISTED:])]
