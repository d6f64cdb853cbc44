"""The page on which a person tries a policy on the past; nothing is put in force, and nothing is written."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from atlas.assessors.policy.file import LARGEST_BYTES
from atlas.desk.pages import DESK, Pages
from atlas.desk.routes import person_of
from atlas.desk.trials import Trial
from atlas.people.person import Person
from atlas.replay import sentences
from atlas.texts import TextUnreadable, text_of

TRIAL = f"{DESK}/policy"
PERIODS = (1, 7, 30, 90)
USUAL = 30
MOST_SHOWN = 20  # lines of a table
TOO_LARGE = "A policy has at most 1 MB. Nothing was tried."
BUSY = "Another policy is being tried. Wait until it has ended, or cancel it. Yours was not tried."


@dataclass
class Wish:
    """What a person wrote into the form."""

    text: str = ""
    days: int = USUAL
    mistakes: list[str] = field(default_factory=list)


async def wish_of(form: Mapping[str, Any]) -> Wish:
    """The form as it was written; a file that was chosen counts before the text."""
    days = str(form.get("days", ""))
    pasted = str(form.get("text", "")).replace("\r\n", "\n")  # as browsers send the ends of lines
    wish = Wish(pasted, int(days) if days in map(str, PERIODS) else USUAL)
    file = form.get("file")
    content = await file.read(LARGEST_BYTES + 1) if isinstance(file, UploadFile) and file.size else None
    try:
        wish.text = wish.text if content is None else text_of(content)
    except TextUnreadable as error:
        wish.mistakes.append(f"The file cannot be read: {error}.")
    if max(len(content or b""), len(wish.text.encode("utf-8", "surrogatepass"))) > LARGEST_BYTES:
        wish.text = ""
        wish.mistakes.append(TOO_LARGE)
    elif not wish.text.strip() and not wish.mistakes:
        wish.mistakes.append("Paste a policy, or choose its file.")
    return wish


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page and its parts, and take its forms."""
    trials = pages.parts.trials

    async def show(request: Request, *, wish: Wish | None = None, status: int = 200) -> Response:
        trial = trials.look()
        return await pages.page(
            request,
            "trial.html",
            person=person_of(request),
            status=status,
            wish=wish or _wish_again(trial, person_of(request)),
            trial=trial,
            periods=PERIODS,
            largest=LARGEST_BYTES,
            most=MOST_SHOWN,
            words=sentences,
        )

    @router.get(TRIAL)
    async def trial(request: Request) -> Response:
        """The form, and what became of the policy that was tried last."""
        return await show(request)

    @router.get(f"{TRIAL}/progress")
    async def progress(request: Request) -> Response:
        """How far it has come, for a page that is open; at its end the whole page is wanted."""
        trial = trials.look()
        if trial is None or not trial.is_running:
            return Response(status_code=200, headers={"HX-Redirect": pages.at(TRIAL)})
        return await pages.page(request, "trial_progress.html", person=person_of(request), trial=trial)

    @router.post(TRIAL)
    async def begin(request: Request) -> Response:
        """Try the policy that was pasted or chosen."""
        wish = await wish_of(await request.form())
        if wish.mistakes:
            return await show(request, wish=wish, status=422)
        reviewers = await asyncio.to_thread(pages.parts.policy.reviewers)
        known = None if reviewers is None else tuple(reviewers)
        name = person_of(request).name
        if trials.begin(wish.text, days=wish.days, person_name=name, reviewers=known) is None:
            wish.mistakes.append(BUSY)
            return await show(request, wish=wish, status=409)
        return pages.redirect(TRIAL)

    @router.post(f"{TRIAL}/cancel")
    async def cancel(request: Request) -> Response:
        """End the trial that runs."""
        trials.cancel()
        return pages.redirect(TRIAL)


def _wish_again(trial: Trial | None, person: Person) -> Wish:
    """What was asked for last; the text, which may have the seeded calls, is shown to its own person."""
    if trial is None:
        return Wish()
    return Wish(trial.text if trial.person_name == person.name else "", trial.days)
