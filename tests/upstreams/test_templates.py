"""Templates of resources: which URIs they stand for, however hard a server or an agent tries."""

import pytest

from atlas.upstreams.templates import LONGEST, match_template


@pytest.mark.parametrize(
    ("template", "uri", "variables"),
    [
        ("notes://today", "notes://today", {}),
        ("notes://today", "notes://today/1", None),
        ("notes://{day}", "notes://monday", {"day": "monday"}),
        ("notes://{day}", "notes://", None),  # nothing is no value
        ("notes://{day}", "notes://a/b", None),  # of one segment
        ("notes://{path*}", "notes://a/b", {"path": "a/b"}),
        ("notes://{path*}/{file}", "notes://a/b/c.txt", {"path": "a/b", "file": "c.txt"}),
        ("notes://{user}/{path*}.txt", "notes://sarah/b/c.txt", {"user": "sarah", "path": "b/c"}),
        ("notes://{user}/{path*}.txt", "notes://sarah/b/c.pdf", None),
        ("notes://{a}-{b}", "notes://1-2", {"a": "1", "b": "2"}),
        ("notes://{a}-{b}", "notes://12", None),
        ("notes://{a}{b}", "notes://12", {"a": "1", "b": "2"}),
        ("notes://{id}/data", "notes://7/data", {"id": "7"}),
        ("notes://{id}/data", "notes:///data", None),
        ("notes://{id}/aa", "notes://aa", None),  # what is before and after may not overlap
        ("notes://find{?text,limit}", "notes://find?text=a", {}),
        ("notes://{day}{?text}", "notes://monday", {"day": "monday"}),
        ("notes://{day}", "notes://monday#noon", {"day": "monday"}),
        ("notes://café/{day}", "notes://caf%C3%A9/a%20b", {"day": "a b"}),
        ("notes://{day}/{day}", "notes://1/1", None),  # whose variables no one could tell apart
        ("notes://{+path}", "notes://a", None),
        ("notes://{day", "notes://{day", {}),
    ],
)
def test_a_template_stands_for(template: str, uri: str, variables: dict[str, str] | None) -> None:
    """What FastMCP reads into one, segment by segment."""
    assert match_template(template, uri) == variables


def test_what_is_longer_than_eight_kilobytes_is_not_looked_at() -> None:
    """Neither a URI nor a template."""
    assert match_template("x://{a}", "x://" + "a" * (LONGEST - 4)) is not None
    assert match_template("x://{a}", "x://" + "a" * (LONGEST - 3)) is None
    assert match_template("x://" + "a" * LONGEST + "{a}", "x://" + "a" * LONGEST + "b") is None


@pytest.mark.parametrize("template", ["x://{a}-{b}-{c}-{d}", "x://{a*}-{b*}-{c*}-{d*}", "x://{a*}{b*}{c*}z"])
def test_no_uri_takes_a_template_long(template: str) -> None:
    """A thousand attempts of the longest end before the test is given up: no search tries all ways."""
    for _ in range(1000):
        assert match_template(template, "x://" + "-" * (LONGEST - 5) + "/") != {}
