"""The page of a case: a person understands one call, comments on it, and decides it."""

import asyncio
from functools import partial
from typing import Any, Literal, NamedTuple

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.datastructures import FormData
from starlette.responses import JSONResponse

from atlas.attention.views import opens, views
from atlas.canonical import LARGEST_INTEGER, canonical_json, form_of_call
from atlas.cases.comments import LONGEST_COMMENT, add_comment
from atlas.cases.lists.listing import Filter, Order, page_of
from atlas.desk.case.dossier import Dossier, read_dossier
from atlas.desk.case.edit_fields import Typed, arguments_in, dropped_of, fields_of, typed_in
from atlas.desk.case.origins import origins_of
from atlas.desk.case.taking import Taken, Taking, has_taken, read_taking
from atlas.desk.case.values import LONGEST_REASON, values_of, whole
from atlas.desk.lines import MOST_LINES, stretch
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.errors import AtlasError, NotAuthenticated, RequestInvalid
from atlas.models import Case, Status, Verdict, plain_text
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.deciding import decide, take_back
from atlas.people.passkeys.asking import ask_to_approve
from atlas.people.passkeys.ceremonies import origin_of
from atlas.people.person import Person
from atlas.people.records.mentions import NO_ONE_KNOWN, KnownPeople, known_people, mentioned_in
from atlas.people.visitors import is_automatic
from atlas.reviews.claims import renew
from atlas.reviews.earlier_edits import arguments_in_round
from atlas.reviews.eligibility import entries_of_person
from atlas.reviews.permission import Standing, standing_of

