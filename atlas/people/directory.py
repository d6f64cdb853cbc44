"""The people as a rule asks for them: read when they are asked for, or all at once for many."""

from collections import defaultdict

from sqlalchemy.engine import Connection

from atlas.instants import now
from atlas.people.delegations import Delegation, delegations_of, going_on
from atlas.people.profiles import Profile, all_profiles, profile_of
from atlas.people.trainings import Training, trainings_of


class Directory:
    """What the store knows of people at one moment; each of them is read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._profiles: dict[str, Profile] = {}
        self._delegations: dict[str, tuple[Delegation, ...]] = {}  # from and to a person
        self._trainings: dict[str, tuple[Training, ...]] = {}

    @classmethod
    def of_everyone(cls, connection: Connection) -> "Directory":
        """The same with all people in it; of the delegations only those that go on."""
        made = cls(connection)
        made._profiles = all_profiles(connection)
        delegations: dict[str, list[Delegation]] = defaultdict(list)
        for one in going_on(connection):
            delegations[one.from_person].append(one)
            delegations[one.to_person].append(one)
        trained: dict[str, list[Training]] = defaultdict(list)
        for training in trainings_of(connection):
            trained[training.person].append(training)
        made._delegations = {name: tuple(delegations[name]) for name in made._profiles}
        made._trainings = {name: tuple(trained[name]) for name in made._profiles}
        return made

    @property
    def people(self) -> tuple[Profile, ...]:
        """Those who were read, by name."""
        return tuple(self._profiles.values())

    def profile(self, name: str) -> Profile:
        """The profile of a person."""
        if name not in self._profiles:
            self._profiles[name] = profile_of(self._connection, name)
        return self._profiles[name]

    def delegations(self, name: str) -> tuple[Delegation, ...]:
        """Those from and to a person."""
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
        if name not in self._trainings:
            self._trainings[name] = trainings_of(self._connection, name)
        return tuple(one for one in self._trainings[name] if one.scope == scope)
