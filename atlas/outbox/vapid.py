"""The key by which push services know this gateway (VAPID, RFC 8292), made once.

It is a file of the data directory, or in the store where gateways share one.
"""

import base64
import os
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from atlas.database.database import Database
from atlas.database.shared_secrets import shared_secret

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

KEY_FILE = "push.key"
NAME = "push key"  # in the store
GOOD_FOR = timedelta(hours=12)  # RFC 8292 allows a day


class PushKey:
    """Signs who sends, for one push service at a time; it is read, or made, when it is first needed."""

    def __init__(self, directory: Path, database: Database | None = None) -> None:
        self._path = directory / KEY_FILE
        self._database = database if database is not None and database.lease.is_shared else None
        self._read: ECKey | None = None

    async def open(self) -> None:
        """Read the key that gateways share, before it is used; the first keeps its own there."""
        if self._database is not None and self._read is None:
            from joserfc.jwk import ECKey

            self._read = ECKey.import_key(await shared_secret(self._database, NAME, self._own))

    def _own(self) -> str:
        return (self._path.read_bytes() if self._path.exists() else _new_key()).decode()

    @property
    def public(self) -> str:
        """The public key as browsers take it: the uncompressed point, as base64url."""
        told = self._key.as_dict(private=False)
        point = b"\x04" + b"".join(_bytes_of(str(told[axis])) for axis in ("x", "y"))
        return base64.urlsafe_b64encode(point).decode().rstrip("=")

    def authorization(self, endpoint: str, *, contact: str, at: datetime) -> str:
        """The header for one push service."""
        from joserfc import jwt

        place = urlsplit(endpoint)
        claims = {
            "aud": f"{place.scheme}://{place.netloc}",
            "exp": int((at + GOOD_FOR).timestamp()),
            "sub": contact,
        }
        return f"vapid t={jwt.encode({'alg': 'ES256', 'typ': 'JWT'}, claims, self._key)}, k={self.public}"

    @property
    def _key(self) -> "ECKey":
        if self._read is None:
            from joserfc.jwk import ECKey  # at the first subscription, or the first push

            if not self._path.exists():
                _write_once(self._path, _new_key())
            self._read = ECKey.import_key(self._path.read_bytes())
        return self._read


def _new_key() -> bytes:
    from joserfc.jwk import ECKey

    pem: bytes = ECKey.generate_key("P-256").as_pem(private=True)
    return pem


def _bytes_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).rjust(32, b"\0")


def _write_once(path: Path, content: bytes) -> None:
    """Write a whole file for its owner alone, unless it is there: half a key is never in its place."""
    temporary = path.with_name(f"{path.name}.{token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not path.exists():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
