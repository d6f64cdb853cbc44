"""The page of sign-in, and the way out."""

from fastapi import APIRouter, Request, Response

from atlas.desk.pages import DESK, Pages
from atlas.desk.places import safe_place
from atlas.errors import AtlasError, NotPermitted, SignInRefused, TooManyAttempts
from atlas.operate.error_shape import HTTP_STATUS
from atlas.people.cookies import forget, session_id_of
from atlas.people.person import Way

SIGN_IN = f"{DESK}/sign-in"
LONGEST_FIELD = 1000


def add_to(router: APIRouter, pages: Pages) -> None:
    """Serve the page of sign-in, to those who are not signed in."""
    visitors = pages.parts.visitors

    @router.get(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        """Ask who it is."""
        then = safe_place(request.query_params.get("then"))
        is_known = visitors.known_without_sign_in(request) or await visitors.session_of(request)
        if is_known:
            return pages.redirect(then)
        query = request.query_params
        return await _page(request, pages, then=then, is_out="out" in query, has_sent="sent" in query)

    @router.post(SIGN_IN)
    async def signs_in(request: Request) -> Response:
        """Take a key, or a name and a password."""
        fields = await texts_of(request)
        then = safe_place(fields.get("then"))
        if visitors.is_open:
            return pages.redirect(then)
        try:
            return await _signed_in(request, pages, fields, then)
        except (SignInRefused, TooManyAttempts, NotPermitted) as error:
            return await _page(request, pages, then=then, fields=fields, mistake=error)


def add_out(router: APIRouter, pages: Pages) -> None:
    """Serve the way out, to those who are signed in."""
    visitors = pages.parts.visitors

    @router.post(f"{DESK}/sign-out")
    async def sign_out(request: Request) -> Response:
        """End this session."""
        session_id = session_id_of(request)
        if session_id is not None:
            await visitors.sessions.end(session_id, bindings=visitors.bindings)
        answer = pages.redirect(f"{SIGN_IN}?out=1")
        forget(request, answer)
        return answer


async def texts_of(request: Request) -> dict[str, str]:
    """The fields of a form that are texts, cut where they are longer than any of them may be."""
    fields = (await request.form()).multi_items()
    return {name: text[: LONGEST_FIELD + 1] for name, text in fields if isinstance(text, str)}


def address_of(request: Request) -> str:
    """Where a request comes from, as far as the proxies in between are trusted."""
    return request.client.host if request.client else ""


async def _signed_in(request: Request, pages: Pages, fields: dict[str, str], then: str) -> Response:
    signing_in, address = pages.parts.visitors.signing_in, address_of(request)
    if fields.get("way") == Way.KEY.value:
        person, bound_to = await signing_in.by_key(
            fields.get("key", ""), fields.get("claimed", ""), address=address
        )
        return await pages.signed_in(request, person, then, bound_to=bound_to)
    name, password = fields.get("name", ""), fields.get("password", "")
    return await pages.signed_in(request, await signing_in.by_password(name, password, address=address), then)


async def _page(
    request: Request,
    pages: Pages,
    *,
    then: str,
    fields: dict[str, str] | None = None,
    mistake: AtlasError | None = None,
    is_out: bool = False,
    has_sent: bool = False,
) -> Response:
    visitors = pages.parts.visitors
    status = HTTP_STATUS[type(mistake)] if mistake else 200
    answer = await pages.page(
        request,
        "sign_in.html",
        person=None,
        status=status,
        then=then,
        is_out=is_out,
        has_sent=has_sent,
        mistake=str(mistake) if mistake else None,
        way=(fields or {}).get("way"),
        name=(fields or {}).get("name", ""),
        claimed=(fields or {}).get("claimed", ""),
        has_accounts=Way.ACCOUNT in visitors.ways_in and await visitors.signing_in.has_accounts(),
        has_keys=Way.KEY in visitors.ways_in,
        asks_for_name=visitors.signing_in.asks_for_name,
        provider=visitors.openid.host if visitors.openid else None,
        ways_in=[one.value for one in visitors.ways_in],
    )
    if isinstance(mistake, TooManyAttempts):
        answer.headers["Retry-After"] = str(mistake.fields["minutes"] * 60)
    return answer
