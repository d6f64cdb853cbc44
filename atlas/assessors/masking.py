"""What no one outside has to know of a call is masked before it leaves: secrets, cards, accounts.

IBANs are recognised by python-stdnum, which keeps up with the registry of their forms. For tokens no library
fits: detect-secrets and its kin scan files line by line, bring an HTTP client and a YAML parser, and report
findings without their place. Every pattern here takes time in proportion to the text, because what repeats is
bounded or is taken whole by the first match. What is encoded (base64, percent signs) is not looked into.

The author of a text can make it look like a secret, to hide it from a judge. So what is taken out, but is not
plainly the secret that it is taken for, leaves a note that counts as a cut: a person sees it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, zip_longest
from typing import Any

from stdnum import iban, numdb

from atlas.assessors.prompt import CUT_NOTE, unused_name

MAX_DEPTH = 64
SEPARATORS = r"[\s.,:;\-\u2010-\u2015_/·•|]"  # between the digits of a number as people write it

Span = tuple[int, int, str]  # from, to, and what stood there
Found = tuple[int, int, str, bool]  # the same, and whether it is plainly that


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
        return len(written) <= LONGEST_KEY and _is_key_block(secret)
    if len(written) > LONGEST_SECRET or TAGS.search(written):
        return False
    if kind == "IBAN" or (kind in NUMBERS and (NUMBER.fullmatch(secret) or _is_iban(secret))):
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
        if self.is_random and not (RANDOM.fullmatch(str(value)) and _looks_random(str(value))):
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
        and _looks_random(text)
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


def _is_mixed(text: str) -> bool:
    """Whether a word is no word of a language: digits in it, or capitals behind small letters."""
    return re.search(r"[0-9]|[a-z][A-Z]", text) is not None


def _looks_random(text: str) -> bool:
    return len(text) >= 32 or text.endswith("=") or _is_mixed(text)


@dataclass(frozen=True)
class Pattern:
    """Finds the group `secret` of an expression, where a further condition on it holds."""

    kind: str
    expression: re.Pattern[str]
    condition: Callable[[str], bool] = lambda text: True

    def __call__(self, text: str) -> Iterator[Span]:
        """Every place where it stands."""
        for match in self.expression.finditer(text):
            if self.condition(match["secret"]):
                yield *match.span("secret"), self.kind


def _pattern(kind: str, expression: str, condition: Callable[[str], bool] = bool) -> Pattern:
    return Pattern(kind, re.compile(expression, re.DOTALL), condition)


TOKENS = "|".join(
    (
        r"(?:sk|rk|pk)[-_][A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, Stripe
        r"(?:ak|as|wk|ws)-[A-Za-z0-9]{16,}",  # Modal
        r"gh[opsru]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|gl[a-z]{2,6}-[A-Za-z0-9_-]{16,}",  # GitHub, GitLab
        r"xox[a-z]-[A-Za-z0-9-]{8,}|xapp-[A-Za-z0-9-]{8,}|hooks\.slack\.com/services/\w[\w/]{8,}",  # Slack
        r"(?:npm|hf|shp[a-z]{2})_[A-Za-z0-9]{16,}|pypi-[A-Za-z0-9_-]{16,}",  # npm, Hugging Face, Shopify
        r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{12,}",  # Amazon
        r"AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_.-]{16,}",  # Google
        r"SG\.[A-Za-z0-9_.-]{20,}|do[or]_v1_[a-f0-9]{16,}|dop_v1_[a-f0-9]{16,}",  # SendGrid, DigitalOcean
        r"(?:whsec|signkey-[a-z]{1,20})[-_][A-Za-z0-9+/=_-]{16,}",  # webhooks, Inngest
        r"[0-9]{8,10}:[A-Za-z0-9_-]{30,}",  # Telegram
    )
)
NAMED = re.compile(
    r"(?i)(?P<name>(?P<password>pass(?:words?|wd|phrase|code|wort|key)|pwd|(?<![a-z])pw|kennwort"
    r"|contrase[nñ]as?|mots?[ _-]de[ _-]passe|(?<![a-z])senha|wachtwoord)|secrets?|tokens?|credentials?"
    r"|(?:api|access|private|signing|secret|encryption|account|session|master)[ _-]?key)"
    r"""[\\"']{0,4}(?P<link>\s{0,5}(?:=>|->|→|:=|=|:|\s(?:is|ist|lautet|es|est)\s{0,3}[:=]"""
    r"""|\s(?:is|ist|lautet|es|est)\s|\s)\s{0,5})"""
    # The quote may itself stand in a text that was encoded once more: password=\"…\"
    r"""(?:\\{0,3}"(?P<double>[^"\\]{1,400})|'(?P<single>[^']{1,400})'|(?P<bare>[^\s"',;&\\]{1,4000}))"""
)


