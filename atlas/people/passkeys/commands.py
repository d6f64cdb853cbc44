"""`python -m atlas.people passkeys list|confirm|end NAME [MARK]`, and `passkeys check` for an auditor."""

import argparse

from sqlalchemy.engine import Connection

from atlas.database.beside import Beside
from atlas.errors import PersonRefused
from atlas.people.accounts.accounts import OPERATOR
from atlas.people.passkeys import keys
from atlas.people.passkeys.audit import check_all
from atlas.people.passkeys.keys import Passkey

NO_MARK = "Say which one: its mark stands on the person's page of the account, and `passkeys list` prints it."


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `passkeys` to a command line."""
    made = commands.add_parser("passkeys", help="list, confirm or end passkeys; check what they signed")
    made.add_argument("what", choices=("list", "confirm", "end", "check"))
    made.add_argument("name", nargs="?", help="the person; for `check` the reference of one case")
    made.add_argument("mark", nargs="?", help="the mark of a passkey, as the person reads it at the desk")


def run(store: Beside, options: argparse.Namespace) -> str:
    """Do what is asked, and return what to print; raises PersonRefused and PasskeyRefused."""
    if options.what == "check":
        return str(store.look(lambda connection: check_all(connection, case_id=options.name)))
    if options.name is None:
        raise PersonRefused(reason="Say whose passkeys: the name that decisions of this person bear.")
    if options.what == "list":
        found = store.change(lambda connection: keys.passkeys_of(connection, options.name))
        return "\n".join(map(_line, found)) or f"{options.name} has no passkey."
    if options.mark is None:
        raise PersonRefused(reason=NO_MARK)
    return str(store.change(lambda connection: _done(connection, options)))


def _done(connection: Connection, options: argparse.Namespace) -> str:
    passkey = keys.named(keys.passkeys_of(connection, options.name), options.mark)
    if options.what == "end":
        keys.end(connection, passkey, actor=OPERATOR)
        return (
            f"The passkey {passkey.mark} of {passkey.person} has ended. What it signed can still be checked."
        )
    keys.confirm(connection, passkey, by=OPERATOR, actor=OPERATOR)
    return f"The passkey {passkey.mark} of {passkey.person} counts from now on."


def _line(passkey: Passkey) -> str:
    state = f"counts, confirmed by {_by(passkey)}" if passkey.counts else "does not count yet"
    added = f"added {passkey.added_at:%Y-%m-%d %H:%M UTC}"
    return "  ".join((passkey.mark, passkey.name, added, passkey.origin, state))


def _by(passkey: Passkey) -> str:
    return OPERATOR if passkey.confirmed_by == OPERATOR else "another passkey"
