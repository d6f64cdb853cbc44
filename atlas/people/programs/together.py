"""Many decisions in one go, one result for each: POST /webhook/approvals, and the inbox of the desk."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from atlas.cases.store import read_case
from atlas.database.database import Database
from atlas.database.failures import as_told
from atlas.errors import (
    AlreadyDecided,
    AtlasError,
    CaseNotFound,
    NotPermitted,
    RecordUnknown,
    StoreUnavailable,
)
from atlas.frozen import Frozen
from atlas.models import Case, Verdict
from atlas.people.deciding import Deciding, Receipt, decide
from atlas.people.person import Person
from atlas.reviews.together import are_alike

logger = logging.getLogger(__name__)

MOST_TOGETHER = 200
NOT_ALIKE = (
    "These calls are not alike: only calls of one tool by one agent, under the same rules, are approved "
    "in one go. Nothing was approved."
)
NOT_SHOWN = "An approval of many needs seen_sha256 of each call, as it was shown. Nothing was approved."


class OneOfMany(Frozen):
    """What a person says of one of the calls."""

    case_id: str
    verdict: Verdict
    reason: str | None = None
    round_number: int = 1
    seen_sha256: str | None = None
    on_behalf_of: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Result:
    """What became of one."""

    case_id: str
    verdict: Verdict
    receipt: Receipt | None = None
    error: AtlasError | None = None  # which says why nothing was done


class Together:
    """Decides on many cases, each for itself: what one refuses keeps no other back.

    Where the store fails, that is the result of one, and nothing is done of those after it.
    """

    def __init__(self, parts: Deciding, database: Database, below: Callable[[], int]) -> None:
        """`below` is what the policy in force says as `together_below`."""
        self._parts = parts
        self._database = database
        self._below = below

    async def decide(self, person: Person, many: Sequence[OneOfMany]) -> list[Result]:
        """One result for each, in the same order."""
        are_fit = await self._are_alike([one.case_id for one in many if one.verdict is Verdict.APPROVED])
        results: list[Result] = []
        for one in many:
            if results and isinstance(results[-1].error, (StoreUnavailable, RecordUnknown)):
                # It would take as long to find out of each one that the store does not answer.
                results.append(Result(one.case_id, one.verdict, error=StoreUnavailable()))
            else:
                results.append(await self._one(person, one, are_alike=are_fit))
        return results

    async def _one(self, person: Person, one: OneOfMany, *, are_alike: bool) -> Result:
        result = Result(one.case_id, one.verdict)
        is_approval = one.verdict is Verdict.APPROVED
        try:
            if is_approval and not are_alike:
                raise NotPermitted(reason=NOT_ALIKE)
            if is_approval and one.seen_sha256 is None:
                raise NotPermitted(reason=NOT_SHOWN)
            below = self._below() if is_approval else None
            receipt = await decide(self._parts, person, together_below=below, **one.model_dump())
        except AtlasError as error:
            return replace(result, error=error)
        except SQLAlchemyError as error:  # what others were told of before it stands
            logger.exception("A decision of several could not be recorded: %s", one.case_id)
            return replace(result, error=as_told(error))
        return replace(result, receipt=receipt)

    async def _are_alike(self, case_ids: Sequence[str]) -> bool:
        """Whether those that are there are; what is not there is refused by itself."""
        found = await self._database.look(partial(_found, case_ids=case_ids))
        return are_alike(found)


def _found(connection: Connection, *, case_ids: Sequence[str]) -> list[Case]:
    found = []
    for case_id in case_ids:
        try:
            found.append(read_case(connection, case_id))
        except CaseNotFound:
            continue
    return found


def is_done(result: Result) -> bool:
    """Whether what the person said is on record, by them or by another who was quicker."""
    return result.error is None or isinstance(result.error, AlreadyDecided)
