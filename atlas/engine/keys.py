"""The keys an engine shares with its apps: kept in a file, used to sign and to check."""

import dataclasses
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets
import time
import urllib.parse

from atlas.database.sqlite.files import keep_names
from atlas.engine.errors import KeysUnusable

_PREFIX = re.compile(r"^signkey-\w+-")
_SIGNING_KEY = re.compile(r"[0-9a-f]{64}")
_EVENT_KEY = re.compile(r"[A-Za-z0-9_-]{8,200}")


@dataclasses.dataclass(frozen=True)
class EngineKeys:
    """An event key, which lets apps send events, and a signing key (64 hex digits) of both sides."""

    event_key: str = dataclasses.field(repr=False)
    signing_key: str = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signing_key", _PREFIX.sub("", self.signing_key))
        if not _SIGNING_KEY.fullmatch(self.signing_key):
            raise KeysUnusable("The signing key must be 64 hexadecimal digits in lower case.")
        if not _EVENT_KEY.fullmatch(self.event_key):
            raise KeysUnusable("The event key must be 8 to 200 letters, digits, hyphens or underscores.")

    @classmethod
    def load_or_draw(cls, path: pathlib.Path) -> "EngineKeys":
        """Read the keys from a JSON file, or draw random ones, unsaved, if there is no such file."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(event_key=found["event_key"], signing_key=found["signing_key"])
        except FileNotFoundError:
            return cls(event_key=secrets.token_urlsafe(32), signing_key=secrets.token_hex(32))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeysUnusable(f"{path} does not hold an event_key and a signing_key.") from error

    def save(self, path: pathlib.Path) -> None:
        """Write the keys to a new file only its owner can read; leave a file with the same keys alone."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(dataclasses.asdict(self), file)
                file.flush()
                os.fsync(file.fileno())
            self._publish(temporary, path)
        finally:
            temporary.unlink()

    def _publish(self, temporary: pathlib.Path, path: pathlib.Path) -> None:
        try:
            os.link(temporary, path)
        except FileExistsError:
            if self.load_or_draw(path) != self:
                raise KeysUnusable(f"{path} already holds other keys.") from None
            return
        keep_names(path.parent)

    def sign(self, body: bytes, *, at: int | None = None) -> str:
        """The x-inngest-signature of a body: a request's in canonical form, an answer's as it is."""
        return sign(body, self.signing_key, at=at)

    def is_signature(self, signature: str, body: bytes) -> bool:
        """Whether the signature was made over this body with our signing key."""
        fields = urllib.parse.parse_qs(signature)
        timestamp, given = fields.get("t", [""])[0], fields.get("s", [""])[0]
        return hmac.compare_digest(given.encode(), _digest(body, self.signing_key, timestamp).encode())

    def is_event_key(self, event_key: str) -> bool:
        """Whether the event key is ours."""
        return hmac.compare_digest(event_key.encode(), self.event_key.encode())

    def is_bearer(self, authorization: str) -> bool:
        """Whether an Authorization header carries the hash of our signing key."""
        scheme, _, given = authorization.partition(" ")
        expected = hashlib.sha256(bytes.fromhex(self.signing_key)).hexdigest()
        # TypeScript's SDK leaves the prefix of the key before its hash.
        return scheme == "Bearer" and hmac.compare_digest(_PREFIX.sub("", given).encode(), expected.encode())


def sign(body: bytes, signing_key: str, *, at: int | None = None) -> str:
    """The x-inngest-signature of a body, made at a Unix time in seconds, which is now by default."""
    timestamp = str(int(time.time()) if at is None else at)
    return f"t={timestamp}&s={_digest(body, _PREFIX.sub('', signing_key), timestamp)}"


def _digest(body: bytes, key: str, timestamp: str) -> str:
    return hmac.new(key.encode(), body + timestamp.encode(), hashlib.sha256).hexdigest()
