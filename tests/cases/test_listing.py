"""Lists of cases: filters, orders and pages, and that none of them looks at more than it has to."""

import asyncio
import json
import re
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from store import assessment_of, open_case, open_store, tool_call

from atlas import ledger
from atlas.canonical import digest
from atlas.cases.edits import add_edit
from atlas.cases.endings import end_case, without_result
from atlas.cases.judgements import record_assessment
from atlas.cases.lists.filters import LONGEST_SEARCH
from atlas.cases.lists.finding import find
from atlas.cases.lists.listing import Filter, Line, Order, all_lines, count, lines_of, page_of
from atlas.cases.reviews import request_review
from atlas.cases.store import CaseStore, add_approval, add_decision, read_case, transition
from atlas.cases.tables import cases
from atlas.errors import RequestInvalid
from atlas.instants import now
from atlas.models import Approval, Case, Decision, Edit, Status, ToolCall, Verdict
from atlas.reviews.tables import escalations

DAY = timedelta(days=1)
WAITS = (Status.PENDING_REVIEW,)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CaseStore]:
    """An empty store."""
    async with open_store(tmp_path) as opened:
        yield opened


async def waiting(store: CaseStore, call: ToolCall, score: int = 80, *, days: int = 1, **fields: Any) -> Case:
    """A case that waits for a person, with its score."""
    case = await open_case(store, call)

    def wait(connection: Connection) -> Case:
        judged = record_assessment(connection, case, assessment_of(call, score, **fields))
        return request_review(connection, judged, days * DAY, reason="a test")

    return await store.database.write(wait)


async def several(store: CaseStore, number: int) -> list[str]:
    """Cases that wait, the oldest first, with other scores and other ends."""
    made = [
        await waiting(
            store, tool_call("read_file", number=index), score=70 + index * 7 % 10, days=1 + index * 3 % 5
        )
        for index in range(number)
    ]
    return [case.case_id for case in made]


def rejected(case: Case, reviewer: str = "anna", reason: str | None = None) -> Callable[[Connection], Case]:
    """The change with which a person rejects a case."""
    decision = Decision(
        decision=Verdict.REJECTED,
        reviewer=reviewer,
        reason=reason,
        arguments_sha256=case.call.arguments_sha256,
        decided_at=now(),
    )
    return lambda connection: transition(
        connection, add_decision(connection, case, decision), Status.REJECTED
    )


async def found(store: CaseStore, **asked: Any) -> list[str]:
    """The references of all cases that a filter lets through, the newest first."""
    batches = [batch async for batch in all_lines(store.database, Filter(**asked))]
    return [line.case_id for batch in batches for line in batch]


# Pages


@pytest.mark.parametrize("order", Order)
async def test_pages_have_each_case_once_while_cases_come_and_go(store: CaseStore, order: Order) -> None:
    """A case that was there from the first page to the last is on exactly one of them."""
    before = await several(store, 12)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        asked = Filter(statuses=WAITS)
        page = await page_of(store.database, asked, order=order, after=cursor, limit=5)
        seen += [line.case_id for line in page.lines]
        cursor = page.next_cursor
        if cursor is None:
            break
        await waiting(store, tool_call("read_file", late=len(seen)), score=99, days=2)
        last = await store.read(seen[-1])
        await store.database.write(rejected(last))  # the very case at which the cursor stands
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)


async def test_each_order_is_what_its_name_says(store: CaseStore) -> None:
    """Newest and oldest by opening, riskiest by score, nearest end by deadline."""
    await several(store, 10)
    lines = {
        order: (await page_of(store.database, Filter(statuses=WAITS), order=order)).lines for order in Order
    }
    assert [line.opened_at for line in lines[Order.OLDEST]] == sorted(
        one.opened_at for one in lines[Order.OLDEST]
    )
    assert lines[Order.NEWEST] == lines[Order.OLDEST][::-1]
    scores = [line.risk_score or 0 for line in lines[Order.RISKIEST]]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    ends = [line.expires_at for line in lines[Order.NEAREST_END] if line.expires_at]
    assert ends == sorted(ends) and len(ends) == 10


