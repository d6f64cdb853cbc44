"""The page of the people, for supervisors: who they are, what they learnt, who decides for whom, their end.

Each act is an entry of the ledger under the supervisor's name. None of them raises the supervisor: what gives
a person more to decide is done by another one.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import Connection
from starlette.datastructures import FormData

from atlas import ledger
from atlas.desk.pages import DESK, Pages
from atlas.desk.people_form import changes_in, fields_of, text_of
from atlas.desk.routes import person_of
from atlas.errors import PersonRefused
from atlas.ledger import Action
from atlas.models import as_seen, plain_text
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.person import Person
from atlas.people.records import delegations, keeping, trainings
from atlas.people.records.commands import Record, in_words, records_of, state_of
from atlas.people.records.instants_as_written import read_moment
from atlas.people.records.profiles import profile_of
from atlas.people.supervisors import require_supervisor
from atlas.settings import Settings

PEOPLE = f"{DESK}/people"
MOST_SHOWN = 20  # acts
SHOWN = {
    Action.PERSON_ADDED: "came in or was added",
    Action.PERSON_ENDED: "ended",
    Action.PROFILE_CHANGED: "changed",
    Action.TRAINED: "has a training",
    Action.TRAINING_ENDED: "has a training no more",
    Action.DELEGATED: "a delegation began",
    Action.DELEGATION_ENDED: "a delegation ended",
}
OWN = "Another supervisor has to do this for you, or an operator with `python -m atlas.people`."
SAID = ("detail", "action", "actor")
Act = Callable[..., None]


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page, and take its forms."""
    desk = _PeopleDesk(pages)

    @router.get(PEOPLE)
    async def people(request: Request, name: str = "") -> Response:
        """Everyone, or one person with the forms."""
        return await desk.show(request, name)

    @router.post(f"{PEOPLE}/{{what}}")
    async def act(request: Request, what: str) -> Response:
        """Do one of ACTS."""
        return await desk.act(request, what)


