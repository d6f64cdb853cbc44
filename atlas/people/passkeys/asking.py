"""The three things for which a person is asked for a passkey: to add one, to confirm one, to approve a case.

An agent that sits in a person's browser can add a passkey of its own. It does not count: a passkey counts
when one that counts already has signed for it, or when an operator has confirmed it by its mark.
"""

from typing import Any

from sqlalchemy.engine import Connection

from atlas.attention.hiding import is_score_hidden
from atlas.cases.rounds import other_round_error
from atlas.cases.store import read_case
from atlas.errors import NotPermitted, PasskeyRefused
from atlas.grounds.seen import check_seen
from atlas.models import plain_text
from atlas.people.passkeys import ceremonies, challenges, keys
from atlas.people.passkeys.challenges import Purpose
from atlas.people.passkeys.keys import Passkey
from atlas.people.person import Person

NO_PASSKEY = (
    "You have no passkey that counts. Add one at the desk, at {place}. Then an operator confirms it with "
    "python -m atlas.people passkeys confirm."
)


def ask_to_add(connection: Connection, person: Person, *, origin: str) -> dict[str, Any]:
    """What the browser makes a passkey with; raises NotPermitted where the name is not checked."""
    _require_checked(person)
    ceremonies.require_name(origin)
    challenge = challenges.make(connection, person.name, Purpose.ADD, origin=origin)
    present = keys.passkeys_of(connection, person.name)
    return ceremonies.options_to_add(person.name, challenge, origin=origin, present=present)


def take_added(connection: Connection, person: Person, credential: str, *, name: str) -> Passkey:
    """Keep a passkey, which does not count yet; raises NotPermitted or PasskeyRefused."""
    _require_checked(person)
    called = plain_text(name).strip()[: keys.LONGEST_NAME] or "Passkey"
    _, challenge = ceremonies.said_by(credential)
    origin = challenges.take(connection, challenge, person.name, Purpose.ADD)
    passkey = ceremonies.added(credential, person.name, called, challenge, origin=origin)
    keys.add(connection, passkey)
    return passkey


def ask_to_confirm(
    connection: Connection, person: Person, credential_id: str, *, origin: str
) -> dict[str, Any]:
    """What a passkey that counts signs for a new one; raises PasskeyRefused."""
    new = keys.named(keys.passkeys_of(connection, person.name), credential_id)
    usable = usable_of(connection, person.name, origin=origin)
    challenge = challenges.make(
        connection, person.name, Purpose.CONFIRM, origin=origin, credential_id=new.credential_id
    )
    return ceremonies.options_to_sign(challenge, origin=origin, usable=usable)


def take_confirmed(connection: Connection, person: Person, credential: str, *, credential_id: str) -> None:
    """Let a passkey count that another one of the same person signed for; raises PasskeyRefused."""
    signer = take_signature(connection, person.name, credential, Purpose.CONFIRM, credential_id=credential_id)
    new = keys.named(keys.passkeys_of(connection, person.name), credential_id)
    keys.confirm(connection, new, by=signer.credential_id, actor=person.name)


def ask_to_approve(
    connection: Connection,
    person: Person,
    case_id: str,
    *,
    origin: str,
    round_number: int,
    seen_sha256: str,
) -> dict[str, Any]:
    """What a passkey signs for an approval of what the person saw; raises CallChanged, PasskeyRefused."""
    case = read_case(connection, case_id)
    if case.round_number != round_number:
        raise other_round_error(case, round_number)
    check_seen(case, seen_sha256, is_score_hidden=is_score_hidden(connection, case, person.name))
    usable = usable_of(connection, person.name, origin=origin)
    challenge = challenges.make(
        connection,
        person.name,
        Purpose.APPROVE,
        origin=origin,
        case_id=case_id,
        round_number=round_number,
        seen_sha256=seen_sha256,
    )
    return ceremonies.options_to_sign(challenge, origin=origin, usable=usable)


def usable_of(connection: Connection, person: str, *, origin: str) -> tuple[Passkey, ...]:
    """The passkeys of a person that count at this desk; raises PasskeyRefused where there is none."""
    counting = [one for one in keys.passkeys_of(connection, person) if one.counts]
    here = tuple(one for one in counting if one.origin == origin)
    if here:
        return here
    if counting:
        where = ", ".join(sorted({one.origin for one in counting}))
        raise PasskeyRefused(reason=f"Your passkeys were made at {where}. Open the desk there.")
    raise PasskeyRefused(reason=NO_PASSKEY.format(place=f"{origin}/desk/account"))


def take_signature(
    connection: Connection, person: str, credential: str, purpose: Purpose, **about: str | int | None
) -> Passkey:
    """The passkey of this person that signed for this purpose; it cannot be used again.

    Raises PasskeyRefused.
    """
    credential_id, challenge = ceremonies.said_by(credential)
    passkey = keys.find(connection, credential_id)
    if passkey is None or passkey.person != person or not passkey.counts:
        raise PasskeyRefused(reason="It was not signed with a passkey of yours that counts.")
    origin = challenges.take(connection, challenge, person, purpose, **about)
    if origin != passkey.origin:
        raise PasskeyRefused(reason=f"This passkey was made at {passkey.origin}. Open the desk there.")
    sign_count = ceremonies.check(credential, passkey, challenge)
    keys.note_use(connection, passkey, sign_count=sign_count)
    return passkey


def _require_checked(person: Person) -> None:
    if not person.is_signed:
        reason = "A passkey belongs to a name that is checked: sign in with a name of your own."
        raise NotPermitted(reason=reason)
