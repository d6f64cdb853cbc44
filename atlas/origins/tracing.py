"""Makes the trace of a call: a pure function of the call, what its agent read before, and the request."""

from collections.abc import Iterator, Sequence

from atlas.assessors import Earlier, Question
from atlas.assessors.general.fit import is_target
from atlas.assessors.general.signs import deed_of
from atlas.origins.entries import Place, Taken, takes_only_entries
from atlas.origins.forms import Wanted
from atlas.origins.leaves import leaves_of
from atlas.origins.matching import Hit
from atlas.origins.requests import Requests
from atlas.origins.search import Search, Sought
from atlas.origins.values import find_wanted, place_of
from atlas.traces import Found, Order, Origin, Trace

MOST_FOUND = 3
MOST_ORDERS = 3
LONGEST_TARGET = 2000  # characters of a value that are looked at to see whether it is a target


def trace(question: Question, *, trusts_request: bool) -> Trace:
    """The trace of a call; `question.earlier` is what its agent did and read before.

    A request that the client wrote (`trusts_request`) can say that a value is the user's. One that the model
    may have written cannot: a claim never makes a call look better.
    """
    earlier = question.earlier
    session = [one for one in earlier if not one.is_other_session]
    leaves, is_whole = leaves_of(question.arguments)
    search, deed = Search(earlier), deed_of(question)
    giving = _giving_orders(earlier, search)
    orders = tuple(order for found in giving.values() for order in found)
    requests = None
    if trusts_request:
        requests = Requests(question, search, deed=deed, orders_until=max(giving, default=-1))
    sought = search.sought(leaves)
    origins = tuple(_origin(one, earlier, requests, orders) for one in sought)
    is_complete = is_whole and search.is_complete and question.knows_session and not question.read_unrecorded
    return Trace(
        origins=origins,
        deed=deed,
        is_request_known=requests is not None and bool(requests.all),
        is_asked=requests is not None and requests.ask(),
        calls=len(session),
        read_outside=question.read_unrecorded or any(one.is_outside and one.result for one in session),
        orders=orders[:MOST_ORDERS],
        is_complete=is_complete,
        takes_only_entries=is_complete
        and requests is not None
        and any(origin.is_target and origin.is_outside for origin in origins)
        and takes_only_entries(_taken(sought, origins, earlier, orders), question, deed=deed),
    )


def _taken(
    sought: Sequence[Sought], origins: Sequence[Origin], earlier: Sequence[Earlier], orders: Sequence[Order]
) -> Iterator[Taken]:
    """The values of the call, each with all places where it stood."""
    for (leaf, value, hits), origin in zip(sought, origins, strict=True):
        places = [(_found(value, hit, earlier[hit.text.place], orders), hit) for hit in hits] if value else []
        yield Taken(leaf.value, origin, [Place(found, earlier[hit.text.place]) for found, hit in places])


def _giving_orders(earlier: Sequence[Earlier], search: Search) -> dict[int, tuple[Order, ...]]:
    """The texts from outside in this session that give orders, by the place of each."""
    read = enumerate(zip(earlier, search.forms, strict=True))
    found = {place: form.orders for place, (one, form) in read if one.is_outside and not one.is_other_session}
    return {place: orders for place, orders in found.items() if orders}


def _origin(
    sought: Sought, earlier: Sequence[Earlier], requests: Requests | None, orders: Sequence[Order]
) -> Origin:
    leaf, value, hits = sought
    seen = leaf.value[:LONGEST_TARGET] if isinstance(leaf.value, str) else leaf.value
    is_goal = is_target(leaf.key, seen)
    return Origin(
        path=leaf.path,
        is_traced=value is not None,
        is_target=is_goal,
        is_from_user=value is not None and requests is not None and requests.name(value, is_target=is_goal),
        found=tuple(_found(value, hit, earlier[hit.text.place], orders) for hit in _shown(hits, earlier))
        if value is not None
        else (),
    )


def _shown(hits: Sequence[Hit], earlier: Sequence[Earlier]) -> tuple[Hit, ...]:
    """The earliest three; in place of the third the first from outside, where that is later."""
    outside = [hit for hit in hits[MOST_FOUND - 1 :] if earlier[hit.text.place].is_outside][:1]
    return (*hits[: MOST_FOUND - 1], *(outside or hits[MOST_FOUND - 1 : MOST_FOUND]))


def _found(value: Wanted, hit: Hit, one: Earlier, orders: Sequence[Order]) -> Found:
    place = place_of(value, hit)
    return Found(
        case_id=one.case_id,
        tool_name=one.tool_name,
        upstream=one.upstream,
        is_outside=one.is_outside,
        is_other_session=one.is_other_session,
        how=place.how,
        passage=place.passage,
        gives_orders=any(
            order.case_id == one.case_id and find_wanted(value, order.around or order.passage) is not None
            for order in orders
        ),
    )
