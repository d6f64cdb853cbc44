"""What a passkey has to sign for an approval, for a person's program: POST /cases/{ref}/challenge."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Request
from pydantic import Field

from atlas.database.database import Database
from atlas.models import LARGEST_ROUND, Frozen
from atlas.people.passkeys.asking import ask_to_approve
from atlas.people.passkeys.ceremonies import origin_of
from atlas.people.programs.known_first import person_first
from atlas.people.visitors import Visitors


class ChallengeRequest(Frozen):
    """What a person is about to approve, as `GET /cases/{ref}` showed it."""

    round: Annotated[int, Field(ge=1, le=LARGEST_ROUND)] = 1
    seen_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Challenge(Frozen):
    """What to hand to `navigator.credentials.get()`; good once, for five minutes, for this person."""

    options: dict[str, Any]


def add_challenges(app: FastAPI, *, visitors: Visitors, database: Database) -> None:
    """Serve it to people; the answer of the passkey goes with the decision, as `assertion`."""
    router = APIRouter(route_class=person_first(visitors), tags=["people"])

    @router.post("/cases/{ref}/challenge")
    async def challenge(
        request: Request,
        asked: ChallengeRequest,
        ref: Annotated[str, Path(description="The reference, evt_…")],
    ) -> Challenge:
        """What a passkey of this person has to sign, to approve one case as it was shown."""
        options = await database.write(
            partial(
                ask_to_approve,
                person=request.state.person,
                case_id=ref[:100],
                origin=origin_of(request),
                round_number=asked.round,
                seen_sha256=asked.seen_sha256,
            )
        )
        return Challenge(options=options)

    app.router.routes.extend(router.routes)
