"""Who makes a request for people: by a reviewer's key, or by a session at the desk."""

from collections.abc import Collection

from fastapi import Request

from atlas.agents.keys import AgentKeys
from atlas.people.person import Person, Way
from atlas.people.reviewers import ReviewerGate
from atlas.settings import Settings

SARAH = "Sarah"  # the name of a person of whom no name is known


class Visitors:
    """Says who makes a request, and what its forms have to carry."""

    def __init__(self, settings: Settings, agents: AgentKeys) -> None:
        self._is_open = settings.is_open
        self._gate = ReviewerGate(settings, agents)

    async def person_of(self, request: Request) -> Person:
        """The person who makes a request; raises NotAuthenticated or NotPermitted."""
        if self._is_open:
            return Person(name=SARAH, way=Way.OPEN, is_signed=False)
        named = await self._gate(request)
        return Person(name=named or SARAH, way=Way.KEY, is_signed=named is not None)

    async def form_token_of(self, request: Request) -> str:
        """What each form of this session carries, so that no other page can send it."""
        return ""

    def session_of(self, request: Request) -> str | None:
        """The session that a request came with, by which `still_hold` knows it again; None with a key."""
        return None

    async def still_hold(self, sessions: Collection[str]) -> Collection[str]:
        """Which of some sessions still hold; asking renews none of them."""
        return sessions
