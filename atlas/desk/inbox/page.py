"""The inbox: what waits for a person, which of it, and in which order."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from atlas.cases.lists.listing import Line, count, lines_of, page_of
from atlas.cases.lists.naming import names_of_waiting
from atlas.cases.tables import WAITING, cases
from atlas.desk.inbox.alike import groups_of
from atlas.desk.inbox.asked import AGES, ORDERS, RISKS, Asked, Whose, is_for, read_asked
from atlas.desk.inbox.glimpse import glimpses_of
from atlas.desk.inbox.happened import happened
from atlas.desk.inbox.kept_filters import forget, keep, kept_of
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.errors import CaseNotFound
from atlas.instants import now
from atlas.ledger import newest
from atlas.people.person import Person
from atlas.reviews.claims import MOST_ASIDE, aside_of, assignments_of, claims_of, count_assigned
from atlas.reviews.eligibility import entries_of_person

LINES = 50  # of a page
COUNTED = {Whose.MINE: "mine", Whose.ALL: "in_all", Whose.ASSIGNED: "assigned"}
MOST_COUNTED = 1000
MOST_NAMES = 200  # of tools, and of agents, that the form offers
MOST_ARRIVALS = 50

_IN_ALL = sa.select(sa.func.count()).select_from(
    sa.select(cases.c.case_id).where(WAITING).limit(MOST_COUNTED).subquery()
)


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the inbox, its lines, and the filters that a person keeps."""
    database = pages.parts.store.database

    @router.get(DESK)
    async def inbox(request: Request) -> Response:
        """What waits."""
        person, asked = person_of(request), read_asked(request.query_params)
        return await pages.page(
            request,
            "inbox.html",
            person=person,
            asked=asked,
            choices={"orders": ORDERS, "risks": RISKS, "ages": AGES},
            kept=await kept_of(database, person.name),
            together_below=pages.parts.policy.policy.file.desk.together_below,
            **await _waiting(pages, person, asked, after=request.query_params.get("after")),
        )

    @router.get(f"{DESK}/counts")
    async def counts(request: Request) -> Response:
        """How many wait, for a page that heard that it is not as many any more."""
        person, asked = person_of(request), read_asked(request.query_params)
        return await pages.page(
            request, "counts.html", person=person, asked=asked, **await _counts(pages, person)
        )

    @router.get(f"{DESK}/lines/{{case_id}}")
    async def line(request: Request, case_id: str) -> Response:
        """One line, for a page that shows it already."""
        lines = await database.look(lambda connection: lines_of(connection, [case_id]))
        if not lines:
            raise CaseNotFound(case_id=case_id)
        return await _lines(pages, request, lines)

    @router.get(f"{DESK}/arrivals")
    async def arrivals(request: Request, case: list[str] = Query(default=[])) -> Response:  # noqa: B008
        """The lines of new calls that belong into this inbox, for a page that heard of them."""
        person, asked = person_of(request), read_asked(request.query_params)
        asked_for = case[:MOST_ARRIVALS]
        lines = await database.look(lambda connection: lines_of(connection, asked_for))
        entries = await database.look(partial(entries_of_person, person=person))
        away = await database.look(partial(not_of_list, asked=asked, person=person, case_ids=asked_for))
        fit = [line for line in lines if asked.has(line, entries) and line.case_id not in away]
        return await _lines(pages, request, fit)

    @router.post(f"{DESK}/kept")
    async def keep_filter(request: Request) -> Response:
        """Keep a filter under a name."""
        form = await request.form()
        asked = read_asked({name: str(form.get(name, "")) for name in Asked.model_fields})
        await keep(database, person_of(request).name, name=str(form.get("name", "")), query=asked.query)
        return pages.redirect(asked.but())

    @router.post(f"{DESK}/kept/delete")
    async def delete_filter(request: Request) -> Response:
        """Delete one."""
        form = await request.form()
        await forget(database, person_of(request).name, name=str(form.get("name", "")))
        return pages.redirect(read_asked({key: str(value) for key, value in form.items()}).but())


async def _waiting(pages: Pages, person: Person, asked: Asked, *, after: str | None) -> dict[str, Any]:
    """What the page shows of the calls."""
    database = pages.parts.store.database
    entries = await database.look(partial(entries_of_person, person=person))
    wanted = asked.filter_of(person.name, entries)
    # The position first: what changes meanwhile is asked for once more.
    position = await database.look(newest)
    page = await page_of(database, wanted, order=asked.order, after=after, limit=LINES)
    tools, agents = await database.look(partial(names_of_waiting, most=MOST_NAMES))
    counts = await _counts(pages, person)
    is_counted = asked.narrows and (page.next_cursor or after)
    return {
        "position": position,
        "groups": groups_of(page.lines),
        "next_cursor": page.next_cursor,
        "after": after,
        "found": await count(database, wanted, most=MOST_COUNTED)
        if is_counted
        else counts[COUNTED[asked.whose]],
        "tools": tools,
        "agents": agents,
        "aside": list((await database.look(partial(aside_of, person=person.name))).items())[:MOST_ASIDE],
        "seconds_until": seconds_until,
        **counts,
        **await _of_lines(pages, person, page.lines),
    }


async def _counts(pages: Pages, person: Person) -> dict[str, Any]:
    """How many calls wait for a person, and how many in all."""
    database = pages.parts.store.database
    entries = await database.look(partial(entries_of_person, person=person))
    return {
        "mine": await count(database, Asked().filter_of(person.name, entries), most=MOST_COUNTED),
        "assigned": await database.look(partial(count_assigned, person=person.name, most=MOST_COUNTED)),
        "in_all": int(await database.look(lambda connection: connection.scalar(_IN_ALL)) or 0),
        "most": MOST_COUNTED,
        "Whose": Whose,
    }


async def _lines(pages: Pages, request: Request, lines: Sequence[Line]) -> Response:
    person = person_of(request)
    beside = await _of_lines(pages, person, lines)
    return await pages.page(request, "lines.html", person=person, lines=lines, **beside)


async def _of_lines(pages: Pages, person: Person, lines: Sequence[Line]) -> dict[str, Any]:
    """What lines need beside themselves."""
    asked = [line.case_id for line in lines]
    database = pages.parts.store.database
    entries = await database.look(partial(entries_of_person, person=person))
    glimpses = await database.look(lambda connection: glimpses_of(connection, asked))
    taken = await database.look(lambda connection: claims_of(connection, asked))
    given = await database.look(lambda connection: assignments_of(connection, asked))

    def said(line: Line) -> str:
        what = f"{line.tool_name} by {line.principal}"
        ending = happened(line)
        return f"{what}: {ending.text}" if ending else f"{what} waits"

    return {
        "looking": pages.parts.looking.everywhere(person.name),
        "glimpses": glimpses,
        "taken": taken,
        "given": given,
        "happened": happened,
        "said": said,
        "is_mine": partial(is_for, entries=entries),
    }


def not_of_list(connection: Connection, *, asked: Asked, person: Person, case_ids: Sequence[str]) -> set[str]:
    """Those of some calls that this list leaves out for this person alone."""
    if asked.whose is Whose.MINE:
        return set(aside_of(connection, person.name))
    given = assignments_of(connection, case_ids) if asked.whose is Whose.ASSIGNED else {}
    own = {case_id for case_id, one in given.items() if one.person == person.name}
    return set(case_ids) - own if asked.whose is Whose.ASSIGNED else set()


def seconds_until(at: datetime) -> int:
    """How long a page waits until then."""
    return max(1, int((at - now()).total_seconds()) + 1)
