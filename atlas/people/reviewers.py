"""Who a reviewer is: the holder of a reviewer's key, and never an agent."""

from fastapi import Request

from atlas.agents.digests import digest_of_key
from atlas.agents.keys import AgentKeys
from atlas.database.database import Database
from atlas.errors import NotAuthenticated, NotPermitted
from atlas.people.person import Way
from atlas.people.records.profiles import ENDED, has_ended
from atlas.settings import Settings


class ReviewerGate:
    """Lets only holders of a reviewer's key through; an agent's key is told that it is one."""

    def __init__(self, settings: Settings, agents: AgentKeys, database: Database) -> None:
        self._database = database
        self._reviewers = {digest_of_key(key): name for key, name in settings.reviewer_keys.items()}
        self._agents = agents

    @property
    def way(self) -> Way:
        """How those come in whom it lets through."""
        return Way.KEY if self._reviewers else Way.OPEN

    async def __call__(self, request: Request) -> str | None:
        """The name that the reviewer's key has, if any; raises NotAuthenticated or NotPermitted."""
        if not self._reviewers:
            return None
        token = bearer_of(request)
        if token and digest_of_key(token) in self._reviewers:
            return await self._still(self._reviewers[digest_of_key(token)])
        if token and self._agents.is_agent(token):
            raise NotPermitted(reason="An agent cannot decide on calls; this takes the reviewer's key.")
        raise NotAuthenticated(whose="reviewer's")

    async def _still(self, name: str | None) -> str | None:
        """The name of a key, unless the access of its holder has ended."""
        if name is not None and await self._database.read(lambda connection: has_ended(connection, name)):
            raise NotPermitted(reason=ENDED.format(name=name))
        return name


def keys_in(request: Request) -> list[str]:
    """All that may be a key in the Authorization headers of a request, with a scheme or without one."""
    headers = request.headers.getlist("authorization")
    return [text.strip() for header in headers for text in (header, header.partition(" ")[2])]


def bearer_of(request: Request) -> str:
    """The key of a request's Authorization header, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
