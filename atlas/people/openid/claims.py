"""What a provider says of a person: the name that decisions bear, and the groups."""

from collections.abc import Collection, Mapping
from typing import Any

from atlas.errors import NotPermitted
from atlas.models import plain_text

LONGEST_NAME = 200
MOST_GROUPS = 1000
USUAL_NAMES = ("preferred_username", "email", "sub")


def at_path(claims: Mapping[str, Any], path: str) -> Any:
    """What stands at a claim or a path of claims; a claim with the whole name comes first."""
    if path in claims:
        return claims[path]
    for place, character in enumerate(path):
        inner = claims.get(path[:place]) if character == "." else None
        if isinstance(inner, dict) and (found := at_path(inner, path[place + 1 :])) is not None:
            return found
    return None


def name_in(claims: Mapping[str, Any], claim: str) -> str:
    """The name of a person, which reads as it is written; raises NotPermitted."""
    for place in dict.fromkeys((claim, *USUAL_NAMES)):
        found = at_path(claims, place)
        if not isinstance(found, str) or not found:
            continue
        if place == "email" and claims.get("email_verified") is not True:
            continue  # people may write into it what they like
        return checked_name(found, f"the claim {place}", "ATLAS_OIDC_NAME_CLAIM names another claim")
    raise NotPermitted(
        reason=f"The provider said no name: none of {claim}, {', '.join(USUAL_NAMES)} is there. "
        "ATLAS_OIDC_NAME_CLAIM names the claim, and ATLAS_OIDC_SCOPES what is asked for."
    )


def checked_name(name: str, place: str, remedy: str) -> str:
    """A name that reads as it is written; raises NotPermitted."""
    if plain_text(name) != name or name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
        raise NotPermitted(
            reason=f"Your name in {place} is empty, longer than {LONGEST_NAME} characters, or has control or "
            f"invisible characters or blanks around it. {remedy}."
        )
    return name


def groups_in(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The groups at a path: a list of texts, one text, or the names of an object, as ZITADEL says them."""
    found = at_path(claims, path)
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, (list, dict)):
        return ()
    return tuple(group for group in found if isinstance(group, str) and group)[:MOST_GROUPS]


def require_group(groups: Collection[str], allowed: Collection[str], *, name: str, where: str) -> None:
    """Raise NotPermitted for a person who is in none of the groups that may come in."""
    if set(groups) & set(allowed):
        return
    has = (
        f"is in none of the groups that may come in here ({where})" if groups else f"has no groups ({where})"
    )
    raise NotPermitted(
        reason=f"{name} {has}. Ask an administrator to add you to a group, then sign in again."
    )