def _named_secrets(text: str) -> Iterator[Span]:
    """What stands behind `password=`, `"token": ` or `API key is`."""
    place = 0
    while match := NAMED.search(text, place):
        group = next(name for name in ("double", "single", "bare") if match[name] is not None)
        if _is_secret(match["link"].strip(), match[group]):
            yield *match.span(group), PASSWORD.name if match["password"] else TOKEN.name
            place = match.end()
        else:
            place = match.end("name")


def _is_secret(link: str, value: str) -> bool:
    if link.endswith(("=", ":", ">", "→")):
        return len(value) > 3 or not value.isdigit()
    return len(value) >= 6 and _is_mixed(value) and any(map(str.isalpha, value))  # else it is prose


def _cards(text: str) -> Iterator[Span]:
    """Numbers of payment cards however their digits are set apart, and numbers too long for anything else."""
    for run in RUN.finditer(text):
        segments = [match.span() for match in DIGITS.finditer(text, *run.span())]
        row = Row(
            "".join(text[start:end] for start, end in segments), [end - start for start, end in segments]
        )
        done = 0
        for first, (start, end) in enumerate(segments):
            last = row.end_of_card(first) if first >= done else None
            if last is not None:
                yield start, segments[last][1], "card number"
                done = last + 1
            elif end - start > 19:
                yield start, end, "account number"


class Row:
    """Digits in groups, in which a card number begins and ends with a group."""

    def __init__(self, digits: str, sizes: list[int]) -> None:
        self._digits = digits
        self._sizes = sizes
        self._starts = [0, *accumulate(sizes)]
        self._group_at_end = {end: group for group, end in enumerate(self._starts[1:])}

    def end_of_card(self, first: int) -> int | None:
        """The last group of the card number that begins with the group `first`, if one does."""
        start = self._starts[first]
        issuer = ISSUER.match(self._digits, start)
        for length in CARD_LENGTHS[issuer.lastindex] if issuer and issuer.lastindex else ():
            last = self._group_at_end.get(start + length)
            number = self._digits[start : start + length]
            if last is not None and _is_grouped(self._sizes[first : last + 1]) and has_check_digit(number):
                return last
        return None


def _is_grouped(sizes: list[int]) -> bool:
    """As cards are written: in groups of one size, the last one shorter, or 4-6-5; not `412 2027-01-15`."""
    return sizes[:2] == [4, 6] or (len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0])


def has_check_digit(number: str) -> bool:
    """Whether Luhn's check digit fits; ten times as fast as stdnum.luhn, for texts that are all digits."""
    digits = number.encode()
    return (sum(digits[-1::-2]) + sum(digits[-2::-2].translate(DOUBLED))) % 10 == len(digits) * ord("0") % 10


DIGITS = re.compile(r"[0-9]+")
RUN = re.compile(rf"[0-9](?:{SEPARATORS}{{0,3}}[0-9]){{12,}}")
ISSUER = re.compile(
    r"(4)"  # Visa
    r"|(5[1-5]|2[3-6]|22[2-9]|27[01]|2720|220[0-4]|9792)"  # Mastercard, Mir, Troy
    r"|(3[47])"  # American Express
    r"|(30[0-5]|3[689]|35[2-8])"  # Diners, JCB
    r"|(5[0678]|6|8[12])"  # Maestro, Discover, UnionPay, RuPay
)
CARD_LENGTHS = ((), (16, 13, 19), (16,), (15,), (16, 14, 19), (16, 19, 18, 17, 15, 14, 13))
DOUBLED = bytes.maketrans(b"0123456789", bytes(ord("0") + sum(divmod(2 * digit, 10)) for digit in range(10)))


def _ibans(text: str) -> Iterator[Span]:
    """IBANs, with or without blanks between their groups."""
    done = 0
    for match in IBAN.finditer(text):
        end = _end_of_iban(match["number"]) if match.start() >= done else None
        if end is not None:
            done = match.start() + end
            yield match.start(), done, "IBAN"


def _end_of_iban(text: str) -> int | None:
    places = [match.end() for match in LETTER_OR_DIGIT.finditer(text)]
    length = _iban_length(text[:2].upper())
    if length is None or len(places) < length:
        return None
    end = places[length - 1]
    number = "".join(LETTER_OR_DIGIT.findall(text[:end]))
    return end if not text[end : end + 1].isalnum() and iban.is_valid(number, check_country=False) else None


@lru_cache(maxsize=1024)
def _iban_length(country: str) -> int | None:
    form: str | None = numdb.get("iban").info(country)[0][1].get("bban")
    return 4 + sum(map(int, re.findall(r"([0-9]+)!", form))) if form else None


def _is_iban(text: str) -> bool:
    return any(end - start == len(text) for start, end, _ in _ibans(text))


LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
IBAN = re.compile(
    r"(?<![A-Za-z0-9])(?=(?P<number>[A-Za-z]{2}[\s.\-]?[0-9]{2}(?:[\s.\-]{0,2}[A-Za-z0-9]){11,40}))"
)