class _PeopleDesk:
    """Shows the people, and does what a supervisor asks for."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._settings = pages.parts.settings
        self._database = pages.parts.store.database

    async def show(
        self, request: Request, name: str, *, status: int = 200, mistake: str = "", written: Any = None
    ) -> Response:
        """Everyone, or the record of one person; `written` is a form that was not taken."""
        person = person_of(request)
        values = await self._database.read(partial(self._read, person=person, name=name))
        return await self._pages.page(
            request,
            "people.html",
            person=person,
            status=status,
            mistake=mistake,
            written=defaultdict(str, written or {}),
            fields=fields_of(values["chosen"].profile, written or {}) if values["chosen"] else {},
            **values,
        )

    def _read(self, connection: Connection, *, person: Person, name: str) -> dict[str, Any]:
        require_supervisor(connection, self._settings, person)
        records = records_of(connection, self._settings)
        chosen = next((one for one in records if one.profile.name == name), None)
        if name and chosen is None:
            raise PersonRefused(reason=f"There is no person {plain_text(name)[:200]}.")
        return {
            "records": records,
            "chosen": chosen,
            "is_self": chosen is not None and is_same(person, name),
            "acts": acts(connection),
            "state_of": state_of,
            "in_words": in_words,
        }

    async def act(self, request: Request, what: str) -> Response:
        """Do it in one transaction with its entry of the ledger, or say what is wrong."""
        form, person = await request.form(), person_of(request)
        name = text_of(form, "name")
        work = partial(_done, what=what, name=name, form=form, settings=self._settings, person=person)
        try:
            await self._database.write(work)
        except PersonRefused as error:
            written = {key: value for key, value in form.items() if isinstance(value, str)}
            status = HTTP_STATUS[PersonRefused]
            return await self.show(request, name, status=status, mistake=str(error), written=written)
        return self._pages.redirect(f"{PEOPLE}?{urlencode({'name': name})}")


def _done(
    connection: Connection, *, what: str, name: str, form: FormData, settings: Settings, person: Person
) -> None:
    require_supervisor(connection, settings, person)
    if what not in ACTS:
        raise PersonRefused(reason="There is no such form.")
    keeping.require(connection, name, settings.reviewers)
    ACTS[what](connection, name, form, person)


def _change(connection: Connection, name: str, form: FormData, person: Person) -> None:
    profile = profile_of(connection, name)
    changes, own = changes_in(form, profile), profile.own_groups
    if is_same(person, name) and set(changes.get("groups", own)) - set(own):
        raise PersonRefused(reason=f"You would add yourself to a group. {OWN}")
    if changes:
        keeping.change(connection, name, changes, actor=person.name)


def _train(connection: Connection, name: str, form: FormData, person: Person) -> None:
    if is_same(person, name):
        raise PersonRefused(reason=f"You would note a training of your own. {OWN}")
    until = text_of(form, "until")
    trainings.train(
        connection,
        name,
        scope=required(form, "scope"),
        what=required(form, "what"),
        until=read_moment(until, zone=profile_of(connection, name).zone) if until else None,
        actor=person.name,
    )


def _untrain(connection: Connection, name: str, form: FormData, person: Person) -> None:
    trainings.untrain(connection, name, scope=text_of(form, "scope"), actor=person.name)


def _delegate(connection: Connection, name: str, form: FormData, person: Person) -> None:
    if is_same(person, text_of(form, "to")) and not is_same(person, name):
        raise PersonRefused(reason=f"You would decide for another person. {OWN}")
    delegate_by_form(connection, name, form, actor=person.name)


def delegate_by_form(connection: Connection, name: str, form: FormData, *, actor: str) -> None:
    """Make the delegation that a form asks for; raises PersonRefused."""
    zone = profile_of(connection, name).zone
    begin = text_of(form, "begin")
    delegations.delegate(
        connection,
        name,
        required(form, "to"),
        actor=actor,
        begins_at=read_moment(begin, zone=zone, is_end=False) if begin else None,
        ends_at=read_moment(required(form, "until"), zone=zone),
        group_name=text_of(form, "group") or None,
    )


def _undelegate(connection: Connection, name: str, form: FormData, person: Person) -> None:
    delegations.end(connection, text_of(form, "delegation"), actor=person.name)


def _end(connection: Connection, name: str, form: FormData, person: Person) -> None:
    if text_of(form, "again") != name:
        raise PersonRefused(reason=f"To end {name}, write the name once more. Nothing was done.")
    keeping.end(connection, name, actor=person.name)


ACTS: dict[str, Act] = {
    "profile": _change,
    "train": _train,
    "untrain": _untrain,
    "delegate": _delegate,
    "undelegate": _undelegate,
    "end": _end,
}


def is_same(person: Person, name: str) -> bool:
    """Whether a name is that of the person who asks, or looks like it."""
    return as_seen(person.name) == as_seen(name)


def required(form: FormData, key: str) -> str:
    """The same for a field that has to be there; raises PersonRefused."""
    if not (text := text_of(form, key)):
        raise PersonRefused(reason=f"Fill in the field “{key}”. Nothing was done.")
    return text


def acts(connection: Connection) -> list[dict[str, Any]]:
    """What was done last, with who did it, the newest first."""
    newest = ledger.newest_of_no_case(connection, tuple(SHOWN), most=MOST_SHOWN)
    return [
        {
            "at": one["at"],
            "actor": one["actor"],
            "said": _in_words(**{key: one[key] for key in SAID}),
        }
        for one in newest
    ]


def _in_words(*, detail: dict[str, Any], action: str, actor: str) -> str:
    """What was done, to whom, in a sentence without its end."""
    whom = detail.get("person") or (f"{detail['from']} to {detail['to']}" if "to" in detail else actor)
    what = ", ".join(detail.get("changed", {})).replace("_", " ")
    scope = f" for {detail['scope']}" if "scope" in detail else ""
    return f"{whom} {SHOWN[Action(action)]}{f' ({what})' if what else ''}{scope}"


def own_record(connection: Connection, settings: Settings, person: Person) -> Record | None:
    """All that is known of the person who asks; None: nothing, or the name is not checked."""
    records = records_of(connection, settings) if person.is_signed else ()
    return next((one for one in records if one.profile.name == person.name), None)
