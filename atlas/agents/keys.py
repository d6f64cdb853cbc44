"""Who an agent is: its bearer key, and the name that is recorded for it."""

from contextvars import ContextVar

from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.dependencies import get_access_token

from atlas.agents.digests import digest_of_key
from atlas.models import EVERY_AGENT
from atlas.settings import Settings

# The agent whose approved call is being executed.
caller: ContextVar[str | None] = ContextVar("caller", default=None)


class AgentKeys(TokenVerifier):
    """Knows the agents by their bearer keys; compares digests, so that timing tells nothing."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._principals = {digest_of_key(key): principal for key, principal in settings.agent_keys.items()}

    async def verify_token(self, token: str) -> AccessToken | None:
        """The agent whose key this is, or None."""
        principal = self._principals.get(digest_of_key(token))
        return None if principal is None else AccessToken(token=token, client_id=principal, scopes=[])

    def is_agent(self, token: str) -> bool:
        """Whether this is the key of an agent."""
        return digest_of_key(token) in self._principals


def current_principal() -> str:
    """Who makes the MCP request that is being served."""
    token = get_access_token()
    return EVERY_AGENT if token is None else token.client_id