def _private_keys(text: str) -> Iterator[Span]:
    """Blocks of keys; of one without an end only what looks like base64, because what follows may be text."""
    markers = list(MARKER.finditer(text))
    for marker, following in zip_longest(markers, markers[1:]):
        if marker["begin"]:
            is_block = following is not None and following["begin"] is None
            end = following if following is not None and is_block else UNENDED.match(text, marker.end())
            yield marker.start(), end.end() if end else marker.end(), "private key"


def _is_key_block(text: str) -> bool:
    """Whether there is nothing but base64 in lines of one length, as all programs write it."""
    block = KEY_BLOCK.fullmatch(text)
    lines = [line for line in re.split(BREAK, block["body"]) if line] if block else []
    if len(lines) > 1 and re.fullmatch(r"=[A-Za-z0-9+/]{4}", lines[-1]):  # the check sum of PGP
        lines.pop()
    return bool(lines) and len(set(map(len, lines[:-1]))) <= 1 and min([16, *map(len, lines[:-1])]) == 16


BREAK = r"(?:\s|\\[nr])"  # the second one in a text that was encoded once more
KEY_HEADERS = rf"(?:{BREAK}{{1,8}}(?:Proc-Type|DEK-Info|Version|Comment): [A-Za-z0-9,./-]{{1,80}}(?={BREAK}))"
BEGIN_KEY = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----"
END_KEY = r"-----END [A-Z0-9 ]{0,80}-----"
MARKER = re.compile(rf"(?P<begin>{BEGIN_KEY})|{END_KEY}")
KEY_BLOCK = re.compile(
    rf"{BEGIN_KEY}{KEY_HEADERS}{{0,4}}(?P<body>(?:[A-Za-z0-9+/=\s]|\\[nr])*)-----END [A-Z0-9 ]{{0,80}}-----"
)
UNENDED = re.compile(
    rf"{KEY_HEADERS}{{0,4}}(?:{BREAK}{{0,8}}[A-Za-z0-9+/=]{{16,}})?(?:{BREAK}{{1,8}}[A-Za-z0-9+/=]{{16,}})*"
    rf"(?:{BREAK}{{1,8}}[A-Za-z0-9+/=]{{1,15}}(?={BREAK}*\Z))?"
)
SCHEME = r"(?i:(?<![a-z])(?:bearer|basic|digest|negotiate|apikey)[ \t]{1,5})"
HEADER = r"""(?i:authorization|(?<![a-z])(?:set-)?cookie)[\\"']{0,4}\s{0,5}[:=]\s{0,5}[\\"']{0,4}"""
CODE_NAME = r"(?i:(?<![a-z])(?:pin|cvv2?|cvc2?|csc|otp|tan)(?![a-z]))(?:[\s:=#\"'-]|is|code|ist){1,12}"
ACCOUNT_NAME = (
    r"(?i:(?<![a-z])(?:account|acct|konto|kto)\.?(?:[ _-]?(?:number|nummer|no|nr|id))?)[\s.:=#\"']{0,6}"
)

FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (
    _private_keys,
    _pattern("token", r"(?P<secret>(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3})"),  # JWT
    _pattern("token", rf"(?<![A-Za-z0-9])(?P<secret>{TOKENS})", _is_mixed),
    _pattern("token", rf"{SCHEME}(?P<secret>[A-Za-z0-9._~+/=-]{{8,}})", _looks_random),
    _pattern(
        "token",
        rf"""{HEADER}(?P<secret>(?:[A-Za-z0-9-]{{3,20}}[ \t]{{1,5}})?[^\s"',\\]{{6,}})""",
        _looks_random,
    ),
    # A password may have an @ that was not encoded: the last one ends it.
    _pattern("credentials", r"""://(?P<secret>[^\s/@:?#"]{0,200}:[^\s/"]{1,1000})@"""),
    _pattern("password", r"""(?i:(?<![a-z])sshpass)\s{1,5}-p\s{0,5}["']?(?P<secret>[^\s"']{1,400})"""),
    _pattern(
        "token",
        r"""(?i:(?<![a-z])auth)[\\"']{0,4}\s{0,5}[:=]\s{0,5}[\\"']{0,4}(?P<secret>[A-Za-z0-9+/_=.~-]{8,})""",
        _looks_random,
    ),
    _pattern("credentials", r"://(?P<secret>[^\s/@:?#]{8,400})@", _looks_random),
    _pattern(
        "token",
        r"""[?&](?:key|sig|signature|X-Amz-Signature|code|auth)=(?P<secret>[^\s&#"']{8,})""",
        _is_mixed,
    ),
    _pattern("code", rf"{CODE_NAME}(?P<secret>[0-9]{{3,8}})(?![0-9])"),
    _pattern("account number", rf"{ACCOUNT_NAME}(?P<secret>[0-9](?:[ \-/.]?[0-9]){{5,29}})"),
    _named_secrets,
    _ibans,
    _cards,
)
