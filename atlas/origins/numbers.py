"""The ways in which people write one number, one date or one phone number."""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import product

_NUMBER = re.compile(
    r"(?:[A-Za-z]{3} ?|[€$£] ?)?[-+−]?(\d{1,15}|\d{1,3}(?:[.,' \u00a0\u202f]\d{3}){1,4})([.,]\d{1,6})?"
    r"(?: ?[A-Za-z]{3}| ?[€$£%])?"
)
_PHONE = re.compile(r"[+(]?\d[\d ()./\u00a0-]{5,22}\d")
_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ](\d{2}:\d{2}).{0,20})?")
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_NAMED = re.compile(
    r"(?:([A-Za-z]{3,9})\.? )?(\d{1,2})(?:st|nd|rd|th|\.)?,?(?: of)?(?: ([A-Za-z]{3,9})\.?,?)? (\d{4})"
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def as_number(value: object) -> Decimal | None:
    """The amount that a value writes, without its sign and its currency."""
    text = f"{value:f}" if isinstance(value, float) and abs(value) < 10**15 else str(value)
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= 40 else None
    if found is None:
        return None
    whole, fraction = re.sub(r"\D", "", found[1]), found[2] or ""
    if len(fraction) == 4 and 0 < len(whole) <= 3 and not isinstance(value, float) and whole != "0":
        whole, fraction = whole + fraction[1:], ""  # 1.000 or 1,000 in a text is a thousand
    try:
        return Decimal(f"{whole}.{fraction[1:] or 0}")
    except InvalidOperation:
        return None


def ways_to_write(number: Decimal) -> tuple[frozenset[str], tuple[str, ...]]:
    """A number as whole things (1000, 1,000.00, 1.000,00), and as words with blanks (1 000 00)."""
    whole, _, fraction = f"{number:f}".partition(".")
    fraction = fraction.rstrip("0")
    ends = {fraction, fraction.ljust(2, "0")} if fraction else {"", "0", "00"}
    grouped = f"{int(whole):,}"
    things = {
        grouped.replace(",", mark) + (point + end if end else "")
        for (mark, point), end in product(
            (("", "."), ("", ","), (",", "."), (".", ","), ("'", "."), ("'", ",")), ends
        )
    }
    blanks = [" ".join([grouped.replace(",", " "), *([end] if end else [])]) for end in ends]
    return frozenset(things), tuple(blanks) if "," in grouped else ()


def as_date(text: str) -> tuple[date, str] | None:
    """The day that a text writes, and its time of day, if it writes one."""
    if len(text) > 40:
        return None
    if found := _ISO.fullmatch(text):
        return _day(found[1], found[2], found[3], found[4] or "")
    if found := _DAY_FIRST.fullmatch(text):
        return _day(found[3], found[2], found[1])
    if found := _MONTH_FIRST.fullmatch(text):
        return _day(found[3], found[1], found[2]) or _day(found[3], found[2], found[1])
    if (found := _NAMED.fullmatch(text)) and (month := _month(found[1] or found[3] or "")):
        return _day(found[4], month, found[2])
    return None


def _month(name: str) -> int | None:
    short = name[:3].lower()
    return (
        next((at for at, month in enumerate(MONTHS, 1) if month.startswith(short)), None) if short else None
    )


def _day(year: object, month: object, day: object, time: str = "") -> tuple[date, str] | None:
    try:
        return date(int(str(year)), int(str(month)), int(str(day))), time
    except ValueError:
        return None


def ways_to_write_a_day(day: date) -> tuple[frozenset[str], tuple[str, ...]]:
    """A day as whole things (2024-05-15, 15.05.2024, 05/15/2024), and as words (may 15 2024)."""
    year, months, days = day.year, {day.month, f"{day.month:02}"}, {day.day, f"{day.day:02}"}
    things = {f"{year}-{day.month:02}-{day.day:02}", f"{year}{day.month:02}{day.day:02}"}
    for one_month, one_day in product(months, days):
        things |= {
            f"{one_day}.{one_month}.{year}",
            f"{one_month}/{one_day}/{year}",
            f"{one_day}/{one_month}/{year}",
        }
        things |= {
            f"{year}/{one_month}/{one_day}",
            f"{one_day}-{one_month}-{year}",
            f"{one_month}-{one_day}-{year}",
        }
    suffix = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    words = []
    for month, one_day in product(
        (MONTHS[day.month - 1], MONTHS[day.month - 1][:3]), (*days, f"{day.day}{suffix}")
    ):
        words += [f"{month} {one_day} {year}", f"{one_day} {month} {year}", f"{one_day} of {month} {year}"]
    return frozenset(things), tuple(words)


def phone_digits(text: str) -> tuple[tuple[str, int], ...]:
    """The digits by which a phone number is found, each with how many other digits may stand before them."""
    if not _PHONE.fullmatch(text):
        return ()
    digits = re.sub(r"\D", "", text)
    if text.startswith("+") or digits.startswith("00"):
        full = digits.removeprefix("00")
        national = [full[cut:] for cut in (1, 2, 3) if len(full) - cut >= 9]
        return ((full, 2), *(("0" + part, 0) for part in national), *((part, 0) for part in national))
    if digits.startswith("0") and len(digits) >= 9:
        return ((digits, 0), (digits[1:], 5))
    code = 3 if len(digits) >= 9 and not text.isdigit() else 0  # digits alone can be an account
    return ((digits, code),) if len(digits) >= 7 else ()
