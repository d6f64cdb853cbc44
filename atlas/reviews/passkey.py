"""Whether an approval carries a passkey's signature over this very case, where a rule asks for one."""

import json
from dataclasses import replace
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.canonical import canonical_json
from atlas.database.dialects import insert_of
from atlas.errors import PasskeyRefused, RuleRefuses
from atlas.grounds.seen import seen_digests
from atlas.instants import now
from atlas.models import Case, Verdict
from atlas.people.passkeys.asking import take_signature
from atlas.people.passkeys.ceremonies import essence_of
from atlas.people.passkeys.challenges import Purpose
from atlas.people.passkeys.keys import passkeys_of
from atlas.people.votes import Vote
from atlas.reviews.tables import assertions

RULE = "step_up"
TAKES_THE_DESK = (
    "To approve case {case_id} takes your passkey: decide it at the desk, on the page of the case."
)


def needs_passkey(case: Case) -> bool:
    """Whether a rule asks for a passkey to approve a case."""
    ruling = case.assessment.ruling if case.assessment else None
    return ruling is not None and ruling.review.needs_passkey


def check_passkey(connection: Connection, case: Case, vote: Vote) -> Vote:
    """The vote with what is kept of the signature; raises RuleRefuses where a rule asks and none holds."""
    if not needs_passkey(case):
        return replace(vote, assertion=None)
    if vote.assertion is None:
        raise RuleRefuses(rule=RULE, reason=_how(connection, case, vote))
    if not vote.is_signed:
        raise RuleRefuses(rule=RULE, reason="A passkey belongs to a name that is checked. Sign in with one.")
    try:
        kept = _kept_before(connection, case, vote, vote.assertion)
        return replace(vote, assertion=kept or _signed(connection, case, vote, vote.assertion))
    except PasskeyRefused as refusal:
        raise RuleRefuses(rule=RULE, reason=str(refusal)) from refusal


def keep_assertion(connection: Connection, case: Case, vote: Vote) -> None:
    """Keep the signature of an approval that counts; the ledger names its digest."""
    if vote.assertion is None or vote.verdict is not Verdict.APPROVED:
        return
    told = json.loads(vote.assertion)
    values = {
        "assertion_sha256": digest_of_assertion(vote.assertion),
        "case_id": case.case_id,
        "round_number": case.round_number,
        "reviewer": vote.reviewer,
        "credential_id": told["credential"]["id"],
        "assertion": vote.assertion,
        "made_at": now(),
    }
    connection.execute(insert_of(connection, assertions).values(values).on_conflict_do_nothing())


def digest_of_assertion(assertion: str) -> str:
    """How the ledger names a signature; 64 hex digits."""
    return sha256(assertion.encode()).hexdigest()


def _signed(connection: Connection, case: Case, vote: Vote, credential: str) -> str:
    """The record of a signature that holds for what the person saw; raises PasskeyRefused."""
    before = {one.credential_id: one.sign_count for one in passkeys_of(connection, vote.reviewer)}
    passkey = take_signature(
        connection,
        vote.reviewer,
        credential,
        Purpose.APPROVE,
        case_id=case.case_id,
        round_number=case.round_number,
        seen_sha256=_seen(case, vote),
    )
    record = {
        "credential": essence_of(credential),
        "public_key": passkey.public_key,
        "origin": passkey.origin,
        "rp_id": passkey.rp_id,
        "sign_count_before": before[passkey.credential_id],
    }
    return canonical_json(record).decode()


def _seen(case: Case, vote: Vote) -> str:
    """The digest that has to be signed: of the case as it is, with or without the score that a rule hides."""
    possible = seen_digests(case)
    return vote.seen_sha256 if vote.seen_sha256 in possible else possible[0]


def _kept_before(connection: Connection, case: Case, vote: Vote, credential: str) -> str | None:
    """The record of this very signature, where it was counted: the same request came once more."""
    this = (assertions.c.case_id == case.case_id, assertions.c.round_number == case.round_number)
    mine = sa.select(assertions.c.assertion).where(*this, assertions.c.reviewer == vote.reviewer)
    sent = essence_of(credential)
    rows = connection.execute(mine)
    return next((kept for (kept,) in rows if json.loads(kept)["credential"] == sent), None)


def _how(connection: Connection, case: Case, vote: Vote) -> str:
    said = TAKES_THE_DESK.format(case_id=case.case_id)
    if any(one.counts for one in passkeys_of(connection, vote.reviewer)):
        return said
    return f"{said} You have no passkey that counts: add one at the desk, under Account."
