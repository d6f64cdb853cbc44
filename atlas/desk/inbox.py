"""The inbox: what waits for a person, which of it, and in which order."""

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.engine import Connection

from atlas.cases.listing import Filter, Line, count, lines_of, page_of
from atlas.cases.tables import WAITING, cases
from atlas.desk.alike import groups_of
from atlas.desk.asked import AGES, ORDERS, RISKS, Asked, Whose, read_asked
from atlas.desk.happened import happened
from atlas.desk.kept_filters import forget, keep, kept_of
from atlas.desk.news import newest
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.errors import CaseNotFound
from atlas.models import Status
from atlas.people.person import Person

LINES = 50  # of a page
MOST_COUNTED = 1000
MOST_NAMES = 200  # of tools, and of agents, that the form offers
MOST_ARRIVALS = 50


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
        return await _lines(pages, request, [line for line in lines if asked.has(line, person)])

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
    database, wanted = pages.parts.store.database, asked.filter_for(person)
    # The position first: what changes meanwhile is asked for once more.
    position = await database.look(newest)
    page = await page_of(database, wanted, order=asked.order, after=after, limit=LINES)
    tools, agents = await database.look(_names)
    return {
        "position": position,
        "groups": groups_of(page.lines),
        "next_cursor": page.next_cursor,
        "after": after,
        "found": await count(database, wanted, most=MOST_COUNTED),
        "tools": tools,
        "agents": agents,
        **await _counts(pages, person),
        **_of_lines(pages, person),
    }


async def _counts(pages: Pages, person: Person) -> dict[str, Any]:
    """How many calls wait for a person, and how many in all."""
    database = pages.parts.store.database
    everything = Filter(statuses=(Status.PENDING_REVIEW,))
    return {
        "mine": await count(database, Asked().filter_for(person), most=MOST_COUNTED),
        "in_all": await count(database, everything, most=MOST_COUNTED),
        "most": MOST_COUNTED,
        "Whose": Whose,
    }


async def _lines(pages: Pages, request: Request, lines: Any) -> Response:
    person = person_of(request)
    return await pages.page(request, "lines.html", person=person, lines=lines, **_of_lines(pages, person))


def _of_lines(pages: Pages, person: Person) -> dict[str, Any]:
    """What a line needs beside itself."""

    def said(line: Line) -> str:
        what = f"{line.tool_name} by {line.principal}"
        ending = happened(line)
        return f"{what}: {ending.text}" if ending else f"{what} waits"

    return {"looking": pages.parts.looking.everywhere(person.name), "happened": happened, "said": said}


def _names(connection: Connection) -> tuple[list[str], list[str]]:
    """The tools and the agents of what waits, for the form to offer."""
    return tuple(  # type: ignore[return-value]
        list(
            connection.scalars(sa.select(column).distinct().where(WAITING).order_by(column).limit(MOST_NAMES))
        )
        for column in (cases.c.tool_name, cases.c.principal)
    )
