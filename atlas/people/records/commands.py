"""The commands on what is known of people: list, show, set, train, untrain, delegate, undelegate."""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from atlas.database.beside import Beside
from atlas.errors import PersonRefused
from atlas.frozen import Frozen
from atlas.instants import moment
from atlas.models import plain_text
from atlas.outbox.addresses import Addresses
from atlas.people.accounts import accounts
from atlas.people.accounts.accounts import OPERATOR
from atlas.people.records import delegations, keeping, trainings
from atlas.people.records.delegations import Delegation
from atlas.people.records.instants_as_written import WANTED, read_moment
from atlas.people.records.profiles import Profile, all_profiles
from atlas.people.records.trainings import Training, trainings_of
from atlas.settings import Settings
from atlas.settings.ways import listed

COMMANDS = ("list", "show", "set", "train", "untrain", "delegate", "undelegate")


class Record(Frozen):
    """All that is known of a person."""

    profile: Profile
    has_password: bool = False
    trainings: tuple[Training, ...] = ()
    delegations: tuple[Delegation, ...] = ()  # from and to the person, that go on


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    showing = commands.add_parser("list", help="show all people")
    showing.add_argument("--json", action="store_true", help="print all that is known of them, as JSON")
    commands.add_parser("show", help="show all that is known of one person").add_argument("name")
    setting = commands.add_parser("set", help="set groups, languages, hours and how a person is told")
    setting.add_argument("name")
    for option, what in (
        ("groups", "groups, with commas between"),
        ("languages", "BCP 47 tags such as de,en, the best first"),
        ("zone", "such as Europe/Berlin"),
        ("working-hours", "such as 'mon-fri 09:00-17:00'"),
        ("quiet-hours", "in which no notice is sent, such as '22:00-06:00'"),
        ("channels", "how they are told, with commas between"),
        ("digest", "how often notices that can wait are put together, such as 1h"),
    ):
        setting.add_argument(f"--{option}", help=f"{what}; '' takes it away")
    training = commands.add_parser("train", help="note a training of a person")
    training.add_argument("name")
    training.add_argument("scope", help="as a rule's requires_training names it")
    training.add_argument("--what", required=True, help="what the person learnt, and where that is kept")
    training.add_argument("--until", help=f"until when it counts: {WANTED}")
    untraining = commands.add_parser("untrain", help="take back the trainings of a person for a scope")
    untraining.add_argument("name")
    untraining.add_argument("scope")
    delegating = commands.add_parser("delegate", help="let a person decide for another for a time")
    delegating.add_argument("from_person", metavar="FROM")
    delegating.add_argument("to_person", metavar="TO")
    delegating.add_argument("--until", required=True, help=WANTED)
    delegating.add_argument("--begin", help="from when on; default: now")
    delegating.add_argument("--group", help="only for what this group may decide")
    commands.add_parser("undelegate", help="end a delegation").add_argument("delegation_id", metavar="DLG")


def run(store: Beside, settings: Settings, options: argparse.Namespace) -> str:
    """Run one command, and return what it says; raises AtlasError."""
    work = partial(_COMMANDS[options.command], settings=settings, options=options)
    said: str = store.change(work)
    return said


def records_of(connection: Connection, settings: Settings) -> tuple[Record, ...]:
    """Everyone of whom something is known, and those who have a key with a name."""
    found = all_profiles(connection)
    for name in settings.reviewers - found.keys():
        found[name] = Profile(name=name, has_key=True)
    passwords = {one.name for one in accounts.all_of_them(connection) if one.password_hash}
    trained = trainings_of(connection)
    given = delegations.going_on(connection)
    return tuple(
        Record(
            # What the settings say now, also where the gateway has not started since.
            profile=found[name].model_copy(update={"has_key": name in settings.reviewers}),
            has_password=name in passwords,
            trainings=tuple(one for one in trained if one.person == name),
            delegations=tuple(one for one in given if name in (one.from_person, one.to_person)),
        )
        for name in sorted(found)
    )