@pytest.mark.parametrize("cursor", ["", "x", "bmljZQ", "W10", "é", "W1tdXQ", "eyJhIjoxfQ", "A" * 500])
async def test_a_wrong_cursor_is_a_sentence(store: CaseStore, cursor: str) -> None:
    """An empty one, one of another kind, and a very long one."""
    with pytest.raises(RequestInvalid, match=r"Leave `after` out"):
        await page_of(store.database, Filter(), after=cursor)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize(
    "place",
    [
        [10**30, "2026-01-01", "evt_1"],  # more than SQLite counts
        [-(10**30), "2026-01-01", "evt_1"],
        [101, "2026-01-01", "evt_1"],
        [True, "2026-01-01", "evt_1", "more"],
        [5, "2026-01-01", "\ud800"],  # half a character, which no file can hold
        ["\ud800", "2026-01-01", "evt_1"],
        ["x", "2026-01-01", "\ud800"],
        [[], "2026-01-01", "evt_1"],
        [{}, "2026-01-01", "evt_1"],
        [None, "2026-01-01", None],
    ],
)
async def test_a_cursor_that_a_stranger_made_is_a_sentence(
    store: CaseStore, order: Order, place: list[Any]
) -> None:
    """Its values reach SQLite, whose errors are no sentence."""
    cursor = b64encode(json.dumps([order.value, *place]).encode(), b"-_").decode().rstrip("=")
    with pytest.raises(RequestInvalid, match="Leave `after` out"):
        await page_of(store.database, Filter(statuses=WAITS), order=order, after=cursor)


async def test_a_cursor_that_is_deep_is_a_sentence(store: CaseStore) -> None:
    """The address of a page has room for thousands of brackets."""
    with pytest.raises(RequestInvalid, match="Leave `after` out"):
        await page_of(store.database, Filter(), after=b64encode(b"[" * 30_000).decode())


async def test_a_cursor_of_another_order_is_refused(store: CaseStore) -> None:
    """Its place means nothing there."""
    await several(store, 3)
    cursor = (
        await page_of(store.database, Filter(statuses=WAITS), order=Order.RISKIEST, limit=1)
    ).next_cursor
    with pytest.raises(RequestInvalid, match="another order"):
        await page_of(store.database, Filter(statuses=WAITS), order=Order.NEWEST, after=cursor)


async def test_the_orders_of_what_waits_are_for_nothing_else(store: CaseStore) -> None:
    """Else a page would sort the whole history."""
    with pytest.raises(RequestInvalid, match="PENDING_REVIEW alone"):
        await page_of(store.database, Filter(), order=Order.RISKIEST)


async def test_a_search_whose_time_is_up_goes_on_at_its_cursor(store: CaseStore) -> None:
    """A page can be empty and have a cursor; the last one finds what the first ones did not come to."""
    oldest = await waiting(store, tool_call("read_file", word="zebrafish"))
    await store.database.write(lambda connection: many(connection, oldest, 600))
    pages, cursor, lines = 0, None, []
    while pages == 0 or cursor is not None:
        page = await page_of(store.database, Filter(q="zebrafish"), after=cursor, limit=5, seconds=0)
        pages, cursor, lines = pages + 1, page.next_cursor, [*lines, *page.lines]
    assert [line.case_id for line in lines] == [oldest.case_id]
    assert pages == 3  # of 250 rows each


def many(connection: Connection, like: Case, number: int) -> None:
    """More cases, later ones."""
    for index in range(number):
        later = like.opened_at + timedelta(seconds=1 + index)
        row = {"case_id": f"evt_{index:016x}", "principal": "other", "tool_name": "t", "arguments": "{}"}
        row |= {"arguments_sha256": f"{index:064x}", "status": "EXECUTED"}
        connection.execute(cases.insert().values(**row, opened_at=later))


async def test_a_count_counts_and_stops_at_the_most(store: CaseStore) -> None:
    """Of what waits, by filter too."""
    await several(store, 7)
    assert await count(store.database, Filter(statuses=WAITS)) == 7
    assert await count(store.database, Filter(statuses=WAITS, score_at_least=77)) == 2
    assert await count(store.database, Filter(statuses=WAITS), most=3) == 3


# Filters


