"""What a secret looks like in a text: tokens, passwords behind their name, cards, accounts, private keys.

IBANs are recognised by python-stdnum, which keeps up with the registry of their forms. For tokens no library
fits: detect-secrets and its kin scan files line by line, bring an HTTP client and a YAML parser, and report
findings without their place. Every pattern here takes time in proportion to the text, because what repeats is
bounded or is taken whole by the first match. What is encoded (base64, percent signs) is not looked into.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, zip_longest

from stdnum import iban, numdb

SEPARATORS = r"[\s.,:;\-\u2010-\u2015_/·•|]"  # between the digits of a number as people write it

Span = tuple[int, int, str]  # from, to, and what stood there


def _is_mixed(text: str) -> bool:
    """Whether a word is no word of a language: digits in it, or capitals behind small letters."""
    return re.search(r"[0-9]|[a-z][A-Z]", text) is not None


def looks_random(text: str) -> bool:
    """Whether a text is long, ends like base64, or is no word of a language."""
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
            yield *match.span(group), "password" if match["password"] else "token"
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


def is_iban(text: str) -> bool:
    """Whether all of a text is one IBAN."""
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


def is_key_block(text: str) -> bool:
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
    _pattern("token", rf"{SCHEME}(?P<secret>[A-Za-z0-9._~+/=-]{{8,}})", looks_random),
    _pattern(
        "token",
        rf"""{HEADER}(?P<secret>(?:[A-Za-z0-9-]{{3,20}}[ \t]{{1,5}})?[^\s"',\\]{{6,}})""",
        looks_random,
    ),
    # A password may have an @ that was not encoded: the last one ends it.
    _pattern("credentials", r"""://(?P<secret>[^\s/@:?#"]{0,200}:[^\s/"]{1,1000})@"""),
    _pattern("password", r"""(?i:(?<![a-z])sshpass)\s{1,5}-p\s{0,5}["']?(?P<secret>[^\s"']{1,400})"""),
    _pattern(
        "token",
        r"""(?i:(?<![a-z])auth)[\\"']{0,4}\s{0,5}[:=]\s{0,5}[\\"']{0,4}(?P<secret>[A-Za-z0-9+/_=.~-]{8,})""",
        looks_random,
    ),
    _pattern("credentials", r"://(?P<secret>[^\s/@:?#]{8,400})@", looks_random),
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
