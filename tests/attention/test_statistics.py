"""What the figures of people's decisions count, who reads them, and that they are quick to read."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from desk_browser import faults_of, person
from desk_office import KEYS, extension, office, sign_in
from gateway_process import WAIT_SECONDS, GatewayProcess
from playwright.async_api import Browser
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection
from store import open_case, open_store, tool_call

from atlas.attention.statistics import LEAST, Statistics, decided_in, statistics_of
from atlas.attention.tables import openings, second_looks, seeded_cases
from atlas.cases.store import CaseStore
from atlas.cases.tables import approvals, decisions
from atlas.instants import now

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY = timedelta(days=1)


async def decide_some(
    store: CaseStore,
    reviewer: str,
    verdicts: str,
    *,
    seconds: Sequence[int] = (),
    seeded: bool = False,
    at: datetime | None = None,
) -> list[str]:
    """Decisions of a person: a letter each, A or R; the first ones so many seconds after they opened it."""
    made = []
    for index, letter in enumerate(verdicts):
        case = await open_case(store, tool_call(n=index, by=reviewer, at=str(at), seeded=seeded))
        this = {"case_id": case.case_id, "round_number": 1}
        moment = at or now() - timedelta(hours=1)
        decision = {
            "decision": {"A": "APPROVED", "R": "REJECTED"}[letter],
            "reviewer": reviewer,
            "reason": None,
            "arguments_sha256": "0" * 64,
            "decided_at": moment,
        }
        opened = moment - timedelta(seconds=seconds[index]) if index < len(seconds) else None

        def write(
            connection: Connection,
            this: dict[str, object] = this,
            decision: dict[str, object] = decision,
            opened: datetime | None = opened,
        ) -> None:
            connection.execute(decisions.insert().values(this | decision))
            if opened is not None:
                connection.execute(openings.insert().values(this | {"person": reviewer, "opened_at": opened}))
            if seeded:
                row = {"case_id": this["case_id"], "why": "bad", "made_at": now()}
                connection.execute(seeded_cases.insert().values(row))

        await store.database.write(write)
        made.append(case.case_id)
    return made


async def figures(store: CaseStore, person: str | None = None, *, sees_others: bool = True) -> Statistics:
    until = now()
    return await store.database.look(
        lambda connection: statistics_of(
            connection, since=until - 30 * DAY, until=until, person=person, sees_others=sees_others
        )
    )


async def test_each_persons_figures_stand_beside_the_groups(tmp_path: Path) -> None:
    """Shares and medians of ten and more; of fewer the numbers alone."""
    async with open_store(tmp_path) as store:
        await decide_some(store, "anna", "AAAAAAAAAR", seconds=range(1, 11))
        await decide_some(store, "anna", "RRA", seeded=True, at=now() - DAY)
        await decide_some(store, "anna", "AAAA", at=now() - 40 * DAY)  # before the period
        [again, *_] = await decide_some(store, "ben", "AAR", seconds=(5,))
        looked = {
            "case_id": again,
            "round_number": 1,
            "person": "ben",
            "kind": "too_fast",
            "said": "APPROVED",
        }
        await store.database.write(
            lambda connection: connection.execute(second_looks.insert().values(looked | {"at": now()}))
        )
        told = await figures(store)
    anna, ben = told.people
    assert (anna.person, anna.decided, anna.approved, anna.rejected) == ("anna", 13, 10, 3)
    assert anna.approval_rate == pytest.approx(10 / 13, abs=0.001)
    assert (anna.looked_at, anna.median_seconds) == (10, 5.5)
    assert (anna.seeded, anna.seeded_caught, anna.seeded_caught_rate) == (3, 2, None)
    assert (ben.decided, ben.approval_rate, ben.median_seconds, ben.asked_again) == (3, None, None, 1)
    assert told.group is not None and told.persons == 2 and told.is_complete
    assert (told.group.decided, told.group.approved, told.group.looked_at) == (16, 12, 11)
    assert told.least == LEAST


async def test_one_of_several_approvals_counts_once_for_each_person(tmp_path: Path) -> None:
    """The last one is the decision too, and is no second one."""
    async with open_store(tmp_path) as store:
        [case_id] = await decide_some(store, "ben", "A")
        for name in ("anna", "ben"):
            row = {"case_id": case_id, "round_number": 1, "reviewer": name, "arguments_sha256": "0" * 64}
            given = approvals.insert().values(row | {"decided_at": now() - DAY})
            await store.database.write(lambda connection, given=given: connection.execute(given))
        told = await figures(store)
    assert {row.person: row.decided for row in told.people} == {"anna": 1, "ben": 1}


async def test_a_small_group_is_not_told_to_one_of_it(tmp_path: Path) -> None:
    """With two others, the figures of the group would be those of colleagues."""
    async with open_store(tmp_path) as store:
        for name in ("anna", "ben", "eva"):
            await decide_some(store, name, "AR")
        few = await figures(store, "anna", sees_others=False)
        await decide_some(store, "tom", "A")
        enough = await figures(store, "anna", sees_others=False)
    assert few.group is None and [row.person for row in few.people] == ["anna"]
    assert enough.group is not None and enough.group.decided == 7


@pytest.mark.sqlite("it explains plans of SQLite")
async def test_the_newest_decisions_are_found_by_an_index(tmp_path: Path) -> None:
    """However many there are from before the period; nothing is scanned but what was found."""
    async with open_store(tmp_path) as store:
        query = decided_in(since=now() - DAY, until=now())

        def plan(connection: Connection) -> list[str]:
            text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
            values = tuple(text.bind_names and text.params[name] for name in text.positiontup or ())
            values = tuple(str(value) for value in values)
            return [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]

        steps = await store.database.look(plan)
    searched = [step for step in steps if step.startswith("SEARCH")]
    assert any("decisions USING INDEX ix_decisions_decided_at" in step for step in searched), steps
    assert any("approvals USING INDEX ix_approvals_decided_at" in step for step in searched), steps
    tables = ("decisions", "approvals", "openings", "second_looks", "seeded_cases", "cases")
    assert not [step for step in steps if step.startswith("SCAN") and step.split()[1] in tables], steps


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GatewayProcess]:
    """A gateway whose people have decided something."""
    process = office(tmp_path_factory.mktemp("statistics"), ATLAS_SUPERVISORS="ben")
    await process.start()
    for number, name in enumerate(("anna", "ben")):
        assert (await process.decide(await extension(process, number + 1), key=KEYS[name])).is_success
    yield process
    await process.kill()


async def read(gateway: GatewayProcess, query: str = "", *, key: str = KEYS["anna"]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(timeout=WAIT_SECONDS, headers=headers) as client:
        return await client.get(f"{gateway.url}/reviews/statistics{query}")


async def test_a_person_reads_their_own_figures_and_no_others(gateway: GatewayProcess) -> None:
    """An agent reads none."""
    mine = (await read(gateway)).json()
    assert [(row["person"], row["decided"]) for row in mine["people"]] == [("anna", 1)]
    assert mine["group"] is None and mine["persons"] == 2
    of_all = (await read(gateway, key=KEYS["ben"])).json()
    assert [row["person"] for row in of_all["people"]] == ["anna", "ben"] and of_all["group"]["decided"] == 2
    one = (await read(gateway, "?person=anna", key=KEYS["ben"])).json()
    assert [row["person"] for row in one["people"]] == ["anna"]
    refused = await read(gateway, "?person=ben")
    assert refused.status_code == 403 and "for supervisors" in refused.json()["detail"]
    assert (await read(gateway, key="key-of-billing-bot-tests")).status_code == 403
    assert (await read(gateway, "?days=0")).status_code == 422
    assert (await read(gateway)).headers["cache-control"] == "no-store"


async def test_the_page_says_what_the_figures_do_not_show(gateway: GatewayProcess, running: Browser) -> None:
    """It is reached from the overview."""
    page = await (await person(running)).new_page()
    await sign_in(page, gateway, "anna", path="/desk/overview")
    await page.get_by_role("link", name="Statistics").click()
    await page.wait_for_url("**/desk/statistics")
    said = await page.locator("main").inner_text()
    assert "They do not show whether a decision was right" in said and "no duty" in said
    assert "anna" in said and "ben" not in said
    assert await faults_of(page) == []
