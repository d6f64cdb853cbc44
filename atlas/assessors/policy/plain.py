"""What a condition comes to without CEL, where plain facts such as `session.read_outside` decide it.

In CEL `&&` is false as soon as one side is, and `||` true as soon as one is, also beside an error. So a rule
for every tool costs most calls nothing, and CEL, which takes ten times as long, is asked about the others.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from atlas.assessors.policy.facts import CALL, SESSION
from atlas.traces import Trace

Holds = Callable[[Trace], bool | None]  # None: only CEL can say

TOKENS = re.compile(r""" "[^"\n]*" | '[^'\n]*' | // | && | \|\| | \s+ | [^\s"'] """, re.VERBOSE)
UNCLEAR = ('"""', "'''", '\\"', "\\'")  # CEL has its own ideas of where such a text ends
FACT = re.compile(r"(call|session)\s*\.\s*(\w+)")
DEED = re.compile(r"""call\s*\.\s*deed\s*(==|!=)\s*(?:"(\w*)"|'(\w*)')""")
TRUTHS: dict[tuple[str, str], Callable[[Trace], bool]] = {
    (variable, name): of
    for variable, facts in (("call", CALL), ("session", SESSION))
    for name, of in facts.items()
    if name != "deed"
}


class _Token(NamedTuple):
    text: str
    depth: int  # of the brackets around it


def plain(condition: str) -> Holds:
    """A function that says whether a condition holds for a call, or None where only CEL can say."""
    tokens = _tokens(condition)
    return _only_cel if tokens is None else _any(tokens, 0)


def _tokens(condition: str) -> list[_Token] | None:
    tokens, depth = [], 0
    for match in TOKENS.finditer(condition):
        depth -= match[0] in (")", "]", "}")
        tokens.append(_Token(match[0], depth))
        depth += match[0] in ("(", "[", "{")
    is_read = sum(len(token.text) for token in tokens) == len(condition) and depth == 0
    has_comment = any(token.text == "//" for token in tokens)
    return tokens if is_read and not has_comment and not any(sign in condition for sign in UNCLEAR) else None


def _only_cel(trace: Trace) -> bool | None:
    return None


def _any(tokens: list[_Token], depth: int) -> Holds:
    if _Token("?", depth) in tokens:
        return _only_cel
    return _joined([_all(part, depth) for part in _split(tokens, _Token("||", depth))], settles=True)


def _all(tokens: list[_Token], depth: int) -> Holds:
    return _joined([_term(part, depth) for part in _split(tokens, _Token("&&", depth))], settles=False)


def _joined(parts: list[Holds], *, settles: bool) -> Holds:
    if len(parts) == 1:
        return parts[0]

    def holds(trace: Trace) -> bool | None:
        said = [part(trace) for part in parts]
        if settles in said:
            return settles
        return None if None in said else not settles

    return holds


def _term(tokens: list[_Token], depth: int) -> Holds:
    text = "".join(token.text for token in tokens).strip()
    if text.startswith("!"):
        rest = tokens[tokens.index(_Token("!", depth)) + 1 :]
        compares = any(token.text == "=" for token in rest if token.depth == depth)  # `!` binds more tightly
        return _only_cel if compares else _not(_term(rest, depth))
    inside = [token for token in tokens if token.depth > depth]
    if text.startswith("(") and text.endswith(")") and len(inside) + 2 == len(_without_blanks(tokens, depth)):
        return _any(inside, depth + 1)
    return _fact(text)


def _fact(text: str) -> Holds:
    if (deed := DEED.fullmatch(text)) is not None:
        sign, name = deed[1], deed[2] or deed[3] or ""
        return lambda trace: (trace.deed == name) is (sign == "==")
    named = FACT.fullmatch(text)
    return _only_cel if named is None else TRUTHS.get((named[1], named[2]), _only_cel)


def _not(part: Holds) -> Holds:
    def holds(trace: Trace) -> bool | None:
        said = part(trace)
        return None if said is None else not said

    return holds


def _split(tokens: list[_Token], sign: _Token) -> list[list[_Token]]:
    parts: list[list[_Token]] = [[]]
    for token in tokens:
        if token == sign:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _without_blanks(tokens: list[_Token], depth: int) -> list[_Token]:
    return [token for token in tokens if token.depth > depth or not token.text.isspace()]
