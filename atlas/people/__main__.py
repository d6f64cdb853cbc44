"""`python -m atlas.people`: who the people are, what they may decide for whom, and who is signed in.

It works while the gateway runs and while it does not, and where the gateway is: in a container, behind
`docker exec atlas-gateway`. Each act is an entry of the ledger.
"""

import argparse
import sys
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy.engine import Connection

from atlas import ledger
from atlas.database.beside import NO_GATEWAY, Beside
from atlas.database.choose import beside_gateway
from atlas.errors import AtlasError, PersonRefused, PolicyInvalid
from atlas.ledger import NO_CASE, Action
from atlas.models import plain_text
from atlas.operate.own_url import url_of
from atlas.people import sessions
from atlas.people.accounts import accounts, links
from atlas.people.accounts.accounts import OPERATOR
from atlas.people.accounts.signing_in import SARAH
from atlas.people.passkeys import commands as passkeys
from atlas.people.records import commands as records
from atlas.people.records import keeping
from atlas.settings import Settings
from atlas.settings.ways import listed
from atlas.texts import words_of

Result = TypeVar("Result")
DESK = "\nThe desk, where a person decides on calls"
NO_PORT = (
    "ATLAS_PORT is 0, so the port is not known here: say where the gateway is, with --at http://HOST:PORT."
)


class Commands:
    """Runs one command against a store."""

    def __init__(self, store: Beside, settings: Settings, *, at: str | None) -> None:
        self._store = store
        self._settings = settings
        self._at = at

    def add(self, name: str, groups: str) -> str:
        """Add a person."""
        if name in self._settings.reviewers:
            self._change(lambda connection: keeping.begin_again(connection, name, actor=OPERATOR))
            return f"{name} can come in again with the key, and is in no group."
        wanted = listed(groups)
        place = self._place(links.Kind.PASSWORD)
        code = self._change(
            lambda connection: accounts.add(connection, name, wanted, keys=self._settings.reviewers)
        )
        return f"{name} has an account. {self._password_link(place, code, name)}"

    def link(self, name: str) -> str:
        """Make a new link for a password."""
        place = self._place(links.Kind.PASSWORD)
        code = self._change(lambda connection: accounts.link(connection, name))
        return f"The links of before are void. {self._password_link(place, code, name)}"

    def end(self, name: str) -> str:
        """End a person, whichever way in it is."""
        keys = self._settings.reviewers
        ended = self._change(lambda connection: keeping.end(connection, name, actor=OPERATOR, keys=keys))
        key = "" if name not in keys else " Take the key out of ATLAS_REVIEWER_KEY too."
        return f"{name} has ended, and {_number(ended)} with it.{key}{self._named_still(name)}"

    def end_sessions(self, name: str) -> str:
        """End the sessions of a name."""
        ended = self._change(lambda connection: sessions.end_all(connection, name, actor=OPERATOR))
        return f"{_number(ended)} of {name} ended."

    def enter(self) -> str:
        """Where the desk is, with a link that signs in the owner where there are keys."""
        place = self._place(links.Kind.ENTER)
        if self._settings.is_open:
            return f"{DESK}:\n  {place.removesuffix('/enter')}"
        owner = next((name for name in self._settings.reviewer_keys.values() if name), SARAH)

        def made(connection: Connection) -> str:
            detail = {"person": owner}
            ledger.append(connection, NO_CASE, Action.LINK_MADE, actor=OPERATOR, detail=detail)
            return links.make(connection, links.Kind.ENTER, owner)

        code = self._change(made)
        return f"{DESK}. This link signs in {owner}, once and within ten minutes:\n  {place}#{code}"

    def _password_link(self, place: str, code: str, name: str) -> str:
        said = "This link sets the password, once and within 24 hours. Give it to that person alone:"
        return f"{said}\n  {place}#{code}.{quote(name)}"  # the name is for password managers

    def _named_still(self, name: str) -> str:
        """What to do where the policy names someone who has gone: the gateway would not start again."""
        from atlas.assessors.policy import Policy

        path = self._settings.atlas_policy
        try:
            policy = Policy(path, threshold=self._settings.atlas_risk_threshold)
        except PolicyInvalid as error:  # the account has ended all the same
            return f"\n{error}"
        if not policy.names_reviewer(name):
            return ""
        return f"\nThe policy {path} names {name} as a reviewer. Name another person there before a restart."

    def _place(self, kind: links.Kind) -> str:
        settings = self._settings
        if self._at is None and settings.atlas_public_url:  # with its path
            return f"{str(settings.atlas_public_url).rstrip('/')}/desk/{kind.value}"
        if self._at is None and not settings.atlas_port:
            raise PersonRefused(reason=NO_PORT)
        at = self._at or url_of(settings.atlas_host, settings.atlas_port)
        return f"{at.rstrip('/')}{settings.atlas_root_path}/desk/{kind.value}"

    def _change(self, work: Callable[[Connection], Result]) -> Result:
        return self._store.change(work)


def _number(count: int) -> str:
    return f"{count} session" if count == 1 else f"{count} sessions"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m atlas.people", description=__doc__)
    made.add_argument(
        "--at", help="where browsers reach it; default: ATLAS_PUBLIC_URL, else ATLAS_HOST and ATLAS_PORT"
    )
    commands = made.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add a person, and print a link for a first password")
    adding.add_argument("name")
    adding.add_argument("--groups", default="", help="groups, with commas between")
    commands.add_parser("link", help="print a new link for a password").add_argument("name")
    commands.add_parser("end", help="end a person, with sessions and delegations").add_argument("name")
    commands.add_parser("enter", help="print a link that signs in the owner once, within ten minutes")
    passkeys.add_parser(commands)
    of_sessions = commands.add_parser("sessions", help="end the sessions of a name")
    of_sessions.add_argument("what", choices=("end",))
    of_sessions.add_argument("name")
    records.add_to(commands)
    return made


def run(options: argparse.Namespace) -> str:
    """Run one command, and return what it says; raises AtlasError."""
    settings = Settings.read()
    store = beside_gateway(settings)
    if not store.tables():
        said = NO_GATEWAY.format(place=store.place)
        if options.command == "passkeys" and options.what == "check":
            raise PersonRefused(reason=said)  # else an auditor in the wrong folder would read OK
        sys.stderr.write(f"{said}\n")
    if options.command in records.COMMANDS:
        return records.run(store, settings, options)
    commands = Commands(store, settings, at=options.at)
    match options.command:
        case "add":
            return commands.add(options.name, options.groups)
        case "link":
            return commands.link(options.name)
        case "end":
            return commands.end(options.name)
        case "passkeys":
            return passkeys.run(store, options)
        case "sessions":
            return commands.end_sessions(options.name)
    return commands.enter()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0, or 1 where nothing was done."""
    try:
        said = run(parser().parse_args(words_of(arguments)))
        sys.stdout.write("\n".join(map(plain_text, said.split("\n"))) + "\n")
    except AtlasError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