async def test_each_filter_lets_its_cases_through_and_no_others(store: CaseStore) -> None:
    """Alone, and together with others."""
    first = await waiting(store, tool_call("read_file", "bot", n=1), score=75, reviewers=("anna",))
    second = await waiting(store, tool_call("drop_table", "bot", n=2), score=95)
    third = await waiting(store, tool_call("read_file", "other", n=3), score=99, reviewers=("bruno", "desk"))
    await store.database.write(rejected(third, "bruno"))
    one, two, three = first.case_id, second.case_id, third.case_id
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [three, two, one]),
        ({"statuses": WAITS}, [two, one]),
        ({"statuses": (Status.REJECTED,)}, [three]),
        ({"statuses": (Status.REJECTED, Status.EXECUTED)}, [three]),
        ({"statuses": (Status.QUEUED, Status.PENDING_REVIEW)}, [two, one]),
        ({"tool": "read_file"}, [three, one]),
        ({"tool": "read"}, []),
        ({"agent": "bot"}, [two, one]),
        ({"agent": "bot", "tool": "read_file", "statuses": WAITS}, [one]),
        ({"score_at_least": 95}, [three, two]),
        ({"reviewer": "bruno"}, [three]),
        ({"reviewer": "anna"}, []),
        ({"group": "desk"}, [three]),
        ({"group": "anna", "statuses": WAITS}, [one]),
        ({"is_waiting_for": ("anna",), "statuses": WAITS}, [two, one]),
        ({"is_waiting_for": ("carla", "group:desk"), "statuses": WAITS}, [two]),
        ({"is_waiting_for": ("carla", "anna"), "statuses": WAITS}, [two, one]),
        ({"opened_after": second.opened_at}, [three, two]),
        ({"opened_before": second.opened_at}, [one]),
        ({"opened_after": second.opened_at, "opened_before": third.opened_at}, [two]),
    ]
    for asked, matching in expected:
        assert await found(store, **asked) == matching, asked


async def test_a_case_that_waited_too_long_waits_for_those_to_whom_it_went_too(store: CaseStore) -> None:
    """In its own round; a group is found by its name with or without what makes it one."""
    case = await waiting(store, tool_call("read_file", "bot"), reviewers=("anna", "group:seniors"))
    row = {"case_id": case.case_id, "step": 1, "to_whom": "group:leads", "escalated_at": now()}
    insert = escalations.insert()
    await store.database.write(lambda connection: connection.execute(insert, row | {"round_number": 2}))
    leads = {"is_waiting_for": ("carla", "group:leads"), "statuses": WAITS}
    assert await found(store, **leads) == []
    await store.database.write(lambda connection: connection.execute(insert, row | {"round_number": 1}))
    assert await found(store, **leads) == [case.case_id]
    [line] = await store.database.read(lambda connection: lines_of(connection, [case.case_id]))
    assert line.reviewers == ("anna", "group:seniors", "group:leads")
    for group in ("seniors", "group:seniors", "anna"):
        assert await found(store, group=group) == [case.case_id]
    assert await found(store, group="senior") == []


HOSTILE = 'Müller said "100 %_!" \\ \u202e\U0001f600\n'


@pytest.mark.parametrize(
    "text",
    [
        *("BEN-4711", "ben-4711", "4711", "müller", "MÜLLER", "Müller said", '"100 %_!"', "\\", "\u202e"),
        *("\U0001f600", "drop_table", "DROP", "bot-7", "why not", "of the user", "anna", "too late"),
        *("counted by me", "bruno"),
    ],
)
async def test_a_text_is_found_wherever_a_person_can_read_it(store: CaseStore, text: str) -> None:
    """In arguments, tool, agent, claims, reviewer and reason; capitals make no difference."""
    call = tool_call("drop_table", "bot-7", beneficiary="BEN-4711", note=HOSTILE)
    claims = {"intent": "Why not?", "user_request": "A wish of the user"}
    case = await waiting(store, call.model_copy(update=claims))
    await waiting(store, tool_call("other", "else", beneficiary="XEN"))
    part = Approval(
        reviewer="bruno", reason="counted by me", arguments_sha256=call.arguments_sha256, decided_at=now()
    )
    await store.database.write(lambda connection: add_approval(connection, case, part))
    await store.database.write(rejected(case, "anna", "Too late"))
    assert await found(store, q=text) == [case.case_id]
    assert await found(store, q=case.case_id) == [case.case_id]


