"""The live stream of the desk: which case is at which version; what a page shows, it asks for itself."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from atlas.desk.live.teller import Teller
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.people.person import Way
from atlas.people.sessions import Session

PATH = f"{DESK}/live"


class EventStream(StreamingResponse):
    """The answer that stays open: one place among the streams as long as its browser listens."""

    def __init__(self, teller: Teller, person_name: str, session: str | None) -> None:
        # X-Accel-Buffering: nginx hands each message on at once.
        super().__init__((), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._teller, self._place = teller, (person_name, session)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the browser goes, the session ends or the gateway stops."""
        with self._teller.streams.opened(*self._place) as stream:
            self.body_iterator = self._teller.listen(stream)
            await super().__call__(scope, receive, send)


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the stream, and the same as one answer."""
    teller = pages.parts.teller

    @router.get(PATH)
    async def stream(request: Request) -> Response:
        """Server-sent events: which case is at which version."""
        person = person_of(request)
        if not teller.streams.has_room(person.name):
            return Response("Too many open streams.", status_code=503)
        session: Session | None = None if person.way is Way.OPEN else request.state.session
        return EventStream(teller, person.name, session.session_sha256 if session else None)

    @router.get(f"{PATH}/newer")
    async def newer(request: Request, after: Annotated[int, Query(ge=0)] = 0) -> Response:
        """What changed after an entry, for a page that was away or cannot hold a stream."""
        return Response((await teller.news(after)).text(), media_type="application/json")

    @router.get(f"{DESK}/stopped")
    async def stopped(request: Request) -> Response:
        """What is stopped, for a page that heard that it changed."""
        stopped = await pages.parts.stops.in_force()
        return await pages.page(request, "stopped.html", person=person_of(request), stopped=stopped)
