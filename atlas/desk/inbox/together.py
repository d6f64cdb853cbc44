"""Many calls at once: what was chosen in the inbox is shown once more, decided, and told one by one."""

import re
import secrets
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.datastructures import FormData

from atlas.assessors.policy.rules import DeskTable
from atlas.attention.views import views
from atlas.canonical import form_of_call
from atlas.cases.lists.listing import Line, lines_of
from atlas.cases.store import read_case
from atlas.desk.case.values import LONGEST_REASON
from atlas.desk.lines import Line as ArgumentLine
from atlas.desk.lines import lines_of as lines_of_value
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.models import Case, Verdict, plain_text
from atlas.people.programs.together import MOST_TOGETHER, NOT_ALIKE, OneOfMany, Result, Together, is_done
from atlas.reviews.together import are_alike, is_short, why_alone

TOGETHER = f"{DESK}/together"
CHOSEN = re.compile(r"(evt_[0-9a-f]{16}):([1-9][0-9]{0,8}):([0-9a-f]{64})")


class Chosen(NamedTuple):
    """A call as the inbox showed it when it was chosen."""

    case_id: str
    round_number: int
    seen_sha256: str

    @property
    def text(self) -> str:
        """As a form carries it."""
        return f"{self.case_id}:{self.round_number}:{self.seen_sha256}"


class Asked(NamedTuple):
    """A chosen call, and why it cannot be approved with the others."""

    chosen: Chosen
    line: Line
    arguments: tuple[ArgumentLine, ...] | None  # all of them; None: they are too long for a list
    why_not: str | None


def add_to(router: APIRouter, pages: Pages) -> None:
    """Take what was chosen in the inbox."""
    desk = _ManyAtOnce(pages)

    @router.post(TOGETHER)
    async def together(request: Request) -> Response:
        """Ask once more with a reason, and decide when that is answered."""
        form = await request.form()
        chosen, verdict = chosen_in(form), Verdict(str(form["verdict"])) if _is_verdict(form) else None
        reason = plain_text(str(form.get("reason", ""))).strip()
        if not chosen or verdict is None:
            return await desk.ask(request, (), Verdict.REJECTED, mistake="Choose calls in the inbox first.")
        if form.get("confirmed") != "yes":
            return await desk.ask(request, chosen, verdict)
        if verdict is Verdict.REJECTED and not reason:
            mistake = "Say why you reject: the agents read the reason. Nothing was done."
            return await desk.ask(request, chosen, verdict, mistake=mistake)
        return await desk.decide(
            request, chosen, verdict, reason[:LONGEST_REASON], key=str(form.get("key", ""))
        )


def _is_verdict(form: FormData) -> bool:
    return str(form.get("verdict", "")) in Verdict.__members__


def chosen_in(form: FormData) -> tuple[Chosen, ...]:
    """The calls that a form names, each once."""
    found = (CHOSEN.fullmatch(value) for value in form.getlist("case") if isinstance(value, str))
    chosen = {one[1]: Chosen(one[1], int(one[2]), one[3]) for one in found if one}
    return tuple(chosen.values())[:MOST_TOGETHER]


class _ManyAtOnce:
    """The pages of many calls."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._database = pages.parts.store.database
        self._together = Together(pages.parts, self._database, lambda: self._desk.together_below)

    @property
    def _desk(self) -> DeskTable:
        """What the policy in force says to the desk."""
        return self._pages.parts.policy.policy.file.desk

    async def ask(
        self, request: Request, chosen: Sequence[Chosen], verdict: Verdict, *, mistake: str = ""
    ) -> Response:
        """Show the chosen calls, and ask for the reason."""
        below = self._desk.together_below
        asked, alike = await self._database.look(partial(_asked, chosen=chosen, below=below))
        person = person_of(request)
        read = [one.chosen.case_id for one in asked if one.arguments is not None]
        await views(self._database, read, person.name, is_recorded=self._desk.record_views)
        return await self._pages.page(
            request,
            "together.html",
            person=person,
            status=422 if mistake else 200,
            verdict=verdict.value,
            asked=asked,
            differing=_differing(asked),
            not_alike="" if alike or verdict is Verdict.REJECTED else NOT_ALIKE,
            mistake=mistake,
            key=secrets.token_urlsafe(18),
            longest=LONGEST_REASON,
        )

    async def decide(
        self, request: Request, chosen: Sequence[Chosen], verdict: Verdict, reason: str, *, key: str
    ) -> Response:
        """Decide on each, and say what became of it."""
        many = [
            OneOfMany(
                case_id=one.case_id,
                verdict=verdict,
                reason=reason or None,
                round_number=one.round_number,
                seen_sha256=one.seen_sha256,
                idempotency_key=f"{key[:150]}:{one.case_id}" if key else None,
            )
            for one in chosen
        ]
        person = person_of(request)
        results = await self._together.decide(person, many)
        return await self._pages.page(
            request,
            "together_done.html",
            person=person,
            verdict=verdict.value,
            done=sum(map(is_done, results)),
            results=[(one, is_done(one), _told(one)) for one in results],
        )


def _told(result: Result) -> str:
    """Why nothing was done, or that the call was seeded."""
    if result.error is not None:
        return result.error.said_at_desk
    return (result.receipt.revealed if result.receipt else None) or ""


def _asked(connection: Connection, *, chosen: Sequence[Chosen], below: int) -> tuple[list[Asked], bool]:
    """The chosen calls that are there, and whether they are alike."""
    by_id = {one.case_id: one for one in chosen}
    lines = lines_of(connection, list(by_id))
    cases = [read_case(connection, line.case_id) for line in lines]
    asked = [
        Asked(by_id[line.case_id], line, _arguments(case), why_alone(case, below=below))
        for line, case in zip(lines, cases, strict=True)
    ]
    return asked, are_alike(cases)


def _arguments(case: Case) -> tuple[ArgumentLine, ...] | None:
    """What the tool gets, whole, as the page of the case shows it."""
    call = case.call_in_force
    form = form_of_call(call.arguments, call.continuation)
    return tuple(lines_of_value(form)) if is_short(case) else None


def _differing(asked: Sequence[Asked]) -> frozenset[ArgumentLine]:
    """The lines that do not stand in the arguments of all of the calls."""
    each = [frozenset(one.arguments) for one in asked if one.arguments is not None]
    every, none = frozenset[ArgumentLine]().union(*each), frozenset[ArgumentLine]()
    return every.difference(every.intersection(*each)) if each else none
