"""What no one outside has to know of a call is masked before it leaves: secrets, cards, accounts.

The author of a text can make it look like a secret, to hide it from a judge. So what is taken out, but is not
plainly the secret that it is taken for, leaves a note that counts as a cut: a person sees it.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from atlas.assessors.prompt import CUT_NOTE, unused_name
from atlas.assessors.secret_patterns import (
    FINDERS,
    SEPARATORS,
    Span,
    is_iban,
    is_key_block,
    looks_random,
)

MAX_DEPTH = 64

Found = tuple[int, int, str, bool]  # a span, and whether it is plainly what it is taken for


def mask(value: Any) -> Any:
    """A copy of a JSON value in which secrets and numbers of cards and accounts read `[masked: kind]`."""
    return _mask(value, depth=0)


def mask_text(text: str) -> str:
    """A text in which secrets and numbers of cards and accounts read `[masked: kind]`."""
    if len(text) < SHORTEST_SECRET:
        return text
    folded, places = _fold(text)
    spans = sorted({span for find in FINDERS for span in find(folded)}, key=lambda span: (span[0], -span[1]))
    return _replaced(text, [_found(span, text, folded, places) for span in spans])


def _mask(value: Any, *, depth: int, kind: "KeyKind | None" = None) -> Any:
    if depth > MAX_DEPTH:
        return f"[… nested too deeply, {CUT_NOTE}"
    if isinstance(value, Mapping):
        return _mask_mapping(value, depth=depth, kind=kind)
    if isinstance(value, (list, tuple)):
        before = (None, *value)
        kinds = [kind or _kind_behind(*pair) for pair in zip(before, value, strict=False)]
        items = [_mask(item, depth=depth + 1, kind=kind) for item, kind in zip(value, kinds, strict=True)]
        return tuple(items) if isinstance(value, tuple) else items
    if kind is not None and kind.matches(value):
        text = str(value)
        return _note(kind.name, len(text), is_plain=_is_plain(kind.name, _fold(text)[0], text))
    return _mask_leaf(value)


def _mask_mapping(value: Mapping[Any, Any], *, depth: int, kind: "KeyKind | None") -> dict[Any, Any]:
    masked: dict[Any, Any] = {}
    numbers: dict[Any, int] = {}
    kind_of_pair = _kind_of_pair(value)
    for key, item in value.items():
        name = unused_name(_mask_leaf(key), masked, numbers)  # two card numbers as keys are two entries still
        kind_of_item = (_kind_of_key(key) if isinstance(key, str) else None) or kind
        if kind_of_item is None and isinstance(key, str) and key.lower() in VALUES:
            kind_of_item = kind_of_pair
        masked[name] = _mask(item, depth=depth + 1, kind=kind_of_item)
    return masked


def _mask_leaf(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, (int, float)) and 10**11 < abs(value) < 10**19:  # a card number without quotes
        text = mask_text(str(int(value)))
        return value if text == str(int(value)) else text
    return value


# ── What counts as a cut ─────────────────────────────────────────────────────────────────────────────────

LONGEST_SECRET = 512
LONGEST_KEY = 16_384
SHORTEST_SECRET = 5  # with its name: pw: x
TEXT_LIKE = re.compile(r"[\s$();|&`<>]")  # what sentences and commands have, and secrets hardly ever
TAGS = re.compile("[\U000e0000-\U000e007f]")  # invisible characters that some models read as letters
NUMBER = re.compile(rf"(?:[0-9]|{SEPARATORS})+")
AUTH_SCHEME = re.compile(r"(?i:bearer|basic|digest|negotiate|apikey|token|bot|key)[ \t]{1,5}")
OPENING, CLOSING = "(<`", ")>`;"


def _note(kind: str, length: int, *, is_plain: bool) -> str:
    return f"[masked: {kind}]" if is_plain else f"[masked: {kind}, {length} {CUT_NOTE}"


def _is_plain(kind: str, secret: str, written: str) -> bool:
    """Whether what is masked can hardly be anything else; `written` is how the secret stood in the text."""
    if kind == "private key":
        return len(written) <= LONGEST_KEY and is_key_block(secret)
    if len(written) > LONGEST_SECRET or TAGS.search(written):
        return False
    if kind == "IBAN" or (kind in NUMBERS and (NUMBER.fullmatch(secret) or is_iban(secret))):
        return True
    scheme = AUTH_SCHEME.match(secret)
    return not TEXT_LIKE.search(secret, scheme.end() if scheme else 0)


def _found(span: Span, text: str, folded: str, places: range | list[int]) -> Found:
    """Where a secret stands in the text as it was written, without a bracket or semicolon that closes it."""
    start, end, kind = span
    secret = folded[start:end]
    if kind in (TOKEN.name, PASSWORD.name) and not any(character in secret for character in OPENING):
        secret = secret.rstrip(CLOSING) or secret
        end = start + len(secret)
    written = text[places[start] : places[end]]
    return places[start], places[end], kind, _is_plain(kind, secret, written)


# ── Keys whose value is secret ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class KeyKind:
    """A kind of secret, and how many digits a value must have to be one (`pin` can be a needle)."""

    name: str
    digits: int = 0
    is_random: bool = False  # only a value that is no word is one: `auth` can be a method

    def matches(self, value: Any) -> bool:
        """Whether a value could be such a secret; nothing, yes and no give nothing away."""
        if value is None or isinstance(value, bool) or value == "":
            return False
        if self.is_random and not (RANDOM.fullmatch(str(value)) and looks_random(str(value))):
            return False
        return sum(map(str.isdigit, str(value)[:200])) >= self.digits


PASSWORD, TOKEN, CODE = KeyKind("password"), KeyKind("token"), KeyKind("code", digits=3)
ACCOUNT, CARD = KeyKind("account number", digits=5), KeyKind("card number", digits=11)
AUTH = KeyKind("token", is_random=True)
NUMBERS = {CODE.name, ACCOUNT.name, CARD.name}
RANDOM = re.compile(r"[A-Za-z0-9+/_=.~-]{8,}")
NAMES_OF_KEYS = {
    PASSWORD: "password passwd passphrase passcode pwd pw passwort kennwort pass passkey "
    "contrasena mot_de_passe de_passe motdepasse senha wachtwoord",
    TOKEN: "token secret authorization credential cookie bearer jwt api_key apikey access_key accesskey "
    "secret_key secretkey private_key privatekey signing_key encryption_key auth_key ssh_key session_key "
    "session_id sessionid account_key accountkey master_key",
    AUTH: "auth",
    CODE: "pin cvv cvc csc otp tan security_code pin_code otp_code",
    ACCOUNT: "account account_number account_no account_nr accountnumber account_id accountid "
    "konto kontonummer konto_nummer iban bban routing_number sort_code",
    CARD: "card card_number cardnumber credit_card card_no kartennummer",
}
KEYS = {name: kind for kind, names in NAMES_OF_KEYS.items() for name in names.split()}
SUFFIXES = "new old current confirm confirmation repeat value hash plain header base v prod dev test live"
QUALIFIERS = frozenset(SUFFIXES.split())
QUANTITIES = {"max", "min", "count", "limit", "total", "num", "budget", "per", "used"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# {"name": "DB_PASSWORD", "value": …}, as environments and headers are written
NAMES = {"name", "key", "header", "field", "variable", "var", "parameter", "param", "k"}
VALUES = {"value", "values", "val", "v"}
FILE_NUMBER = re.compile(r"[A-Za-z]{1,5}[-/ ]?[0-9]+(?:[-/][0-9]+)*")
LONGEST_NAME = 100


def _kind_of_key(key: str) -> KeyKind | None:
    """By the last words of a key, so that `dbPassword` is secret and `password_policy` is not."""
    plain = unicodedata.normalize("NFKD", _fold(key)[0][-200:])
    words = [word.lower() for word in WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))]
    is_quantity = not QUANTITIES.isdisjoint(words)
    while len(words) > 1 and (words[-1] in QUALIFIERS or words[-1].isdigit()):
        words.pop()
    names = ["_".join(words[-count:]) for count in (2, 1)]
    kinds = [KEYS[form] for name in names for form in (name, name.removesuffix("s")) if form in KEYS]
    return None if not kinds or (kinds[0] is TOKEN and is_quantity) else kinds[0]


def _kind_of_pair(value: Mapping[Any, Any]) -> KeyKind | None:
    """Of the value in an object that says its name in another entry."""
    names = [item for key, item in value.items() if isinstance(key, str) and key.lower() in NAMES]
    kinds = [_kind_of_key(name) for name in names if isinstance(name, str) and len(name) <= LONGEST_NAME]
    return next(filter(None, kinds), None)


def _kind_behind(before: Any, item: Any) -> KeyKind | None:
    """Of an item of a list behind its name: a pair of a header, or the words of a command."""
    if not (isinstance(before, str) and isinstance(item, str) and 1 < len(before) <= LONGEST_NAME):
        return None
    if before.startswith("-"):
        return _kind_of_key(before) if not item.startswith("-") else None
    if any(map(str.isspace, before)) or not _is_like_a_secret(item):
        return None
    kind = _kind_of_key(before)
    return kind if kind in (PASSWORD, TOKEN, AUTH) else None


def _is_like_a_secret(text: str) -> bool:
    """Whether a text without a name could be one: no word, no date and no file number."""
    return (
        8 <= len(text) <= LONGEST_SECRET
        and looks_random(text)
        and any(map(str.isalpha, text))
        and not FILE_NUMBER.fullmatch(text)
        and _is_plain(TOKEN.name, text, text)
    )


# ── Texts ────────────────────────────────────────────────────────────────────────────────────────────────


def _fold(text: str) -> tuple[str, range | list[int]]:
    """The text in plain characters (none full-width or invisible), and where each one stood."""
    if text.isascii():
        return text, range(len(text) + 1)
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for plain in _plain(character):
            characters.append(plain)
            places.append(place)
    return "".join(characters), [*places, len(text)]


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) in ("Cf", "Mn", "Me"):  # invisible, or drawn over its neighbour
        return ""
    digit = unicodedata.decimal(character, None)
    plain = unicodedata.normalize("NFKC", character) if digit is None else str(digit)
    return plain if len(plain) <= 4 else character  # one letter of Arabic stands for 18 others


def _replaced(text: str, spans: list[Found]) -> str:
    """The text with each span replaced; of spans that overlap, the first one names what stood there."""
    parts: list[str] = []
    done = 0
    for start, end, kind, is_plain in _joined(spans):
        parts += [text[done:start], _note(kind, end - start, is_plain=is_plain)]
        done = end
    return "".join([*parts, text[done:]])


def _joined(spans: list[Found]) -> list[Found]:
    joined: list[Found] = []
    for start, end, kind, is_plain in spans:
        if joined and start < joined[-1][1]:
            first, last, name, was_plain = joined.pop()
            start, end, kind, is_plain = first, max(last, end), name, was_plain and is_plain
        joined.append((start, end, kind, is_plain))
    return joined
