"""The tokens with which the gateway reaches a server that wants OAuth; they are renewed before they end."""

import asyncio
import logging
import shlex
from pathlib import Path
from typing import Protocol

import httpx2
from mcp.client.auth import OAuthFlowError

from atlas.upstreams.config import Transport, UpstreamConfig
from atlas.upstreams.grants import NotGranted, by_credentials, renewed
from atlas.upstreams.tokens import Grant, TokenFile, place_of

logger = logging.getLogger(__name__)


class NoToken(httpx2.ConnectError):
    """There is no token for a request, and it was not taken; the text is the end of a sentence."""


class Keys(Protocol):
    """Has a token for a server."""

    async def token(self, *, spent: str | None) -> str | None:
        """A token that is another than the one the server refused, or none if none is known to be wanted.

        Raises NoToken.
        """


def keys_of(config: UpstreamConfig, data: Path | None) -> Keys | None:
    """What gives a server its tokens, if the file does not hold its key."""
    if config.way is Transport.STDIO or config.has_key:
        return None
    if config.auth is not None and config.auth.type == "client_credentials":
        return OfTheFile(config)
    return None if data is None else OfAPerson(config, data)


def to_sign_in(config: UpstreamConfig, *, again: bool) -> str:
    """What a person has to do, for /readyz and for agents."""
    command = f"python -m atlas.upstreams login {shlex.quote(config.name)}"
    return f"a person has to sign in{' again' if again else ''}: run `{command}`"


class OfAPerson:
    """The token of a person who signed in, from the file; another process may renew it too."""

    def __init__(self, config: UpstreamConfig, data: Path) -> None:
        self._config = config
        self._file = TokenFile(data, config.name)
        self._renewal: asyncio.Task[Grant] | None = None
        self._unkept: tuple[Grant, Grant] | None = None  # the one of the file, and its renewal that it lacks
        self._refused: str | None = None  # a refresh token that is worth nothing any more

    async def token(self, *, spent: str | None) -> str | None:
        """The token of the file, renewed when it has ended."""
        grant = self._newest()
        if grant is None and spent is None and self._config.auth is None:
            return None  # the server may want none
        grant = self._usable(grant)
        if grant.is_fresh and grant.access_token != spent:
            return grant.access_token
        try:
            return (await self._renewed(grant)).access_token
        except (NotGranted, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            logger.warning("The token of the server %s is not renewed: %s", self._config.name, reason)
            if isinstance(error, NotGranted) and error.is_final:
                raise NoToken(to_sign_in(self._config, again=True)) from None
            if not grant.is_over and grant.access_token != spent:
                return grant.access_token  # for a while it is good, and the next request tries again
            raise NoToken(f"its token has ended and is not renewed: {reason}") from None

    def _newest(self) -> Grant | None:
        grant = self._file.read()
        return self._unkept[1] if self._unkept is not None and self._unkept[0] == grant else grant

    def _keep(self, new: Grant) -> None:
        """Keep a renewal; if the disk does not take it, this process goes on with it all the same."""
        old = self._file.read()
        try:
            self._file.write(new)
        except OSError as error:
            self._unkept = (old, new) if old is not None else None
            logger.error("A token of the server %s is not on disk: %s", self._config.name, error.strerror)

    def _usable(self, grant: Grant | None) -> Grant:
        if grant is None:
            raise NoToken(to_sign_in(self._config, again=False))
        is_for_another = grant.url != place_of(self._config.url)
        if is_for_another or (grant.refresh_token is not None and grant.refresh_token == self._refused):
            raise NoToken(to_sign_in(self._config, again=True))
        return grant

    async def _renewed(self, old: Grant) -> Grant:
        """One renewal at a time, which goes on when its caller is stopped: its token would be lost."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.ensure_future(self._renew(old))
        return await asyncio.shield(self._renewal)

    async def _renew(self, old: Grant) -> Grant:
        async with self._file.locked():
            grant = self._newest()
            if grant is None or grant.url != old.url:
                raise NotGranted("no one is signed in", is_final=True)
            if grant.access_token != old.access_token and not grant.is_over:
                return grant  # by another process, or by a person
            if grant.refresh_token is None:
                raise NotGranted("there is no refresh token", is_final=True)
            try:
                new = await renewed(grant)
            except NotGranted as error:
                if error.is_final:
                    self._refused = grant.refresh_token
                raise
            self._keep(new)
            return new


class OfTheFile:
    """The token that the client credentials of the file bring; it is kept in memory."""

    def __init__(self, config: UpstreamConfig) -> None:
        self._config = config
        self._grant: Grant | None = None
        self._one = asyncio.Lock()

    async def token(self, *, spent: str | None) -> str | None:
        """The token of the gateway itself, a new one when it has ended."""
        async with self._one:
            grant = self._grant
            if grant is None or not grant.is_fresh or grant.access_token == spent:
                grant = self._grant = await self._asked()
            return grant.access_token

    async def _asked(self) -> Grant:
        try:
            return await by_credentials(self._config)
        except (NotGranted, OAuthFlowError, httpx2.HTTPError) as error:
            reason = str(error) if isinstance(error, NotGranted) else type(error).__name__
            raise NoToken(
                f"its client credentials bring no token: {reason}; check auth in the MCP configuration"
            ) from None
