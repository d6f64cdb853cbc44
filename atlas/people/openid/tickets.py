"""What a browser keeps between the beginning of a sign-in and its end: the proof that it is the same browser.

The ticket holds one random seed. State, nonce and the verifier of PKCE are made from it with a key of this
process, or of all gateways that share a store. So a person who reads a ticket knows none of them, and the
gateway keeps nothing for strangers.
"""

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

LASTS_SECONDS = 600
SEED_BYTES = 32
KEY_BYTES = 32


@dataclass(frozen=True)
class Ticket:
    """One sign-in that has begun."""

    seed: str
    began: int
    then: str
    state: str
    nonce: str
    verifier: str


class Tickets:
    """Gives tickets and takes them; each brings one person in once at a gateway."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(KEY_BYTES)
        self._spent: dict[str, float] = {}  # of those that signed in, for as long as a ticket lasts

    def give(self, then: str) -> tuple[Ticket, str]:
        """A new ticket, and the text that the browser keeps."""
        ticket = self._made(secrets.token_urlsafe(SEED_BYTES), int(time.time()), then)
        place = base64.urlsafe_b64encode(then.encode()).decode()
        kept = f"{ticket.seed}.{ticket.began}.{place}"
        return ticket, f"{kept}.{self._mac('kept', kept)}"

    def take(self, text: str, state: str) -> Ticket | None:
        """The ticket of a text, if we gave it, it still lasts, and the state is its own."""
        kept, _, mac = text.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("kept", kept).encode()):
            return None
        seed, began, place = kept.split(".")
        ticket = self._made(seed, int(began), base64.urlsafe_b64decode(place).decode())
        is_over = not 0 <= time.time() - ticket.began <= LASTS_SECONDS
        is_its_own = hmac.compare_digest(state.encode(), ticket.state.encode())
        return None if is_over or not is_its_own or ticket.state in self._spent else ticket

    def spend(self, ticket: Ticket) -> None:
        """Take this ticket no more."""
        moment = time.monotonic()
        self._spent = {state: until for state, until in self._spent.items() if until > moment}
        self._spent[ticket.state] = moment + LASTS_SECONDS

    def _made(self, seed: str, began: int, then: str) -> Ticket:
        state, nonce, verifier = (self._mac(what, seed) for what in ("state", "nonce", "verifier"))
        return Ticket(seed, began, then, state, nonce, verifier)

    def _mac(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}\0{text}".encode(), hashlib.sha256).hexdigest()