async def test_a_changed_argument_is_found_by_both_of_its_values(store: CaseStore) -> None:
    """By the one that the agent sent, and by the one that the tool gets."""
    case = await waiting(store, tool_call("pay", to="old-account"))
    await waiting(store, tool_call("pay", to="another"))
    changed = {"to": 'the "new" account'}
    said = {"arguments": changed, "arguments_sha256": digest(changed)}
    edit = Edit(round_number=1, edited_by="anna", edited_at=now(), **said)
    await store.database.write(lambda connection: add_edit(connection, case, edit))
    for text in ("old-account", 'THE "NEW" ACCOUNT'):
        assert await found(store, q=text) == [case.case_id]
        assert await found(store, q=text, statuses=WAITS) == [case.case_id]
    assert await found(store, q="newer") == []


@pytest.mark.parametrize(
    "text", ["%", "_x_", "!", "b_n", "100 %%", "' OR 1=1 --", "BEN%4711", "x" * LONGEST_SEARCH]
)
async def test_a_text_means_itself(store: CaseStore, text: str) -> None:
    """What means something to LIKE, or to SQL, means nothing in a search."""
    await waiting(store, tool_call("tool", "agent", beneficiary="BEN-4711"))
    assert await found(store, q=text) == []
    assert await found(store, q=text, statuses=WAITS) == []
    page = await page_of(store.database, Filter(q=text, statuses=WAITS), order=Order.RISKIEST)
    assert page.lines == () and page.next_cursor is None


# Lines


async def test_a_line_says_what_the_case_says(store: CaseStore) -> None:
    """For each way in which a case ends, and for one that waits in its second round."""
    ends: dict[Status, Callable[[Connection, Case], Case]] = {
        Status.REJECTED: lambda connection, case: rejected(case)(connection),
        Status.EXPIRED: lambda connection, case: end_case(
            connection, case, Status.EXPIRED, ledger.Action.EXPIRED, detail={}
        ),
        Status.DENIED: lambda connection, case: end_case(
            connection, case, Status.DENIED, ledger.Action.DENIED, detail={}, outcome=without_result("no")
        ),
        Status.WITHDRAWN: lambda connection, case: end_case(
            connection, case, Status.WITHDRAWN, ledger.Action.WITHDRAWN, detail={}
        ),
        Status.PENDING_REVIEW: lambda connection, case: case,
    }
    for status, end in ends.items():
        case = await waiting(store, tool_call("read_file", status=status.value), reviewers=("anna",))
        await store.database.write(lambda connection, end=end, case=case: end(connection, case))
        case = await store.read(case.case_id)
        [line] = await store.database.read(lambda connection, case=case: lines_of(connection, [case.case_id]))
        assert_same(line, case)
        assert line.version == await newest_entry(store, case.case_id)


def assert_same(line: Line, case: Case) -> None:
    """A line and a case, field by field."""
    assert case.assessment is not None
    assert (line.case_id, line.tool_name, line.principal) == (
        case.case_id,
        case.call.tool_name,
        case.call.principal,
    )
    names = ("status", "opened_at", "expires_at", "round_number", "finished_at")
    assert [getattr(line, name) for name in names] == [getattr(case, name) for name in names]
    assert (line.risk_score, line.classification) == (
        case.assessment.risk_score,
        case.assessment.classification,
    )
    assert line.reviewers == ("anna",) and line.arguments_sha256 == case.call.arguments_sha256
    decision = case.decision
    told = (decision.decision, decision.reviewer, decision.decided_at) if decision else (None, None, None)
    assert (line.decision, line.reviewer, line.decided_at) == told
    assert isinstance(line.opened_at, datetime) and line.opened_at.tzinfo is not None


async def newest_entry(store: CaseStore, case_id: str) -> int:
    """The number of the newest ledger entry of a case."""
    entries = ledger.entries_of
    numbers = await store.database.read(
        lambda connection: [entry["seq"] for entry in entries(connection, case_id)]
    )
    return max(numbers)


# What a list costs

