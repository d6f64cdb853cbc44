"""The browsers that people want to be called in: a subscription each, until it is ended or is gone."""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from hashlib import sha256
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from atlas.errors import RequestInvalid
from atlas.frozen import Frozen
from atlas.instants import now
from atlas.outbox.tables import push_subscriptions as table
from atlas.people.records.profiles import Profile, all_profiles
from atlas.people.tables import profiles

MOST_OF_ONE = 20  # browsers of a person
PLAIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")  # which each part of ours reads in the same way
LONGEST = 2_000  # characters of an endpoint
UNFIT = "The browser's subscription cannot be used, and was not kept."


class Subscription(Frozen):
    """A browser of a person; its endpoint is a secret of the person."""

    endpoint_sha256: str
    person: str
    service: str  # the host of the push service
    added_at: datetime


def subscriptions_of(connection: Connection, person: str) -> tuple[Subscription, ...]:
    """The browsers of a person, the newest last."""
    query = (
        table.select().where(table.c.person == person, table.c.ended_at.is_(None)).order_by(table.c.added_at)
    )
    return tuple(
        Subscription(
            endpoint_sha256=row.endpoint_sha256,
            person=row.person,
            service=urlsplit(json.loads(row.subscription)["endpoint"]).hostname or "",
            added_at=row.added_at,
        )
        for row in connection.execute(query)
    )


def subscribe(connection: Connection, person: str, said: str, *, services: Sequence[str]) -> None:
    """Keep what a browser said of its subscription; one that another person had is this one's now.

    Raises RequestInvalid where it is none, or of a push service that ATLAS_PUSH_SERVICES does not name.
    """
    endpoint = _endpoint_in(said)
    if not is_of(endpoint, services):
        host = urlsplit(endpoint).hostname
        raise RequestInvalid(reason=f"{UNFIT} ATLAS_PUSH_SERVICES does not name its push service, {host}.")
    digest = sha256(endpoint.encode()).hexdigest()
    others = [one for one in subscriptions_of(connection, person) if one.endpoint_sha256 != digest]
    if len(others) >= MOST_OF_ONE:
        raise RequestInvalid(reason=f"{UNFIT} You have {MOST_OF_ONE}, which is the limit: end one first.")
    connection.execute(table.delete().where(table.c.endpoint_sha256 == digest))
    row = {"endpoint_sha256": digest, "person": person, "subscription": json.dumps({"endpoint": endpoint})}
    connection.execute(table.insert().values(row | {"added_at": now(), "ended_at": None}))


def end_subscription(connection: Connection, digest: str, *, person: str | None = None) -> None:
    """Call a browser no more: its person says so, or its push service says that it is gone."""
    this = [table.c.endpoint_sha256 == digest, table.c.ended_at.is_(None)]
    if person is not None:
        this.append(table.c.person == person)
    connection.execute(table.update().where(*this).values(ended_at=now()))


def with_browsers(connection: Connection, people: Iterable[Profile]) -> list[Profile]:
    """The people, each with the endpoints of their browsers."""
    found: dict[str, tuple[str, ...]] = {}
    query = sa.select(table.c.person, table.c.subscription).where(table.c.ended_at.is_(None))
    for person, said in connection.execute(query.order_by(table.c.added_at)):
        found[person] = (*found.get(person, ()), json.loads(said)["endpoint"])
    return [
        one.model_copy(update={"browsers": found[one.name]}) if one.name in found else one for one in people
    ]


def people_with_channels(connection: Connection) -> list[Profile]:
    """Those who have channels of their own, or are called in a browser, each with the endpoints; by name."""
    told = sa.select(profiles.c.person).where(profiles.c.channels.not_in(("[]", "null")))
    called = sa.select(table.c.person).where(table.c.ended_at.is_(None))
    return with_browsers(connection, all_profiles(connection, among=told.union(called)).values())


def is_of(endpoint: str, services: Sequence[str]) -> bool:
    """Whether an endpoint is of a push service of the settings: a host, where `*.` stands for any part."""
    place = urlsplit(endpoint)
    origin = f"{place.scheme}://{place.netloc}"
    patterns = (one if "://" in one else f"https://{one}" for one in services)
    return PLAIN.fullmatch(origin) is not None and any(fnmatchcase(origin, one) for one in patterns)


def _endpoint_in(said: str) -> str:
    try:
        endpoint = json.loads(said)["endpoint"]
        urlsplit(endpoint).port  # noqa: B018  (a port that is no number is found here)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RequestInvalid(reason=UNFIT) from None
    is_plain = isinstance(endpoint, str) and endpoint.isascii() and endpoint.isprintable()
    if not is_plain or len(endpoint) > LONGEST or "@" in urlsplit(endpoint).netloc:
        raise RequestInvalid(reason=UNFIT)
    return str(endpoint)
