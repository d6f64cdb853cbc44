"""Keeps what a sign-in brought: one file for each server, for the gateway's user alone."""

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from atlas.database.sqlite.files import keep_names

FOLDER = "upstream-tokens"  # in the data directory
EARLY_SECONDS = 10.0  # before its end from which a token is renewed
LOCK_SECONDS = 60.0  # for which another process may be renewing
LOOK_SECONDS = 0.05


class Grant(BaseModel):
    """A token, with all that its renewal needs. It is never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str  # of the server that it is for, and no other gets it
    token_url: str
    resource: str | None = None
    client: OAuthClientInformationFull = Field(repr=False)
    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    expires_at: float | None = None  # seconds since 1970
    scope: str | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether it can be used for a while."""
        return self.expires_at is None or self.expires_at > time.time() + EARLY_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether its time has ended."""
        return self.expires_at is not None and self.expires_at <= time.time()

    def renewed(self, token: OAuthToken) -> "Grant":
        """The same with another token; a server that keeps its refresh token leaves it out."""
        return self.model_copy(
            update={
                "access_token": token.access_token,
                "refresh_token": token.refresh_token or self.refresh_token,
                "expires_at": ends_at(token),
                "scope": token.scope or self.scope,
            }
        )


def ends_at(token: OAuthToken) -> float | None:
    """When a token that was just given ends."""
    return None if token.expires_in is None else time.time() + token.expires_in


def place_of(url: str) -> str:
    """A URL without what may be a secret: user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host}{parts.path}"


class TokenFile:
    """The file of one server, and the lock under which it is changed."""

    def __init__(self, data: Path, server: str) -> None:
        self.path = data / FOLDER / f"{quote(server, safe=' ')}.json"

    def read(self) -> Grant | None:
        """What was kept, if there is anything that can be used."""
        try:
            return Grant.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None  # as if no one had signed in, which is said

    def write(self, grant: Grant) -> None:
        """Keep a grant in the place of the one before, wholly or not at all; raises OSError."""
        self._make_folder()
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".new-")  # its mode is 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(grant.model_dump_json(indent=2))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        keep_names(self.path.parent)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the lock, which other processes of this machine respect; raises OSError."""
        self._make_folder()
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await _lock(lock)
            yield
        finally:
            os.close(lock)

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.parent.chmod(0o700)


async def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError from None
        await asyncio.sleep(LOOK_SECONDS)
