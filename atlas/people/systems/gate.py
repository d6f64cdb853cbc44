"""Who posts a decision: the holder of a reviewer's key, or a system that speaks for one of its people."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from sqlalchemy.engine import Connection

from atlas.agents.keys import AgentKeys
from atlas.database.database import Database
from atlas.errors import NotPermitted, SignatureRefused
from atlas.people.accounts.accounts import seen_as
from atlas.people.person import Person, Way
from atlas.people.records.profiles import ENDED, has_ended
from atlas.people.reviewers import ReviewerGate, keys_in
from atlas.people.systems.signatures import Signatures, Signed
from atlas.settings import Settings

AN_AGENT = "An agent cannot decide on calls, and a signature beside its key changes nothing."
OTHER_SPELLING = "ATLAS_WEBHOOK_PEOPLE names {name}, and the account here is {account}. Nothing was done."
ONE_OF_TWO = "It has a key in Authorization too: a request is signed by a system, or bears a reviewer's key."


@dataclass(frozen=True)
class Caller:
    """Who was let through: a key, whose name may be missing, or a system."""

    named: str | None = None
    signed: Signed | None = None

    @property
    def message_id(self) -> str | None:
        """What stands for an idempotency key where a system signed."""
        return self.signed.message_id if self.signed else None


class WebhookGate:
    """Lets a reviewer's key or the signature of a system through; a signature that fails ends it."""

    def __init__(
        self, settings: Settings, gate: ReviewerGate, agents: AgentKeys, people: "PeopleThere"
    ) -> None:
        self._gate = gate
        self._agents = agents
        self._signatures = Signatures(settings)
        self._people = people

    async def __call__(self, request: Request) -> Caller:
        """Who asks; raises NotAuthenticated, NotPermitted or SignatureRefused."""
        known: Caller | None = getattr(request.state, "caller", None)
        if known is None:
            known = request.state.caller = await self._caller(request)
        return known

    async def _caller(self, request: Request) -> Caller:
        if not self._signatures.claims_one(request):
            return Caller(named=await self._gate(request))
        refuse_keys(request, self._agents)
        return Caller(signed=await self._signatures.of(request))

    async def person(self, caller: Caller, claimed: str | None) -> Person:
        """The person who decides, of whom the request says a name or an id; raises NotPermitted."""
        if caller.signed is not None:
            return await self._people.person(caller.signed.system, claimed)
        name = signature(caller.named, claimed)
        return Person(name=name, way=self._gate.way, is_signed=caller.named is not None)


class PeopleThere:
    """The people of systems, by the systems' own ids of them."""

    def __init__(self, names: Mapping[tuple[str, str], str], database: Database) -> None:
        self._names = names
        self._database = database

    async def person(self, system: str, theirs: str | None) -> Person:
        """Who this is here; raises NotPermitted."""
        if theirs is None:
            raise NotPermitted(reason=f"{system} did not say who decides: name them in reviewer.")
        name = self._names.get((system, theirs))
        if name is None:
            how = f"An operator names them in ATLAS_WEBHOOK_PEOPLE, as {system}:{theirs}=NAME."
            raise NotPermitted(reason=f"{theirs} of {system} is no one here. Nothing was done. {how}")
        await self._database.read(partial(_check_there, name=name))
        return Person(name=name, way=Way.SYSTEM, system=system)


def _check_there(connection: Connection, *, name: str) -> None:
    """Raise where the access of a person was ended, or where the account has the name in another spelling."""
    account = seen_as(connection, name)
    if account is not None and account.name != name:
        raise NotPermitted(reason=OTHER_SPELLING.format(name=name, account=account.name))
    if has_ended(connection, name):
        raise NotPermitted(reason=ENDED.format(name=name))


def refuse_keys(request: Request, agents: AgentKeys) -> None:
    """Raise where a signed request bears a key: which of the two counts must not be a question."""
    if any(agents.is_agent(key) for key in keys_in(request)):
        raise NotPermitted(reason=AN_AGENT)
    if "authorization" in request.headers:
        raise SignatureRefused(reason=ONE_OF_TWO)


def signature(named: str | None, claimed: str | None) -> str:
    """Who decides: the name that the key has; where it has none, the name in the request."""
    if named is None:
        return claimed or "Sarah"
    if claimed not in (None, named):
        raise NotPermitted(reason=f"This is the key of {named}; it cannot sign for {claimed}.")
    return named
