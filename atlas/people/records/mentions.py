"""Whom a comment names: `@anna`, `@"Anna Ko"` and `@seniors` are people and groups that the gateway knows."""

import re
from collections.abc import Collection, Iterator

from sqlalchemy.engine import Connection

from atlas.models import Frozen, as_seen
from atlas.people.records.profiles import all_profiles
from atlas.review_rules import GROUP

MOST = 20  # people and groups that one comment tells
LONGEST = 200  # characters of a name

# Not within a word or an address; with quotes where a name has blanks.
_MENTION = re.compile(r'(?<![\w@.])@(?:["“„]([^"“”„\n]{1,200})["”“]|([^\s"“”„()\[\]{},;<>]{1,200}))')
_ENDS = ".:!?'’…*_"


class KnownPeople(Frozen):
    """Who can be named, by the name as it is seen."""

    people: dict[str, str]
    groups: dict[str, str]

    def address(self, name: str) -> str | None:
        """The person or the group of a name, as a notice has it; None: no one is known by it."""
        seen = as_seen(name)
        if seen in self.people:
            return self.people[seen]
        group = self.groups.get(as_seen(name.removeprefix(GROUP)))
        return None if group is None else GROUP + group


NO_ONE_KNOWN = KnownPeople(people={}, groups={})


def known_people(connection: Connection, keys: Collection[str]) -> KnownPeople:
    """Those who may read the desk: people who have not ended, the names of keys, and their groups."""
    there = [one for one in all_profiles(connection).values() if one.ended_at is None]
    names = [*(one.name for one in there), *keys]
    return KnownPeople(
        people={as_seen(name): name for name in reversed(names)},
        groups={as_seen(group): group for one in there for group in one.groups},
    )


def mentioned_in(text: str, known: KnownPeople) -> tuple[str, ...]:
    """Whom a text names, as a notice has it: a name, or `group:` and the name of a group."""
    found = (_address(quoted, plain, known) for quoted, plain in _MENTION.findall(text))
    return tuple(dict.fromkeys(address for address in found if address is not None))[:MOST]


def _address(quoted: str, plain: str, known: KnownPeople) -> str | None:
    tried = [quoted] if quoted else [*_shorter(plain)]
    return next((address for name in tried if (address := known.address(name)) is not None), None)


def _shorter(name: str) -> Iterator[str]:
    """The name, and without each sign at its end that can belong to the sentence."""
    yield name
    while name and name[-1] in _ENDS:
        name = name[:-1]
        yield name
