"""The history: every case with its ending, found by what the address asks for, on pages and in files."""

from collections.abc import AsyncGenerator, Mapping

import anyio
from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from atlas import ledger
from atlas.cases.lists.filters import Filter
from atlas.cases.lists.listing import page_of
from atlas.cases.lists.naming import names_of_cases
from atlas.cases.lists.remarks import with_remarks
from atlas.database.database import Database
from atlas.desk.history.exports import FORMATS, pieces
from atlas.desk.history.searching import CHOICES, LINES, Search, search_of
from atlas.desk.history.told import told_of
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.desk.seen import is_plain
from atlas.errors import RequestInvalid
from atlas.instants import now
from atlas.people.person import Person

HISTORY = f"{DESK}/history"


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the history and its files."""
    database = pages.parts.store.database

    @router.get(HISTORY)
    async def history(request: Request) -> Response:
        """A page of what was asked for, the newest first."""
        search, after = search_of(request.query_params), request.query_params.get("after") or None
        page = None
        if not search.mistakes:
            page = await page_of(database, search.filter, after=after, limit=search.lines)
        lines = await with_remarks(database, page.lines if page else ())
        agents, tools = await names_of_cases(database)
        return await pages.page(
            request,
            "history.html",
            person=person_of(request),
            status=422 if search.mistakes else 200,
            search=search,
            found=page,
            lines=[(line, told_of(line, remark)) for line, remark in lines],
            is_first=after is None,
            choices=CHOICES,
            sizes=LINES,
            agents=list(filter(is_plain, agents)),
            tools=list(filter(is_plain, tools)),
            moment=now(),
        )

    @router.post(f"{HISTORY}/export")
    async def export(request: Request) -> Response:
        """The whole list as a file."""
        search, name = search_of(request.query_params), str((await request.form()).get("format", ""))
        if search.mistakes or name not in FORMATS:
            raise RequestInvalid(reason="The filter or the format of the export cannot be understood.")
        note = ExportNote(database, person_of(request), search, name)
        await note.begin()
        return Export(note)


class ExportNote:
    """The entries of one export in the ledger: that it was asked for, and how much of it was sent."""

    def __init__(self, database: Database, person: Person, search: Search, format_name: str) -> None:
        self.database, self.format_name = database, format_name
        self.filter: Filter = search.filter
        self.lines = 0
        self._person = person
        self._about = {
            "format": format_name,
            "filter": {name: text for name, text in search.written.items() if text},
        }

    async def begin(self) -> None:
        """Write down who asks for what, before anything is sent."""
        await self._append(ledger.Action.EXPORT_BEGUN, {})

    async def end(self, *, is_whole: bool) -> None:
        """Write down how many lines were sent, and whether that is all of them."""
        await self._append(ledger.Action.EXPORTED, {"lines": self.lines, "is_whole": is_whole})

    def sent(self, lines: int) -> None:
        """Count lines that were handed to the connection."""
        self.lines += lines

    async def _append(self, action: ledger.Action, more: Mapping[str, object]) -> None:
        def work(connection: Connection) -> None:
            ledger.append(
                connection, ledger.NO_CASE, action, actor=self._person.name, detail=self._about | dict(more)
            )

        await self.database.write(work)


class Export(StreamingResponse):
    """Sends the file piece by piece; where the connection breaks, the reading ends."""

    def __init__(self, note: ExportNote) -> None:
        self._note = note
        self._pieces: AsyncGenerator[bytes] = pieces(note.database, note.filter, note.format_name, note.sent)
        self._is_whole = False
        name = f"atlas-cases-{now():%Y-%m-%d-%H%M%S}.{note.format_name}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(self._all(), media_type=FORMATS[note.format_name][0], headers=headers)

    async def _all(self) -> AsyncGenerator[bytes]:
        async for piece in self._pieces:
            yield piece
        self._is_whole = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and write down how far it came."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):  # a broken connection cancels what is awaited here
                await self._pieces.aclose()
                await self._note.end(is_whole=self._is_whole)
