"""Passwords of accounts: argon2id, in a thread, and one at a time, so that their memory does not add up."""

import asyncio
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from atlas.errors import SignInRefused

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 1000  # characters
# Of the equal choices in the Password Storage Cheat Sheet of OWASP the largest: above 32 MiB the C
# library gives it back to the system after each hash, and less than that it keeps.
MEMORY_KIB, PASSES, LANES = 46 * 2**10, 1, 1


class Passwords:
    """Makes and checks hashes."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        # At the first password: a gateway without accounts does without it.
        from argon2 import PasswordHasher

        return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)

    @cached_property
    def _of_no_one(self) -> str:
        """Checked in place of a hash that is not there: an unknown name takes as long as a known one."""
        return self._hasher.hash("")

    async def hash(self, password: str) -> str:
        """What is kept of a password."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(lambda: self._hasher.hash(_normal(password)))

    async def is_right(self, kept: str | None, password: str) -> bool:
        """Whether a password is the one that was kept; never where none was, after the same time."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._check, kept, password)

    def _check(self, kept: str | None, password: str) -> bool:
        from argon2.exceptions import VerificationError

        try:
            self._hasher.verify(kept or self._of_no_one, _normal(password))
        except VerificationError:
            return False
        return kept is not None


def check_new(password: str) -> None:
    """Refuse a password that is too short or too long; raises SignInRefused."""
    if len(_normal(password)) < SHORTEST:
        raise SignInRefused(reason=f"A password has at least {SHORTEST} characters. Longer is better.")
    if len(password) > LONGEST:
        raise SignInRefused(reason=f"A password has at most {LONGEST} characters.")


def _normal(password: str) -> str:
    """The same characters however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password[: LONGEST + 1])
