"""Where a person goes on after the sign-in: a page of the desk, and nothing else that a link may name."""

import re
from urllib.parse import urlsplit

from fastapi import Request

DESK = "/desk"
PLACE = re.compile(rf"{DESK}(/[A-Za-z0-9_][A-Za-z0-9._~-]*)*(\?[A-Za-z0-9._~=&%+:,@-]*)?")
NO_PLACES = tuple(f"{DESK}/{page}" for page in ("sign-in", "sign-out", "enter", "password", "oidc"))


def safe_place(named: object) -> str:
    """A path of the desk as it was named, or the inbox in place of anything else."""
    if not isinstance(named, str) or len(named) > 2000 or not PLACE.fullmatch(named):
        return DESK
    return DESK if named.startswith(NO_PLACES) else named


def place_of(request: Request, root_path: str) -> str:
    """The page that a request is for, or, for a form, the page on which it stands."""
    if request.method == "GET":
        return safe_place(_without(root_path, request.url.path, request.url.query))
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return DESK
    is_own = page.netloc == request.headers.get("host")
    return safe_place(_without(root_path, page.path, page.query)) if is_own else DESK


def _without(root_path: str, path: str, query: str) -> str:
    own = path.removeprefix(root_path)
    return f"{own}?{query}" if query else own
