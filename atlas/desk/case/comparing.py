"""What is different between two rounds of a case: each field with what it was and what it is, nothing cut."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from atlas.desk.lines import lines_of
from atlas.models import Assessment


class Difference(NamedTuple):
    """A place with what stood there before and what stands there now; None: nothing."""

    place: str
    before: str | None
    after: str | None


def differences_of(
    before: tuple[Assessment, dict[str, Any]], after: tuple[Assessment, dict[str, Any]]
) -> tuple[Difference, ...]:
    """What changed in the definition of the tool and in the ruling of the policy."""
    found = [*_between("the tool: ", before[1], after[1])]
    rulings = (before[0].ruling, after[0].ruling)
    old, new = (ruling.model_dump(mode="json") if ruling else {} for ruling in rulings)
    return (*found, *_between("the policy: ", old, new))


def _between(what: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    old, new = _places(before), _places(after)
    for place in [*old, *(place for place in new if place not in old)]:
        if old.get(place) != new.get(place):
            yield Difference(what + place, old.get(place), new.get(place))


def _places(value: dict[str, Any]) -> dict[str, str]:
    """Each leaf by its path, so that two values are compared without a look at their order."""
    path: list[str] = []
    place, found = "", dict[str, str]()
    for line in lines_of(value):
        if line.kind == "more":
            found[place] += line.value
            continue
        path[line.depth :] = [line.name or ""]
        place = ".".join(path)
        if line.kind != "group":
            found[place] = line.value
    return found