PATH = f"{DESK}/cases/{{ref}}"
CHANGED = "CHANGED"  # the button that approves with changed arguments
What = Literal["arguments", "canonical", "definition", "result"]


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page of a case, its parts, and its forms."""
    desk = CasePages(pages)
    taking = Taking(pages, desk.show)

    @router.get(PATH)
    async def case(request: Request, ref: str) -> Response:
        """The page, or for htmx its body."""
        return await desk.show(request, ref)

    @router.get(f"{PATH}/looking")
    async def looking(request: Request, ref: str) -> Response:
        """Who else looks; asked once in a while by an open page, which says so that it is looked at."""
        return await desk.show_looking(request, ref)

    @router.get(f"{PATH}/arguments.json")
    async def exact_bytes(request: Request, ref: str) -> Response:
        """The very bytes whose digest was judged, as a file."""
        call = (await pages.parts.store.read(ref)).call_in_force
        await desk.note_reading(request, ref)
        form = canonical_json(form_of_call(call.arguments, call.continuation))
        name = {"Content-Disposition": f'attachment; filename="{ref}.json"'}
        return Response(form, media_type="application/json", headers=name)

    @router.get(f"{PATH}/all/{{what}}")
    async def all_of_it(request: Request, ref: str, what: What, begin: int = 0) -> Response:
        """All lines of something that is too long for the page, a stretch at a time."""
        return await desk.show_all(request, ref, what, begin=min(max(0, begin), LARGEST_INTEGER))

    @router.post(f"{PATH}/decision")
    async def decision(request: Request, ref: str) -> Response:
        """Approve or reject."""
        return await desk.take_decision(request, ref)

    @router.post(f"{PATH}/take-back")
    async def taken_back(request: Request, ref: str) -> Response:
        """Take an approval back."""
        return await desk.take_back(request, ref)

    @router.post(f"{PATH}/challenge")
    async def challenge(request: Request, ref: str) -> Response:
        """What a passkey signs for an approval; the script of the page asks."""
        return await desk.ask_passkey(request, ref)

    @router.post(f"{PATH}/claim")
    async def claimed(request: Request, ref: str) -> Response:
        """Take the case, or give it back."""
        return await taking.take(request, ref)

    @router.post(f"{PATH}/assign")
    async def assigned(request: Request, ref: str) -> Response:
        """Give the case to a person."""
        return await taking.give(request, ref)

    @router.post(f"{PATH}/snooze")
    async def put_aside(request: Request, ref: str) -> Response:
        """Put the case aside, or bring it back."""
        return await taking.put_aside(request, ref)

    @router.post(f"{PATH}/questions")
    async def question(request: Request, ref: str) -> Response:
        """Ask the agent."""
        return await desk.take_question(request, ref)

    @router.post(f"{PATH}/comments")
    async def comment(request: Request, ref: str) -> Response:
        """Write a comment."""
        return await desk.take_comment(request, ref)


class Seen(NamedTuple):
    """What one person sees of a case."""

    dossier: Dossier
    standing: Standing
    mentions: list[tuple[str, ...]]  # of each comment
    taking: Taken


class CasePages:
    """Reads a case for its page, and takes what people say of it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._parts = pages.parts

    async def show(self, request: Request, ref: str, *, status: int = 200, **said: Any) -> Response:
        """The page of a case; `said` is what became of a form: done, mistake, and what was written."""
        person, parts = person_of(request), self._parts
        is_part = "HX-Request" in request.headers
        seen = await parts.store.database.read(partial(self._read, ref=ref, person=person))
        dossier = seen.dossier
        await opens(
            parts.store.database,
            ref,
            person.name,
            is_recorded=self._records_views,
            by_itself=is_automatic(request),
        )
        self._parts.looking.note(ref, person.name)
        policy = parts.policy.policy
        values = await asyncio.to_thread(values_of, dossier, person, policy, standing=seen.standing)
        values |= await self._fields(dossier.case, said.pop("typed", None))
        return await self._pages.page(
            request,
            "case_body.html" if is_part else "case.html",
            person=person,
            status=status,
            others=parts.looking.others(ref, person.name),
            ref=ref,
            is_part=is_part,
            following=await self._next(dossier, person),
            mentions=seen.mentions,
            taking=seen.taking,
            **(values | {"done": None, "mistake": None, "written": "", "preset": ""} | said),
        )

    async def _fields(self, case: Case, typed: Typed | None) -> dict[str, Any]:
        """The fields of a case, and what was typed into those of another round, which is not in them."""
        if typed is None or typed.round_number == case.round_number:
            texts = typed.texts if typed else {}
            return {"fields": fields_of(case, texts), "typed_again": bool(texts), "dropped": []}
        dropped = dropped_of(await self._shown_in(case, typed.round_number), typed)
        return {"fields": fields_of(case), "typed_again": False, "dropped": dropped}

    async def _shown_in(self, case: Case, round_number: int) -> dict[str, Any]:
        if round_number == case.round_number:
            return case.call_in_force.arguments
        work = partial(arguments_in_round, case=case, round_number=round_number)
        return await self._parts.store.database.look(work)

    @property
    def _records_views(self) -> bool:
        return self._parts.policy.policy.file.desk.record_views

    async def note_reading(self, request: Request, ref: str) -> None:
        """Note that a person reads a whole thing of the case beside its page."""
        database, name = self._parts.store.database, person_of(request).name
        await views(database, [ref], name, is_recorded=self._records_views)

    def _read(self, connection: Connection, *, ref: str, person: Person) -> Seen:
        """The case, and what this person can do with it, at one moment."""
        settings, dossier = self._parts.settings, read_dossier(connection, ref, person=person.name)
        owners = settings.owners_of_agents.get(dossier.case.call.principal, frozenset())
        known = self._known(connection) if dossier.comments else NO_ONE_KNOWN
        return Seen(
            dossier,
            standing_of(connection, dossier.case, person, owners),
            [mentioned_in(comment.text, known) for comment in dossier.comments],
            read_taking(connection, case=dossier.case, person=person, settings=settings),
        )

    async def show_looking(self, request: Request, ref: str) -> Response:
        """The line that says who else looks; raises CaseNotFound before anything is kept of the request."""
        person = person_of(request)
        is_taken = await self._parts.store.database.look(partial(has_taken, case_id=ref, person=person.name))
        # Also of a case that has ended: a page that is open shows how it goes on.
        self._parts.looking.note(ref, person.name)
        if is_taken:
            await self._parts.store.database.write(partial(renew, case_id=ref, person=person.name))
        others = self._parts.looking.others(ref, person.name)
        return await self._pages.page(request, "case_looking.html", person=person, ref=ref, others=others)

    async def show_all(self, request: Request, ref: str, what: What, *, begin: int) -> Response:
        """A stretch of the lines of one thing."""
        dossier = await self._parts.store.database.read(
            partial(read_dossier, case_id=ref, person=person_of(request).name)
        )
        await self.note_reading(request, ref)
        rows = await asyncio.to_thread(lambda: stretch(whole(dossier, what), begin, most=MOST_LINES))
        template = "case_lines.html" if "HX-Request" in request.headers else "case_all.html"
        return await self._pages.page(
            request,
            template,
            person=person_of(request),
            ref=ref,
            what=what,
            rows=rows,
            origins=origins_of(dossier.case) if what == "arguments" else {},
        )

    async def take_decision(self, request: Request, ref: str) -> Response:
        """Record what a person decides, or say on the page of the case, as it is now, why not."""
        form, person = await request.form(), person_of(request)
        verdict, reason = _verdict(form), _reason(form)
        typed = Typed(_number(form, "round"), typed_in(form))
        again = {"written": _text(form, "reason"), "preset": _text(form, "preset"), "typed": typed}
        if mistake := _mistake(verdict, reason):
            return await self.show(request, ref, status=422, mistake=mistake, **again)
        assert verdict is not None  # noqa: S101  (else there was a mistake)
        try:
            arguments = await self._changed(form, ref, typed)
            await decide(
                self._parts,
                person,
                case_id=ref,
                verdict=verdict,
                reason=reason or None,
                round_number=typed.round_number,
                seen_sha256=_text(form, "seen") or None,
                idempotency_key=_text(form, "key")[:200] or None,
                assertion=_text(form, "assertion") or None,
                arguments=arguments,
            )
        except NotAuthenticated:
            raise
        except AtlasError as error:
            status = HTTP_STATUS.get(type(error), 500)
            return await self.show(request, ref, status=status, mistake=error.said_at_desk, **again)
        self._parts.looking.leave(ref, person.name)
        return await self._after(request, ref, done=verdict)

    async def take_back(self, request: Request, ref: str) -> Response:
        """Take the person's own approval back, or say on the page why not."""
        form, person = await request.form(), person_of(request)
        key = _text(form, "key")[:200] or None
        try:
            await take_back(self._parts, person, case_id=ref, idempotency_key=key)
        except NotAuthenticated:
            raise
        except AtlasError as error:
            return await self.show(
                request, ref, status=HTTP_STATUS.get(type(error), 500), mistake=error.said_at_desk
            )
        return await self._after(request, ref, done="taken_back")

    async def ask_passkey(self, request: Request, ref: str) -> Response:
        """What the person's passkey has to sign, as JSON."""
        form = await request.form()
        work = partial(
            ask_to_approve,
            person=person_of(request),
            case_id=ref,
            origin=origin_of(request),
            round_number=_number(form, "round"),
            seen_sha256=_text(form, "seen"),
        )
        return JSONResponse(await self._parts.store.database.write(work))

    async def _changed(self, form: FormData, ref: str, typed: Typed) -> dict[str, Any] | None:
        """The arguments of an approval with changes; raises RequestInvalid where button and fields differ."""
        if _verdict(form) is not Verdict.APPROVED or not typed.texts:
            return None
        case, has_button = await self._parts.store.read(ref), _text(form, "verdict") == CHANGED
        arguments = arguments_in(await self._shown_in(case, typed.round_number), typed.texts)
        if case.round_number == typed.round_number and has_button != (arguments is not None):
            wanted = "You changed arguments. Press “Approve with changes”, or put the arguments back."
            reason = "You changed no argument." if has_button else wanted
            raise RequestInvalid(reason=f"{reason} Nothing was done.")
        return arguments if has_button else None

    async def take_comment(self, request: Request, ref: str) -> Response:
        """Write a comment, and show it."""
        text = _text(await request.form(), "text").replace("\r\n", "\n").strip()
        if not text or len(text) > LONGEST_COMMENT:
            wanted = f"Write a comment of 1 to {LONGEST_COMMENT:,} characters."
            return await self.show(request, ref, status=422, comment_mistake=wanted, comment=text)
        name = person_of(request).name
        await self._parts.store.change(ref, partial(self._comment, ref=ref, author=name, text=text))
        return await self._after(request, ref, done="comment")

    def _comment(self, connection: Connection, *, ref: str, author: str, text: str) -> Case:
        mentions = mentioned_in(text, self._known(connection))
        return add_comment(connection, ref, author=author, text=text, mentions=mentions)

    def _known(self, connection: Connection) -> KnownPeople:
        return known_people(connection, self._parts.settings.reviewers)

    async def take_question(self, request: Request, ref: str) -> Response:
        """Ask the agent, and show what it is asked; or say why it is not."""
        text = _text(await request.form(), "question")
        try:
            await self._parts.decisions.ask(ref, by=person_of(request).name, text=text)
        except AtlasError as error:
            status = HTTP_STATUS.get(type(error), 500)
            return await self.show(request, ref, status=status, question_mistake=str(error), question=text)
        return await self._after(request, ref, done="question")

    async def _after(self, request: Request, ref: str, *, done: Any) -> Response:
        if "HX-Request" in request.headers:
            return await self.show(request, ref, done=done)
        return self._pages.redirect(f"{DESK}/cases/{ref}#done")  # which a browser gives the focus

    async def _next(self, dossier: Dossier, person: Person) -> str | None:
        """The case that this person could decide next, for a page whose case is decided."""
        if dossier.case.status is Status.PENDING_REVIEW and dossier.case.decision is None:
            return None
        entries = await self._parts.store.database.look(partial(entries_of_person, person=person))
        asked = Filter(statuses=(Status.PENDING_REVIEW,), is_waiting_for=entries)
        page = await page_of(self._parts.store.database, asked, order=Order.NEAREST_END, limit=2)
        others = [line.case_id for line in page.lines if line.case_id != dossier.case.case_id]
        return others[0] if others else None


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _number(form: FormData, name: str) -> int:
    text = _text(form, name)
    return int(text) if text.isdecimal() and len(text) < 10 else 1


def _verdict(form: FormData) -> Verdict | None:
    text = _text(form, "verdict")
    if text == CHANGED:
        return Verdict.APPROVED
    return Verdict(text) if text in Verdict.__members__ else None


def _reason(form: FormData) -> str:
    """The reason as it is kept: what was chosen, and what was written."""
    chosen = _text(form, "preset") if _verdict(form) is Verdict.REJECTED else ""
    return plain_text(" ".join(part for part in (chosen, _text(form, "reason")) if part.strip())).strip()


def _mistake(verdict: Verdict | None, reason: str) -> str | None:
    if verdict is None:
        return "Choose to approve or to reject. Nothing was done."
    if verdict is Verdict.REJECTED and not reason:
        return "Say why you reject: the agent reads the reason. Nothing was done."
    if len(reason) > LONGEST_REASON:
        return f"The reason is longer than {LONGEST_REASON:,} characters. Nothing was done."
    return None
