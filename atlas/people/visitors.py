"""Who makes a request for people: by a reviewer's key, or by a session at the desk."""

from hmac import compare_digest

from fastapi import Request

from atlas.agents.digests import digest_of_key
from atlas.agents.keys import AgentKeys
from atlas.database.database import Database
from atlas.errors import FormRefused, NotAuthenticated, NotPermitted
from atlas.people.accounts.signing_in import SARAH, SigningIn
from atlas.people.cookies import session_id_of
from atlas.people.identities import Identities
from atlas.people.openid.sign_in import OpenId
from atlas.people.own_page import require_own_page
from atlas.people.person import Person, Way
from atlas.people.proxied import Proxied
from atlas.people.reviewers import ReviewerGate, bearer_of, keys_in
from atlas.people.sessions import UNBOUND, Session, Sessions
from atlas.settings import Settings

SAFE = ("GET", "HEAD", "OPTIONS")
AN_AGENT = "This is the key of an agent. An agent opens nothing here; people sign in with a key of their own."


def is_automatic(request: Request) -> bool:
    """Whether a page asks by itself, and no person did: that keeps no session alive."""
    return "desk-automatic" in request.headers or request.headers.get("accept") == "text/event-stream"


class Visitors:
    """Says who makes a request, and what its forms have to carry."""

    def __init__(self, settings: Settings, agents: AgentKeys, database: Database) -> None:
        self.is_open = settings.is_open
        self.is_agent = agents.is_agent
        self.sessions = Sessions(database)
        self.ways_in: tuple[Way, ...] = () if settings.is_open else (Way.ACCOUNT, Way.KEY)
        self.openid = OpenId(settings, database) if settings.atlas_oidc_issuer else None
        if self.openid is not None:
            self.ways_in += (Way.OIDC,)
        self.identities = Identities(database, settings.reviewers)
        self._proxied = Proxied(settings)
        self._gate = ReviewerGate(settings, agents, database)
        self.signing_in = SigningIn(settings, database, self.refuse_agent)

    async def person_of(self, request: Request) -> Person:
        """The person who makes a request; raises NotAuthenticated, NotPermitted or FormRefused."""
        request.state.session = None
        if token := bearer_of(request):
            self.refuse_agent(token)
            if digest_of_key(token) in self.signing_in.names:
                return await self._of_key(request)
        person = self.known_without_sign_in(request)
        if person is not None and person.way is Way.PROXY:
            person = await self.identities.admitted(person, (person.name,))
        request.state.session = session = await self.session_of(request, counts=not is_automatic(request))
        if person is None and session is None:
            raise NotAuthenticated(whose="reviewer's")
        if request.method not in SAFE:
            require_own_page(request)
        return person or session.person  # type: ignore[union-attr]

    async def _of_key(self, request: Request) -> Person:
        named = await self._gate(request)
        return Person(name=named or SARAH, way=Way.KEY, is_signed=named is not None)

    def known_without_sign_in(self, request: Request) -> Person | None:
        """A person who needs no sign-in; raises NotPermitted.

        In open mode it is every program on this machine; else a trusted proxy vouches for a person.
        """
        if self.is_open:
            return Person(name=SARAH, way=Way.OPEN, is_signed=False)
        person = self._proxied.person(request.scope)
        if person is not None:  # an agent that found a way through the proxy stays an agent
            self.refuse_agent(*keys_in(request))
        return person

    def refuse_agent(self, *secrets: str) -> None:
        """Tell the holder of an agent's key that it is one; raises NotPermitted."""
        if any(self.is_agent(secret.strip()) for secret in secrets):
            raise NotPermitted(reason=AN_AGENT)

    async def session_of(self, request: Request, *, counts: bool = True) -> Session | None:
        """The session of a request's cookie, if it goes on and the settings still vouch for it."""
        session_id = session_id_of(request)
        if not session_id:
            return None
        self.refuse_agent(session_id)
        session = await self.sessions.find(session_id, bindings=self.bindings, counts=counts)
        return session if session is not None and self._holds(request, session) else None

    @property
    def bindings(self) -> tuple[bytes, ...]:
        """All that a session may be bound to by these settings."""
        of_provider = (self.openid.bound_to,) if self.openid else ()
        return (UNBOUND, *self.signing_in.names, *of_provider)

    def _holds(self, request: Request, session: Session) -> bool:
        person = session.person
        known = self.known_without_sign_in(request)
        if known is not None or person.way in (Way.OPEN, Way.PROXY):  # what vouches is in each request
            return known is not None and (known.name, known.way) == (person.name, person.way)
        if person.way in (Way.KEY, Way.LINK):
            return session.bound_to in self.signing_in.names and self._is_named(session)
        if person.way is Way.OIDC:
            bound_to = self.openid.bound_to if self.openid else None
            return session.bound_to == bound_to and self._still_lets_in(person)
        if person.way is Way.ACCOUNT and self.signing_in.has_two_ways(person.name):
            return False
        return person.way in self.ways_in

    def _still_lets_in(self, person: Person) -> bool:
        has_key = self.identities.has_key(person.name)
        return self.openid is not None and self.openid.lets_in(person.groups) and not has_key

    def _is_named(self, session: Session) -> bool:
        name = self.signing_in.names[session.bound_to]
        return name == session.person.name if session.person.is_signed else name is None

    async def begin(self, request: Request, person: Person, *, bound_to: bytes = UNBOUND) -> str:
        """Begin a session under a new id, and end the one that the browser had; returns the id."""
        if (former := session_id_of(request)) is not None:
            await self.sessions.end(former, bindings=self.bindings)
        return await self.sessions.begin(person, bound_to=bound_to)

    async def begin_unasked(self, request: Request) -> str | None:
        """The id of a new session for a person who needs no sign-in, for the token of the forms."""
        person = self.known_without_sign_in(request)
        if person is None or request.method not in SAFE or request.state.session is not None:
            return None
        session_id = await self.begin(request, person)  # which ends that of another user of the proxy
        request.state.session = await self.sessions.find(session_id)
        return session_id

    async def form_token_of(self, request: Request) -> str:
        """What each form of this session carries, so that no other page can send it."""
        session: Session | None = getattr(request.state, "session", None)
        return session.form_token if session else ""

    async def require_form(self, request: Request) -> None:
        """Take a form only from a page of this very session; raises FormRefused."""
        require_own_page(request)
        session: Session | None = request.state.session
        if session is None and request.state.person.way is Way.KEY:
            return  # by a key, which no browser sends by itself
        given = (await request.form()).get("form_token")
        if session is None or not isinstance(given, str):
            raise FormRefused(reason="It came from a page that is not of your session.")
        if not compare_digest(given.encode(), session.form_token.encode()):
            raise FormRefused(reason="It came from a page of a session that has ended.")
