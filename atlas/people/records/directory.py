"""The people as a rule asks for them: read when they are asked for, or all at once for many."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from sqlalchemy.engine import Connection

from atlas.instants import now
from atlas.people.records.delegations import Delegation, delegations_of, going_on
from atlas.people.records.profiles import Profile, all_profiles, entries_of, profile_of
from atlas.people.records.trainings import Training, trainings_of


class Directory:
    """What the store knows of people at one moment; each of them is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._profiles: dict[str, Profile] = {}
        self._delegations: dict[str, tuple[Delegation, ...]] = {}  # from and to a person
        self._trainings: dict[str, tuple[Training, ...]] = {}
        self._is_of_many = False
        self.people: tuple[Profile, ...] = ()  # those who were read at the beginning, in order

    @classmethod
    def of_everyone(cls, connection: Connection) -> "Directory":
        """The same with all people in it; of the delegations only those that go on."""
        return cls.of_many(connection, all_profiles(connection).values())

    @classmethod
    def of_many(cls, connection: Connection, people: Iterable[Profile]) -> "Directory":
        """The same with some people in it, in order; what else is asked of them is read for all at once."""
        made = cls(connection)
        made.people = tuple(people)
        made._profiles = {one.name: one for one in made.people}
        made._is_of_many = True
        return made

    def those_of(self, entries: Iterable[str]) -> list[Profile]:
        """Of the people here those of some entries of `reviewers`, and those of delegations, in order."""
        places = {place for entry in entries for place in self._by_entry.get(entry, ())}
        places.update(self._places[name] for name in self._going_on if name in self._places)
        return [self.people[place] for place in sorted(places)]

    @cached_property
    def _by_entry(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(self.people):
            for entry in entries_of(one):
                found[entry].append(place)
        return found

    @cached_property
    def _places(self) -> dict[str, int]:
        return {one.name: place for place, one in enumerate(self.people)}

    @cached_property
    def _going_on(self) -> dict[str, tuple[Delegation, ...]]:
        found: dict[str, tuple[Delegation, ...]] = defaultdict(tuple)
        for one in going_on(self._connection):
            for name in {one.from_person, one.to_person}:
                found[name] += (one,)
        return found

    @cached_property
    def _trained(self) -> dict[str, tuple[Training, ...]]:
        found: dict[str, list[Training]] = defaultdict(list)
        for one in trainings_of(self._connection):
            found[one.person].append(one)
        return {name: tuple(some) for name, some in found.items()}

    def profile(self, name: str) -> Profile:
        """The profile of a person."""
        if name not in self._profiles:
            self._profiles[name] = profile_of(self._connection, name)
        return self._profiles[name]

    def delegations(self, name: str) -> tuple[Delegation, ...]:
        """Those from and to a person."""
        if self._is_of_many:
            return self._going_on.get(name, ())
        if name not in self._delegations:
            self._delegations[name] = delegations_of(self._connection, [name])
        return self._delegations[name]

    def gives_to(self, name: str) -> tuple[Delegation, ...]:
        """The delegations to a person that hold now, of those who are still there."""
        at = now()
        return tuple(
            one
            for one in self.delegations(name)
            if one.to_person == name and one.holds_at(at) and self.profile(one.from_person).is_there
        )

    def is_trained(self, name: str, scope: str) -> bool:
        """Whether a person has a training for a scope that counts now."""
        return any(one.counts for one in self.trainings(name, scope))

    def trainings(self, name: str, scope: str) -> tuple[Training, ...]:
        """All trainings of a person for a scope, also those that count no more."""
        if self._is_of_many:
            known = self._trained.get(name, ())
        elif name in self._trainings:
            known = self._trainings[name]
        else:
            known = self._trainings[name] = trainings_of(self._connection, name)
        return tuple(one for one in known if one.scope == scope)
