"""Makes the trace of a call: a pure function of the call, what its agent read before, and the request."""

from collections.abc import Sequence

from atlas.assessors import Earlier, Question
from atlas.assessors.general.fit import asks_for, deed_of, is_target
from atlas.origins.leaves import Leaf, leaves_of
from atlas.origins.orders import orders_in
from atlas.origins.values import find
from atlas.traces import Found, Order, Origin, Trace

MOST_FOUND = 3
MOST_ORDERS = 3


def trace(question: Question, *, trusts_request: bool) -> Trace:
    """The trace of a call; `question.earlier` is what its agent did and read before.

    A request that the client wrote (`trusts_request`) can say that a value is the user's. One that the model
    may have written cannot: a claim never makes a call look better.
    """
    earlier = question.earlier
    session = [one for one in earlier if not one.is_other_session]
    requests = _requests(question, session) if trusts_request else ()
    leaves, is_whole = leaves_of(question.arguments)
    orders = _orders(session)
    deed = deed_of(question)
    return Trace(
        origins=tuple(_origin(leaf, earlier, requests, orders) for leaf in leaves),
        deed=deed,
        is_request_known=bool(requests),
        is_asked=any(asks_for(deed, request, tool_name=question.tool.name) for request in requests),
        calls=len(session),
        read_outside=any(one.is_outside and one.result for one in session),
        orders=orders[:MOST_ORDERS],
        is_complete=is_whole and not any(one.is_partly_read for one in earlier),
    )


def _requests(question: Question, session: Sequence[Earlier]) -> tuple[str, ...]:
    """What the user asked for in this session, by the calls that name it."""
    said = [one.user_request for one in session] + [question.user_request]
    return tuple(dict.fromkeys(request for request in said if request))


def _orders(session: Sequence[Earlier]) -> tuple[Order, ...]:
    read = [one for one in session if one.is_outside]
    return tuple(order for one in read for order in orders_in(one.result, case_id=one.case_id))


def _origin(
    leaf: Leaf, earlier: Sequence[Earlier], requests: Sequence[str], orders: Sequence[Order]
) -> Origin:
    found = [place for one in earlier if (place := _found(leaf, one, orders)) is not None]
    outside = [one for one in found[MOST_FOUND - 1 :] if one.is_outside][:1]
    return Origin(
        path=leaf.path,
        is_target=is_target(leaf.key, leaf.value),
        is_from_user=any(find(leaf.value, request) for request in requests),
        found=tuple(found[: MOST_FOUND - 1] + (outside or found[MOST_FOUND - 1 : MOST_FOUND])),
    )


def _found(leaf: Leaf, one: Earlier, orders: Sequence[Order]) -> Found | None:
    place = find(leaf.value, one.result)
    if place is None:
        return None
    return Found(
        case_id=one.case_id,
        tool_name=one.tool_name,
        upstream=one.upstream,
        is_outside=one.is_outside,
        is_other_session=one.is_other_session,
        how=place.how,
        passage=place.passage,
        gives_orders=any(
            order.case_id == one.case_id and str(leaf.value) in order.passage for order in orders
        ),
    )