def _list(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    found = records_of(connection, settings)
    if options.json:
        return json.dumps([one.model_dump(mode="json") for one in found], indent=2)
    return (
        "\n".join(map(line_of, found)) or "There is no one yet. `python -m atlas.people add` adds a person."
    )


def line_of(record: Record) -> str:
    """A person in one line."""
    profile = record.profile
    return "  ".join((profile.name, ",".join(profile.groups) or "-", state_of(record)))


def state_of(record: Record) -> str:
    """How a person can come in."""
    profile = record.profile
    if profile.ended_at is not None:
        return f"ended at {profile.ended_at:%Y-%m-%d %H:%M UTC}"
    if profile.has_key:
        return "has a key"
    if not profile.has_account:
        return "has no way in any more"
    return "has a password" if record.has_password else "has no password yet"


def _show(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    found = next((one for one in records_of(connection, settings) if one.profile.name == options.name), None)
    if found is None:
        raise PersonRefused(reason=f"There is no person {options.name[: accounts.LONGEST_NAME]}.")
    return "\n".join([line_of(found), *_details(found)])


def _details(record: Record) -> Iterator[str]:
    profile = record.profile
    for name in ("languages", "zone", "working_hours", "quiet_hours", "channels", "digest"):
        value = getattr(profile, name)
        if value:
            yield f"  {name.replace('_', ' ')}: {value if isinstance(value, str) else ', '.join(value)}"
    for training in record.trainings:
        until = f"until {moment(training.until)}" if training.until else "without an end"
        yield plain_text(f"  training for {training.scope} {until}: {training.what}") + (
            "" if training.counts else " (does not count)"
        )
    yield from (f"  {in_words(one)}" for one in record.delegations)


def in_words(one: Delegation) -> str:
    """A delegation in a sentence."""
    scope = f" for the group {one.group_name}" if one.group_name else ""
    times = f"from {moment(one.begins_at)} until {moment(one.ends_at)}"
    return f"{one.delegation_id}: {one.to_person} decides for {one.from_person}{scope}, {times}"


def _set(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    given = {key: getattr(options, key) for key in keeping.SETTABLE if getattr(options, key) is not None}
    if not given:
        raise PersonRefused(reason="Say what to set, such as --groups seniors; --help shows all.")
    changes = {key: value_of(key, text) for key, text in given.items()}
    addresses = Addresses(settings)
    if lost := addresses.unknown(changes.get("channels") or ()):
        names = ", ".join(addresses.names) or "none"
        reason = f"channels: {lost[0][:100]} leads nowhere. Names of channels here: {names}."
        raise PersonRefused(reason=reason)
    after = keeping.change(connection, options.name, changes, actor=OPERATOR, keys=settings.reviewers)
    return "\n".join([f"{after.name}  {','.join(after.groups) or '-'}", *_details(Record(profile=after))])


def value_of(key: str, text: str) -> Any:
    """What a text means for one thing of a profile; an empty one takes it away."""
    if key not in keeping.LISTS:
        return text.strip() or None
    entries = listed(text)
    return None if key == "channels" and not entries else entries


def _train(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    profile = keeping.require(connection, options.name, settings.reviewers)
    until = read_moment(options.until, zone=profile.zone) if options.until else None
    scope, what = options.scope, options.what
    trainings.train(connection, profile.name, scope=scope, what=what, until=until, actor=OPERATOR)
    return f"{profile.name} has a training for {scope}{f' until {moment(until)}' if until else ''}."


def _untrain(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    trainings.untrain(connection, options.name, scope=options.scope, actor=OPERATOR)
    return f"{options.name} has no training for {options.scope} any more."


def _delegate(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    keeping.note_keys(connection, settings.reviewers)  # the gateway may not have started since
    zone = keeping.require(connection, options.from_person).zone
    begins_at = read_moment(options.begin, zone=zone, is_end=False) if options.begin else None
    made = delegations.delegate(
        connection,
        options.from_person,
        options.to_person,
        actor=OPERATOR,
        begins_at=begins_at,
        ends_at=read_moment(options.until, zone=zone),
        group_name=options.group,
    )
    return in_words(made)


def _undelegate(connection: Connection, *, settings: Settings, options: argparse.Namespace) -> str:
    ended = delegations.end(connection, options.delegation_id, actor=OPERATOR)
    return f"{ended.to_person} does not decide for {ended.from_person} any more."


_COMMANDS: dict[str, Callable[..., str]] = {
    "list": _list,
    "show": _show,
    "set": _set,
    "train": _train,
    "untrain": _untrain,
    "delegate": _delegate,
    "undelegate": _undelegate,
}
