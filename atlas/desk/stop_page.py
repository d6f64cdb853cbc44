"""The page of stops: what is stopped and since when, the form of a stop, and the lift of one.

Neither is done at once: a second page says in numbers what will happen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.desk.seen import is_plain
from atlas.errors import StopNotFound
from atlas.instants import now
from atlas.models import Scope, Stop, plain_text
from atlas.stop.counting import reach_of, reach_of_lift
from atlas.stop.stops import LONGEST_REASON

STOP = f"{DESK}/stop"
LIFT = f"{STOP}/lift"
LONGEST_TARGET = 200
MOST_SHOWN = 50  # of the earlier stops
SCOPES = {
    Scope.EVERYTHING: "Everything",
    Scope.AGENT: "One agent",
    Scope.TOOL: "One tool",
    Scope.SERVER: "One server behind the gateway",
}


@dataclass
class Wish:
    """What a person wrote into the form of a stop."""

    scope: Scope | None = None
    targets: dict[str, str] = field(default_factory=dict)  # by scope, also of those that are not chosen
    reason: str = ""
    mistakes: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """What is to be stopped; empty for everything."""
        return "" if self.scope in (None, Scope.EVERYTHING) else self.targets[self.scope.value]


def wish_of(form: Mapping[str, Any]) -> Wish:
    """The form as it was written, with what is wrong about it."""
    scopes = {scope.value: scope for scope in Scope}
    wish = Wish(
        scopes.get(str(form.get("scope", ""))),
        {scope.value: str(form.get(scope.value, "")).strip() for scope in SCOPES},
        str(form.get("reason", "")),
    )
    if wish.scope is None:
        wish.mistakes["scope"] = "Choose what to stop."
    elif wish.scope is not Scope.EVERYTHING and not 0 < len(wish.target) <= LONGEST_TARGET:
        wish.mistakes[wish.scope.value] = f"Name the {wish.scope.value}."
    if not 0 < len(plain_text(wish.reason).strip()) <= LONGEST_REASON:
        wish.mistakes["reason"] = f"Give a reason of at most {LONGEST_REASON} characters: agents read it."
    return wish


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page of stops, and take its forms."""
    desk = _StopDesk(pages)

    @router.get(STOP)
    async def stops(request: Request) -> Response:
        """What is stopped, and the form; the address can say what it begins with."""
        asked = wish_of(request.query_params)
        return await desk.show(request, Wish(asked.scope, asked.targets))

    @router.post(STOP)
    async def stop(request: Request) -> Response:
        """Ask once more, and stop it when that is answered."""
        form = await request.form()
        wish = wish_of(form)
        if wish.mistakes or wish.scope is None:
            return await desk.show(request, wish, status=422)
        if form.get("confirmed") != "yes":
            return await desk.ask(request, wish, wish.scope)
        return await desk.stop(request, wish, wish.scope)

    @router.get(LIFT)
    async def before_lift(request: Request) -> Response:
        """Say what would go on, and ask for the reason."""
        return await desk.ask_lift(request, request.query_params.get("stop", ""))

    @router.post(LIFT)
    async def lift(request: Request) -> Response:
        """Lift it, with a reason."""
        form = await request.form()
        stop_id, reason = str(form.get("stop", "")), str(form.get("reason", ""))
        if not 0 < len(plain_text(reason).strip()) <= LONGEST_REASON:
            return await desk.ask_lift(request, stop_id, reason=reason, is_unfit=True)
        lifted = await desk.stops.lift(stop_id, reason=reason, person_name=person_of(request).name)
        if lifted.lifted_by == person_of(request).name:
            return pages.redirect(STOP)
        return await desk.show(request, Wish(), lifted_before=lifted)


class _StopDesk:
    """The pages of stops."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.stops = pages.parts.stops
        self._database = pages.parts.store.database

    async def show(
        self,
        request: Request,
        wish: Wish,
        *,
        status: int = 200,
        stopped_before: Stop | None = None,
        lifted_before: Stop | None = None,
    ) -> Response:
        """What is stopped with what it holds, the form, and what was stopped before."""
        in_force = await self.stops.in_force()
        reaches = [await self._database.look(partial(reach_of, stop=stop)) for stop in in_force]
        return await self._pages.page(
            request,
            "stop.html",
            person=person_of(request),
            status=status,
            in_force=list(zip(in_force, reaches, strict=True)),
            earlier=[stop for stop in await self.stops.newest(MOST_SHOWN) if not stop.is_in_force],
            names={scope.value: await self._choices(scope) for scope in SCOPES},
            scopes=SCOPES,
            wish=wish,
            stopped_before=stopped_before,
            lifted_before=lifted_before,
            longest=LONGEST_REASON,
        )

    async def _choices(self, scope: Scope) -> list[str]:
        """The names to choose from; one that hides something has to be written by hand."""
        return list(filter(is_plain, await self.stops.names(scope)))

    async def ask(self, request: Request, wish: Wish, scope: Scope) -> Response:
        """Say what a stop would do, before it is done."""
        person = person_of(request)
        stop = Stop(stop_id="", scope=scope, target=wish.target, reason="", stopped_by="", stopped_at=now())
        same = [one for one in await self.stops.in_force() if _is_same(one, stop)]
        known = await self.stops.names(stop.scope)
        return await self._pages.page(
            request,
            "stop_ask.html",
            person=person,
            reason=plain_text(wish.reason).strip(),
            stop=stop,
            same=same[0] if same else None,
            reach=await self._database.look(partial(reach_of, stop=stop)),
            is_unknown=stop.scope is not Scope.EVERYTHING and stop.target not in known,
        )

    async def stop(self, request: Request, wish: Wish, scope: Scope) -> Response:
        """Stop it; a person who has read that the name is unknown stops it all the same."""
        before = {one.stop_id for one in await self.stops.in_force()}
        made = await self.stops.stop(
            scope,
            wish.target,
            reason=wish.reason,
            person_name=person_of(request).name,
            even_if_unknown=True,
        )
        if made.stop_id in before:
            return await self.show(request, Wish(), stopped_before=made)
        return self._pages.redirect(STOP)

    async def ask_lift(
        self, request: Request, stop_id: str, *, reason: str = "", is_unfit: bool = False
    ) -> Response:
        """Say what the lift of a stop sets going; raises StopNotFound."""
        stop = next((one for one in await self.stops.in_force() if one.stop_id == stop_id), None)
        if stop is None:
            raise StopNotFound(stop_id=stop_id)
        return await self._pages.page(
            request,
            "lift.html",
            person=person_of(request),
            status=422 if is_unfit else 200,
            stop=stop,
            reach=await self._database.look(partial(reach_of_lift, stop=stop)),
            covered=await self._database.look(partial(reach_of, stop=stop)),
            reason=reason,
            mistake=f"Give a reason of at most {LONGEST_REASON} characters." if is_unfit else "",
            longest=LONGEST_REASON,
        )


def _is_same(stop: Stop, other: Stop) -> bool:
    return (stop.scope, stop.target) == (other.scope, other.target)
