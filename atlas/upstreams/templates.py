"""Which URIs a template of an upstream stands for, found without a regular expression of its making."""

import re
from functools import lru_cache
from urllib.parse import quote, unquote

LONGEST = 8 * 1024  # characters of a URI or a template
QUERY = re.compile(r"\{\?[^{}]+\}")  # what it stands for may be missing
VARIABLE = re.compile(r"\{([^{}]+)\}")
AS_WRITTEN = ":/?#[]@!$&'()*+,;=%"  # the rest of a literal matches plain and percent-encoded


def match_template(template: str, uri: str) -> dict[str, str] | None:
    """The variables of a URI, `{name}` within a segment and `{name*}` over several; None if it is another.

    The time grows with the length of the two: literals are looked for in their order, and never again.
    """
    pieces = _pieces(template)
    if pieces is None or len(uri) > LONGEST:
        return None
    literals, names = pieces
    path = _encoded((uri if "#" in template else uri.partition("#")[0]).partition("?")[0])
    if not names:
        return {} if path == literals[0] else None
    # The last one that spans segments, or else the last one, takes what the others leave.
    rest = max((index for index, name in enumerate(names) if name.endswith("*")), default=len(names) - 1)
    before = _from_the_left(path, literals[: rest + 1])
    after = _from_the_left(path[::-1], [literal[::-1] for literal in reversed(literals[rest + 1 :])])
    if before is None or after is None or before[1] + after[1] >= len(path):
        return None
    values = [*before[0], path[before[1] : len(path) - after[1]], *(value[::-1] for value in after[0][::-1])]
    if any("/" in value and not name.endswith("*") for name, value in zip(names, values, strict=True)):
        return None
    return {name.rstrip("*"): unquote(value) for name, value in zip(names, values, strict=True)}


@lru_cache(maxsize=1024)
def _pieces(template: str) -> tuple[list[str], list[str]] | None:
    """Its literals and the names between them; None if it is nothing that can be looked for."""
    if len(template) > LONGEST:
        return None
    literals_and_names = VARIABLE.split(QUERY.sub("", template))
    names = literals_and_names[1::2]
    plain = [name.removesuffix("*").replace("-", "_") for name in names]
    if not all(name.isidentifier() for name in plain) or len(set(plain)) != len(plain):
        return None
    return [_encoded(literal) for literal in literals_and_names[::2]], names


def _from_the_left(path: str, literals: list[str]) -> tuple[list[str], int] | None:
    """What stands between literals, each taken as early as can be, and where the last one ends."""
    if not path.startswith(literals[0]):
        return None
    values, end = [], len(literals[0])
    for literal in literals[1:]:
        found = path.find(literal, end + 1)
        if found < 0:
            return None
        values.append(path[end:found])
        end = found + len(literal)
    return values, end


def _encoded(text: str) -> str:
    return quote(text, safe=AS_WRITTEN)
