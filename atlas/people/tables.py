"""The tables of people: who they are, their links, their sessions, and sign-ins that failed."""

import sqlalchemy as sa

from atlas.database.statements import Instant, metadata

people = sa.Table(
    "people",
    metadata,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("seen_as", sa.String(400), nullable=False, unique=True),  # as a reader sees the name
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list
    sa.Column("password_hash", sa.Text),
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)

links = sa.Table(
    "links",
    metadata,
    sa.Column("link_sha256", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)

# Whom a provider or a proxy means by a name: a name that was taken once is never another person's.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("subject_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False, unique=True),
    sa.Column("way", sa.String(20), nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
)

desk_sessions = sa.Table(
    "desk_sessions",
    metadata,
    sa.Column("session_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list
    sa.Column("way", sa.String(20), nullable=False),
    sa.Column("is_signed", sa.Boolean, nullable=False),
    sa.Column("form_token", sa.String(64), nullable=False),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)
sa.Index("ix_desk_sessions_person", desk_sessions.c.person)
sa.Index("ix_desk_sessions_last_seen_at", desk_sessions.c.last_seen_at)

sign_in_attempts = sa.Table(
    "sign_in_attempts",
    metadata,
    sa.Column("subject", sa.String(250), primary_key=True),  # an account or an address
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
)

# What is known of a person beside the way in, for every way: an account, a key, a provider or a proxy.
profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("person", sa.String(200), primary_key=True),
    sa.Column("groups", sa.Text, nullable=False),  # a JSON list; for a provider those of the last sign-in
    sa.Column("languages", sa.Text, nullable=False),  # a JSON list of BCP 47 tags
    sa.Column("zone", sa.String(60)),  # of the IANA database, such as Europe/Berlin
    sa.Column("working_hours", sa.Text),  # `mon-fri 09:00-17:00`, with commas between; None: always
    sa.Column("quiet_hours", sa.Text),  # the same form
    sa.Column("channels", sa.Text),  # a JSON list of how they are told; None: by every way there is
    sa.Column("digest", sa.String(20)),  # how often notices that can wait are put together; None: at once
    # Whether a key of ATLAS_REVIEWER_KEY has this name, as the gateway read it at its last start.
    sa.Column("has_key", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)

# Who learnt what, until when it counts, and for which scope (Article 26(2)).
trainings = sa.Table(
    "trainings",
    metadata,
    sa.Column("training_id", sa.Integer, primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("scope", sa.String(200), nullable=False),  # as a rule's requires_training names it
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("until", Instant),
    sa.Column("noted_by", sa.String(200), nullable=False),
    sa.Column("noted_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)
sa.Index("ix_trainings_person", trainings.c.person, trainings.c.scope)

delegations = sa.Table(
    "delegations",
    metadata,
    sa.Column("delegation_id", sa.String(20), primary_key=True),
    sa.Column("from_person", sa.String(200), nullable=False),
    sa.Column("to_person", sa.String(200), nullable=False),
    sa.Column("group_name", sa.String(200)),  # for what the group may decide; None: for all that they may
    sa.Column("begins_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("made_by", sa.String(200), nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("ended_by", sa.String(200)),
    sa.Column("ended_at", Instant),
)
sa.Index("ix_delegations_to_person", delegations.c.to_person, delegations.c.ends_at)

passkeys = sa.Table(
    "passkeys",
    metadata,
    sa.Column("credential_id", sa.String(1400), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False, index=True),
    sa.Column("public_key", sa.Text, nullable=False),  # base64url
    sa.Column("sign_count", sa.Integer, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("rp_id", sa.String(253), nullable=False),  # the host for which it was made
    sa.Column("origin", sa.String(300), nullable=False),  # the desk at which it was made, and can be used
    sa.Column("added_at", Instant, nullable=False),
    sa.Column("confirmed_at", Instant),  # from then on it counts
    sa.Column("confirmed_by", sa.String(1400)),  # `operator`, or the passkey that signed for it
    sa.Column("used_at", Instant),
    sa.Column("ended_at", Instant),
)

# What a passkey has to sign: good once, and for a short time.
challenges = sa.Table(
    "challenges",
    metadata,
    sa.Column("challenge_sha256", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(200), nullable=False),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("origin", sa.String(300), nullable=False),
    sa.Column("credential_id", sa.String(1400)),  # of the passkey that is confirmed
    sa.Column("case_id", sa.String(20)),
    sa.Column("round_number", sa.Integer),
    sa.Column("seen_sha256", sa.String(64)),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)
