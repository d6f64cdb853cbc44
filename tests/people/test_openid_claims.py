"""What a provider says of a person is found where each provider says it; tickets are taken once."""

import time
from typing import Any

import pytest
from documentation import checked

from atlas.errors import NotPermitted
from atlas.people.openid.claims import at_path, groups_in, name_in
from atlas.people.openid.tickets import LASTS_SECONDS, Tickets
from atlas.settings import Settings


@pytest.mark.parametrize("block", ["openid-settings", "proxy-settings"])
def test_the_settings_of_the_page_are_taken(block: str) -> None:
    """With the keys that they need."""
    said = dict(line.split("=", 1) for line in checked(block).splitlines())
    keys = {"atlas_agent_key": "a" * 20, "atlas_reviewer_key": "r" * 20}
    settings = Settings(_env_file=None, **keys, **{name.lower(): text for name, text in said.items()})
    assert set(said) <= {name.upper() for name in settings.model_fields_set}


CLAIMS = {
    "realm_access": {"roles": ["desk"]},
    "cognito:groups": ["desk"],
    "https://example.com/groups": ["desk"],
    "resource_access": {"my.client": {"roles": ["desk"]}},
    "urn:zitadel:iam:org:project:roles": {"desk": {"1": "example.com"}},
    "roles": "desk",
}


@pytest.mark.parametrize(
    "path",
    [
        *("realm_access.roles", "cognito:groups", "https://example.com/groups", "roles"),
        *("resource_access.my.client.roles", "urn:zitadel:iam:org:project:roles"),
    ],
)
def test_groups_are_found_where_each_provider_says_them(path: str) -> None:
    """A claim, or a path of claims; names with dots are no paths where there is such a claim."""
    assert groups_in(CLAIMS, path) == ("desk",)


@pytest.mark.parametrize("path", ["realm_access.role", "realm_access..roles", ".roles", "roles.", "x.y"])
def test_a_path_that_leads_nowhere_is_no_group(path: str) -> None:
    """And no error."""
    assert groups_in(CLAIMS, path) == () and at_path(CLAIMS, path) is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"upn": "a", "preferred_username": "b", "sub": "c"}, "a"),
        ({"preferred_username": "b", "email": "x@example.com", "email_verified": True, "sub": "c"}, "b"),
        ({"email": "x@example.com", "email_verified": True, "sub": "c"}, "x@example.com"),
        ({"email": "x@example.com", "email_verified": "true", "sub": "c"}, "c"),
        ({"email": "x@example.com", "sub": "c"}, "c"),
        ({"upn": ["a"], "sub": "c"}, "c"),
    ],
)
def test_the_name_is_the_claim_of_the_settings_or_the_next_in_order(
    claims: dict[str, Any], name: str
) -> None:
    """An address of e-mail that the provider has not verified is no name."""
    assert name_in(claims, "upn") == name


def test_a_chosen_email_that_is_not_verified_is_no_name() -> None:
    """Also where the setting names it."""
    with pytest.raises(NotPermitted, match="ATLAS_OIDC_NAME_CLAIM"):
        name_in({"email": "x@example.com"}, "email")


def test_a_ticket_lasts_ten_minutes_and_is_of_no_use_to_another_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither changed nor old, and each once."""
    tickets = Tickets()
    ticket, kept = tickets.give("/desk")
    assert tickets.take(kept, ticket.state) == ticket
    assert Tickets().take(kept, ticket.state) is None
    assert tickets.take(kept.replace(".", ".1", 1), ticket.state) is None
    assert tickets.take("", "") is None and tickets.take("...", ticket.state) is None
    later = time.time() + LASTS_SECONDS + 2
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: later)
        assert tickets.take(kept, ticket.state) is None
    tickets.spend(ticket)
    assert tickets.take(kept, ticket.state) is None