FILTERS: list[tuple[dict[str, Any], Order]] = [
    *(({"statuses": WAITS}, order) for order in Order),
    ({"statuses": WAITS, "q": "word"}, Order.RISKIEST),
    ({"statuses": WAITS, "is_waiting_for": ("anna", "group:desk"), "group": "desk"}, Order.RISKIEST),
    ({"statuses": WAITS, "agent": "a", "tool": "t", "score_at_least": 90}, Order.NEAREST_END),
    *(({}, order) for order in (Order.NEWEST, Order.OLDEST)),
    ({"q": "word"}, Order.NEWEST),
    ({"agent": "a", "q": "word"}, Order.NEWEST),
    ({"tool": "t"}, Order.OLDEST),
    ({"statuses": (Status.REJECTED,), "reviewer": "anna"}, Order.NEWEST),
    ({"statuses": (Status.REJECTED, Status.EXECUTED), "score_at_least": 3}, Order.NEWEST),
    ({"reviewer": "anna"}, Order.NEWEST),
    ({"opened_after": now(), "opened_before": now()}, Order.NEWEST),
    ({"statuses": (Status.QUEUED, Status.AUTHORIZED)}, Order.OLDEST),
]


@contextmanager
def explained(store: CaseStore) -> Iterator[tuple[Connection, list[tuple[str, list[str]]]]]:
    """A connection, and afterwards each of its statements with the steps of its plan."""
    engine = sa.create_engine(f"sqlite:///{store.database.path}")
    run: list[tuple[str, Any]] = []
    plans: list[tuple[str, list[str]]] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: run.append(given[2:4]))
    with engine.connect() as connection:
        yield connection, plans
        for text, values in list(run):
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
            plans.append((text, [str(step[-1]) for step in steps]))
    engine.dispose()


@pytest.mark.sqlite("test_listing_postgresql.py has the plans of PostgreSQL")
@pytest.mark.parametrize(("asked", "order"), FILTERS)
async def test_no_statement_looks_at_every_row(store: CaseStore, asked: dict[str, Any], order: Order) -> None:
    """Each goes along an index from one place to another; a list by time sorts nothing."""
    await several(store, 3)
    with explained(store) as (connection, plans):
        place = find(connection, Filter(statuses=WAITS), order, after=None, limit=1).stopped_at
        got = find(connection, Filter(**asked), order, after=place, limit=2)
        lines_of(connection, got.case_ids or ["evt_0"])
    assert len(plans) >= 3
    for _, steps in plans:
        scans = [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
        assert [
            step for step in scans if not re.search(r"INDEX (ix|uq)_cases_(waiting|opened_at|unf)", step)
        ] == []
        is_sorted = any("TEMP B-TREE FOR ORDER BY" in step for step in steps)
        small = not order.is_by_time or "QUEUED" in str(asked)  # what waits, and what has not ended
        assert small or not is_sorted, steps


@pytest.mark.sqlite("PostgreSQL keeps long texts apart from their rows")
async def test_a_list_does_not_read_the_arguments(store: CaseStore) -> None:
    """A megabyte of them costs a list nothing; that of what waits does not even look at the rows."""
    await several(store, 3)
    with explained(store) as (connection, plans):
        got = find(connection, Filter(statuses=WAITS), Order.NEAREST_END, after=None, limit=2)
        lines_of(connection, got.case_ids)
    assert not [text for text, _ in plans if "cases.arguments," in text or "cases.intent" in text]
    assert plans[0][1][0] == "SCAN cases USING COVERING INDEX ix_cases_waiting"


async def test_a_long_search_holds_up_no_read_of_an_agents_call(store: CaseStore) -> None:
    """Searches have a thread of their own: while one is held, a case is read."""
    case = await waiting(store, tool_call("read_file"))
    held, go_on = threading.Event(), threading.Event()

    def search(connection: Connection) -> None:
        held.set()
        assert go_on.wait(20)

    searches = [asyncio.create_task(store.database.look(search)) for _ in range(5)]
    await asyncio.to_thread(held.wait, 20)
    assert (await store.database.read(lambda connection: read_case(connection, case.case_id))).case_id
    go_on.set()
    await asyncio.gather(*searches)
