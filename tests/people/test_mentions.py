"""Whom a comment names: known people and groups, as a reader sees the names, each told once."""

import json
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from kept import entries_in
from sqlalchemy.engine import Connection
from store import open_case, open_store

from atlas.cases.comments import MOST_COMMENTS, add_comment
from atlas.errors import RequestInvalid
from atlas.instants import now
from atlas.models import Case, as_seen
from atlas.outbox.tables import notices
from atlas.people.records.mentions import KnownPeople, known_people, mentioned_in
from atlas.people.tables import people

NAMES = ("anna", "Anna Ko", "ben.b", "eva@example.org", "Zoë")
KNOWN = KnownPeople(
    people={as_seen(name): name for name in NAMES}, groups={"seniors": "seniors", "anna": "anna"}
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("@anna look", ("anna",)),
        ("Look, @ANNA!", ("anna",)),
        ('ask @"Anna Ko", please', ("Anna Ko",)),
        ("ask @“Anna Ko”.", ("Anna Ko",)),
        ("(@ben.b.) and @ben.b...", ("ben.b",)),
        ("@eva@example.org: yes?", ("eva@example.org",)),
        ("@zoe\u0308", ("Zoë",)),
        ("@seniors and @group:seniors", ("group:seniors",)),
        ("@group:anna", ("group:anna",)),
        ("@anna @ben.b @anna", ("anna", "ben.b")),
        ("write to eva@anna, or anna@example.org", ()),
        ("@annabel @an @ @@anna @\u200b", ()),
        ('@"anna', ()),
        ("", ()),
    ],
)
def test_known_names_are_found_and_others_are_text(text: str, named: tuple[str, ...]) -> None:
    """Also at the end of a sentence; an address is no mention."""
    assert mentioned_in(text, KNOWN) == named


def test_one_comment_tells_twenty_at_most() -> None:
    """More is no message to anyone."""
    many = KnownPeople(people={f"p{number}": f"p{number}" for number in range(50)}, groups={})
    assert len(mentioned_in(" ".join(f"@p{number}" for number in range(50)), many)) == 20


async def test_a_comment_tells_those_whom_it_names_once(tmp_path: Path) -> None:
    """The notice has no text, and who has ended is not told."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)
        text = '@anna @"Old One" @seniors secret words'

        def write(connection: Connection) -> Case:
            for name, ended in (("ben", None), ("Old One", now())):
                row = {"name": name, "seen_as": as_seen(name), "groups": '["seniors"]'}
                connection.execute(people.insert().values(row | {"added_at": now(), "ended_at": ended}))
            known = known_people(connection, ["anna"])
            named = mentioned_in(text, known)
            add_comment(connection, case.case_id, author="ben", text=text, mentions=named)
            return add_comment(connection, case.case_id, author="ben", text=text, mentions=named)

        await store.change(case.case_id, write)
        [row] = await store.database.read(lambda c: c.execute(sa.select(notices)).mappings().all())
        assert row["kind"] == "mentioned" and row["case_id"] == case.case_id
        assert json.loads(row["content"]) == {"to": ["anna", "group:seniors"], "by": "ben"}
    [entry] = [one for one in entries_in(tmp_path) if one["action"] == "decide.commented"]
    assert entry["detail"]["mentioned"] == ["anna", "group:seniors"] and "secret" not in str(entry)


async def test_comments_have_an_end(tmp_path: Path) -> None:
    """A program that writes for ever fills neither the store nor the inbox of those it names."""
    async with open_store(tmp_path) as store:
        case = await open_case(store)

        def write(connection: Connection, number: int) -> None:
            add_comment(connection, case.case_id, author="ben", text=f"number {number}", mentions=["anna"])

        for number in range(MOST_COMMENTS):
            await store.database.write(partial(write, number=number))
        with pytest.raises(RequestInvalid, match="which is the limit"):
            await store.database.write(partial(write, number=MOST_COMMENTS))
